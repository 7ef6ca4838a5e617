"""Measure how far off a model's results are, and put that into its weights file for ``saint upsample --uncertainty``.

    python benchmarks/calibrate.py WEIGHTS VOLUME... [--factors 2,3,5,6,8] [--threads N]

Dense volumes that the model was not trained on are decimated and restored. Every volume and factor counts the same,
if it has 100,000 voxels or more. The file is rewritten in place, its tensors unchanged to the last bit; a manifest
beside it gets its new sha256. The last table leaves out, for each volume, that volume from the fit: what to expect of
other scans.
"""

import argparse
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
from results import central_slices

from saint_cli import compute, shipped, weights
from saint_cli.evaluate import Cases, dense, names
from saint_cli.metrics import PAPER
from saint_cli.pipeline import restore
from saint_cli.scores import Judge, Trial, central
from saint_cli.uncertainty import Calibration, pooled, reliability

SAMPLES = 100_000
"""Voxels drawn of each volume and factor."""

Samples = dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]
"""|I_sag - I_cor| and absolute error, HU, by volume and factor."""


def main() -> None:
    """Fit, write, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("volumes", type=Path, nargs="+")
    parser.add_argument("--factors", type=lambda words: [int(w) for w in words.split(",")], default=[2, 3, 5, 6, 8])
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    compute.set_threads(options.threads)
    samples: Samples = {}
    for file, name in names(options.volumes).items():
        for factor in options.factors:
            samples[name, factor] = measure(options.weights, file, factor)
    calibration = fit(samples)
    sha256 = weights.calibrate_file(options.weights, calibration)
    renew_manifest(options.weights, sha256)
    print(f"{calibration.to_json()}\n\nEvery volume in the fit:\n{table(samples, dict.fromkeys(samples, calibration))}")
    if len(options.volumes) > 1:
        print(f"\nEach volume left out of its own fit:\n{table(samples, left_out(samples))}")


def measure(file: Path, volume: Path, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """|I_sag - I_cor| and absolute error of the fused result, HU, at voxels drawn from one volume at one factor."""
    scan, axis = dense(volume, Cases([volume], [factor], slices=central_slices(Fraction(factor))))
    trial = Trial.of(central(scan, axis, PAPER.crop), axis, factor, name=volume.name)
    model = weights.load_model(str(file))
    restoration = restore(trial.sparse, model, trial.grid, compute.choose())
    difference, error = Judge(trial, PAPER).errors(restoration.stage("fused"), restoration.difference())
    drawn = np.random.default_rng(0).choice(difference.size, min(SAMPLES, difference.size), replace=False)
    return difference[drawn], error[drawn]


def fit(samples: Samples) -> Calibration:
    """One calibration for all samples."""
    difference, error = (np.concatenate([pair[i] for pair in samples.values()]) for i in (0, 1))
    return Calibration.fit(difference, error)


def left_out(samples: Samples) -> dict[tuple[str, int], Calibration]:
    """For every volume the calibration that the others give."""
    volumes = {volume for volume, _ in samples}
    fits = {out: fit({k: v for k, v in samples.items() if k[0] != out}) for out in volumes}
    return {key: fits[key[0]] for key in samples}


def table(samples: Samples, calibrations: dict[tuple[str, int], Calibration]) -> str:
    """Observed against predicted mean absolute error, HU: per bin over everything, then per volume and factor."""
    tables = {key: reliability(*pair, calibrations[key]) for key, pair in samples.items()}
    lines = ["| of | voxels | observed HU | predicted HU |", "|---|---|---|---|"]
    for b in pooled(list(tables.values())):
        lines.append(f"| {b.low_hu:g}...{b.high_hu:g} HU | {b.voxels} | {b.observed_hu:.1f} | {b.predicted_hu:.1f} |")
    for key, (difference, error) in samples.items():
        predicted = calibrations[key].expected_error(difference).mean()
        lines.append(f"| {key[0]} x{key[1]} | {error.size} | {error.mean():.1f} | {predicted:.1f} |")
    return "\n".join(lines)


def renew_manifest(file: Path, sha256: str) -> None:
    """Let a manifest beside the file, if it lists it, tell the file's new checksum."""
    entries = shipped.manifest(file.parent)
    mine = [entry for entry in entries.values() if entry["file"] == file.name]
    for entry in mine:
        entry["sha256"] = sha256
    if mine:
        (file.parent / shipped.MANIFEST).write_text(json.dumps({"models": entries}, indent=1) + "\n")


if __name__ == "__main__":
    main()
