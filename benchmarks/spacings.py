"""PSNR of the networks over linear interpolation at spacings that they were not trained on.

    python benchmarks/spacings.py VOLUME... [--model fast] [--slices 25]

The voxels stay, and the spacing that the networks are given is multiplied. The limits in
``saint_cli.geometry.spacing_limits`` come from this table.
"""

from dataclasses import replace
from math import inf
from pathlib import Path
from unittest import mock

import numpy as np
from arguments import make_parser

from saint_cli import read_volume
from saint_cli.evaluation.inputs import keep_central_slices
from saint_cli.evaluation.interpolators import interpolate_linear
from saint_cli.evaluation.metrics import PAPER
from saint_cli.evaluation.scores import DegradedScan, Scorer, crop_in_plane
from saint_cli.geometry import spacing_limits, through_plane_axis
from saint_cli.method import pipeline
from saint_cli.models.weights import SaintModel, load_model
from saint_cli.runtime.device_selection import Compute, select_compute

TIMES = (1e-4, 1.0, 2.0, 5.0, 10.0, 100.0)
FACTORS = (2, 4)


def measure_gain(degraded: DegradedScan, times: float, model: SaintModel, compute: Compute) -> float:
    """PSNR of the networks over that of linear interpolation, dB, where all spacings are multiplied by ``times``."""
    scorer, affine = Scorer(degraded, PAPER), degraded.sparse.affine_lps.copy()
    affine[:3, :3] *= times
    scan = replace(degraded.sparse, affine_lps=affine)
    with mock.patch.object(spacing_limits, "MAX_NETWORK_SPACING_MM", (inf, inf)):
        result = np.moveaxis(
            pipeline.restore(scan, model, degraded.grid, compute).result().voxels, degraded.grid.axis, 2
        )
    plain = scorer.score("linear", interpolate_linear(degraded.acquired, degraded.grid), seconds=None)
    return scorer.score("fused", result, model=model.name, seconds=None).psnr_db - plain.psnr_db


def main() -> None:
    """One row a volume and factor, one column a multiple of its spacing."""
    parser = make_parser(__doc__)
    parser.add_argument("volumes", nargs="+", type=Path)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--slices", type=int, default=25)
    options = parser.parse_args()
    model, compute = load_model(options.model), select_compute("cpu")
    print("| volume | spacing, mm | factor |" + "".join(f" x{times:g} |" for times in TIMES))
    print("|---|---|---|" + "---|" * len(TIMES))
    for path in options.volumes:
        dense = read_volume(path)
        axis = through_plane_axis(dense.spacing_mm, allow_isotropic=True)
        dense = crop_in_plane(keep_central_slices(dense, axis, options.slices), axis, PAPER.crop)
        shown = " x ".join(f"{mm:.3g}" for mm in dense.spacing_mm)
        for factor in FACTORS:
            degraded = DegradedScan.from_dense(dense, axis, factor, name=path.name)
            gains = (measure_gain(degraded, times, model, compute) for times in TIMES)
            print(f"| {path.name} | {shown} | {factor} |" + "".join(f" {value:+.1f} |" for value in gains), flush=True)


if __name__ == "__main__":
    main()
