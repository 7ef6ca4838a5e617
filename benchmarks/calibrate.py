"""Measure how far off a model's results are, and put that into its weights file for ``saint upsample --uncertainty``.

    python benchmarks/calibrate.py WEIGHTS VOLUME... [--factors 2,3,5,6,8] [--threads N]

Dense volumes that the model was not trained on are decimated and restored. Every volume and factor counts the same,
if it has 100,000 voxels or more. The file is rewritten in place, its tensors unchanged to the last bit; a manifest
beside it gets its new sha256. The last table leaves out, for each volume, that volume from the fit: what to expect of
other scans.
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
from saint_cli.models.calibration import Calibration, compute_reliability, pool_reliability
from saint_cli.runtime import device_selection

SAMPLES = 100_000
"""Voxels drawn of each volume and factor."""

Samples = dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]
"""|I_sag - I_cor| and absolute error, HU, by volume and factor."""


def main() -> None:
    """Fit, write, and print the tables."""
    parser = make_parser(__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("volumes", type=Path, nargs="+")
    parser.add_argument("--factors", type=split_integers, default=[2, 3, 5, 6, 8])
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    device_selection.set_threads(options.threads)
    samples: Samples = {}
    for file, name in name_files(options.volumes).items():
        for factor in options.factors:
            samples[name, factor] = measure_errors(options.weights, file, factor)
    calibration = fit_calibration(samples)
    sha256 = weights.write_calibration(options.weights, calibration)
    renew_manifest(options.weights, sha256)
    errors = format_errors(samples, dict.fromkeys(samples, calibration))
    print(f"{calibration.to_json()}\n\nEvery volume in the fit:\n{errors}")
    if len(options.volumes) > 1:
        print(f"\nEach volume left out of its own fit:\n{format_errors(samples, fit_without_each(samples))}")


def measure_errors(file: Path, volume: Path, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """|I_sag - I_cor| and absolute error of the fused result, HU, at voxels drawn from one volume at one factor."""
    scan, axis = read_dense_volume(
        volume, EvaluationInputs([volume], [factor], slices=count_central_slices(Fraction(factor)))
    )
    degraded = DegradedScan.from_dense(crop_in_plane(scan, axis, PAPER.crop), axis, factor, name=volume.name)
    model = weights.load_model(str(file))
    restoration = restore(degraded.sparse, model, degraded.grid, device_selection.select_compute())
    difference, error = Scorer(degraded, PAPER).collect_errors(
        restoration.stage(ResultStage.FUSED), restoration.difference()
    )
    drawn = np.random.default_rng(0).choice(difference.size, min(SAMPLES, difference.size), replace=False)
    return difference[drawn], error[drawn]


def fit_calibration(samples: Samples) -> Calibration:
    """One calibration for all samples."""
    difference, error = (np.concatenate([pair[i] for pair in samples.values()]) for i in (0, 1))
    return Calibration.fit(difference, error)


def fit_without_each(samples: Samples) -> dict[tuple[str, int], Calibration]:
    """For every volume the calibration that the others give."""
    volumes = {volume for volume, _ in samples}
    fits = {out: fit_calibration({k: v for k, v in samples.items() if k[0] != out}) for out in volumes}
    return {key: fits[key[0]] for key in samples}


def format_errors(samples: Samples, calibrations: dict[tuple[str, int], Calibration]) -> str:
    """Observed against predicted mean absolute error, HU: per bin over everything, then per volume and factor."""
    tables = {key: compute_reliability(*pair, calibrations[key]) for key, pair in samples.items()}
    rows = []
    for b in pool_reliability(list(tables.values())):
        means = f"{b.observed_hu:.1f}", f"{b.predicted_hu:.1f}"
        rows.append([f"{b.low_hu:g}...{b.high_hu:g} HU", f"{b.voxels}", *means])
    for key, (difference, error) in samples.items():
        predicted = calibrations[key].expected_error(difference).mean()
        rows.append([f"{key[0]} x{key[1]}", f"{error.size}", f"{error.mean():.1f}", f"{predicted:.1f}"])
    return format_table(["of", "voxels", "observed HU", "predicted HU"], rows)


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
