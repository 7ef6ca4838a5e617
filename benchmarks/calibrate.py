"""Measure how far off a model's results are, and put that into its weights file for ``saint upsample --uncertainty``.

    python benchmarks/calibrate.py WEIGHTS VOLUME... [--factors 2,3,5,6,8] [--threads N]

Dense volumes that the model was not trained on are decimated and restored. Every volume and factor counts the same,
if it has 100,000 voxels or more. All are CT, or none is: errors are in HU, or in percent of the span between the 0.1
and the 99.9 percentile of all of the volume's file. The file is rewritten in place, its tensors unchanged to the last
bit; a manifest beside it gets its new sha256. The last table leaves out, for each volume, that volume from the fit:
what to expect of other scans.
"""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
from arguments import make_parser, split_integers
from results import count_central_slices
from tables import format_table

from saint_cli.evaluation.inputs import EvaluationInputs, name_files, read_dense_volume
from saint_cli.evaluation.metrics import PAPER
from saint_cli.evaluation.scores import DegradedScan, Scorer, crop_in_plane
from saint_cli.method.pipeline import ResultStage, restore
from saint_cli.models import shipped, weights
from saint_cli.models.calibration import HU, Calibration, compute_reliability, pool_reliability
from saint_cli.runtime import device_selection

SAMPLES = 100_000
"""Voxels drawn of each volume and factor."""

Samples = dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]
"""|I_sag - I_cor| and absolute error, in one unit, by volume and factor."""


def main() -> None:
    """Fit, write, and print the tables."""
    parser = make_parser(__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("volumes", type=Path, nargs="+")
    parser.add_argument("--factors", type=split_integers, default=[2, 3, 5, 6, 8])
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    device_selection.set_threads(options.threads)
    samples, units = Samples(), set[str]()
    for file, name in name_files(options.volumes).items():
        for factor in options.factors:
            samples[name, factor], unit = measure_errors(options.weights, file, factor)
            units.add(unit)
            if len(units) > 1:
                parser.error(f"{name} is in {unit}, volumes before it are not; calibrate on CT or on other scans")
    calibration = fit_calibration(samples, *units)
    sha256 = weights.write_calibration(options.weights, calibration)
    renew_manifest(options.weights, sha256)
    errors = format_errors(samples, dict.fromkeys(samples, calibration), *units)
    print(f"{calibration.to_json()}\n\nEvery volume in the fit:\n{errors}")
    if len(options.volumes) > 1:
        without = format_errors(samples, fit_without_each(samples, *units), *units)
        print(f"\nEach volume left out of its own fit:\n{without}")


def measure_errors(file: Path, volume: Path, factor: int) -> tuple[tuple[np.ndarray, np.ndarray], str]:
    """|I_sag - I_cor| and absolute error of the fused result at voxels drawn from one volume at a factor; the unit."""
    scan, axis, data_range = read_dense_volume(
        volume, EvaluationInputs([volume], [factor], slices=count_central_slices(Fraction(factor)))
    )
    scan = crop_in_plane(scan, axis, PAPER.crop)
    degraded = DegradedScan.from_dense(scan, axis, factor, name=volume.name, data_range=data_range)
    model = weights.load_model(str(file))
    restoration = restore(degraded.sparse, model, degraded.grid, device_selection.select_compute())
    scorer = Scorer(degraded, PAPER)
    difference, error = scorer.collect_errors(restoration.stage(ResultStage.FUSED), restoration.difference())
    drawn = np.random.default_rng(0).choice(difference.size, min(SAMPLES, difference.size), replace=False)
    return (difference[drawn], error[drawn]), scorer.protocol.unit


def fit_calibration(samples: Samples, unit: str) -> Calibration:
    """One calibration for all samples."""
    difference, error = (np.concatenate([pair[i] for pair in samples.values()]) for i in (0, 1))
    return Calibration.fit(difference, error, unit)


def fit_without_each(samples: Samples, unit: str) -> dict[tuple[str, int], Calibration]:
    """For every volume the calibration that the others give."""
    volumes = {volume for volume, _ in samples}
    fits = {out: fit_calibration({k: v for k, v in samples.items() if k[0] != out}, unit) for out in volumes}
    return {key: fits[key[0]] for key in samples}


def format_errors(samples: Samples, calibrations: dict[tuple[str, int], Calibration], unit: str) -> str:
    """Observed against predicted mean absolute error: per bin over everything, then per volume and factor."""
    tables = {key: compute_reliability(*pair, calibrations[key], unit) for key, pair in samples.items()}
    digits = 1 if unit == HU else 2
    rows = []
    for b in pool_reliability(list(tables.values())):
        means = f"{b.observed_hu:.{digits}f}", f"{b.predicted_hu:.{digits}f}"
        rows.append([f"{b.low_hu:g}...{b.high_hu:g} {unit}", f"{b.voxels}", *means])
    for key, (difference, error) in samples.items():
        predicted = calibrations[key].expected_error(difference).mean()
        means = f"{error.mean():.{digits}f}", f"{predicted:.{digits}f}"
        rows.append([f"{key[0]} x{key[1]}", f"{error.size}", *means])
    return format_table(["of", "voxels", f"observed {unit}", f"predicted {unit}"], rows)


def renew_manifest(file: Path, sha256: str) -> None:
    """Write the new checksum into a manifest beside the file, if it lists the file."""
    entries = shipped.read_manifest(file.parent)
    mine = [entry for entry in entries.values() if entry["file"] == file.name]
    for entry in mine:
        entry["sha256"] = sha256
    if mine:
        (file.parent / shipped.MANIFEST).write_text(json.dumps({"models": entries}, indent=1) + "\n")


if __name__ == "__main__":
    main()
