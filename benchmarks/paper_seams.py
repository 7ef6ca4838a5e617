"""What stitching costs: 3-D networks on patches against the same networks on the whole volume, near seams and anywhere.

Pooled PSNR over the synthesised voxels, protocol ``paper``: HU + 1024 clipped to 0...4000, data range 4000.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from paper_records import MODEL
from paper_runners import DEVICE, find_run
from paper_scoring import Scoring
from paper_systems import SYSTEMS, Regime
from tables import format_table

from saint_cli.evaluation.metrics import PAPER, list_scored_slices, psnr
from saint_cli.evaluation.scores import DegradedScan
from saint_cli.method.baseline_networks import cut_blocks, restore_by_baseline
from saint_cli.models.baseline_weights import load_baseline
from saint_cli.nets.baselines import Patching
from saint_cli.nets.baselines.architectures import BLOCKS, CUBES
from saint_cli.runtime.device_selection import select_compute

FACTOR = 4
SYSTEM_NAMES = ("mdsr-3d", "mdcsrn", "rdn-3d")

WHOLE = Patching(1 << 20, None, 0)
PATCHINGS = {
    f"{CUBES.side}³, margin {CUBES.margin} (the paper's for mDCSRN)": CUBES,
    f"{CUBES.side}³, no margin": Patching(CUBES.side, CUBES.depth, 0),
    f"{BLOCKS.side} x {BLOCKS.side} x all slices, margin {BLOCKS.margin}": BLOCKS,
}

NEAR_VOXELS = 3
"""In-plane voxels on either side of a seam that count as near it."""


@dataclass(frozen=True)
class SeamLoss:
    """PSNR in dB of a network on one volume, whole and on patches, of voxels near seams and of all."""

    system: str
    patching: str
    near_whole_db: float
    near_db: float
    all_whole_db: float
    all_db: float


def measure_seams(scoring: Scoring, regime: Regime, volume: str) -> list[SeamLoss]:
    """Every trained 3-D network with every patching."""
    degraded, losses = scoring.read_degraded(volume, FACTOR), list[SeamLoss]()
    for name in SYSTEM_NAMES:
        system = next(one for one in SYSTEMS if one.name == name)
        assert system.networks is not None
        weights = find_run(scoring.runs, regime, system.networks[FACTOR]) / MODEL
        if weights.is_file():
            losses += measure_network(degraded, weights, system.label)
    return losses


def measure_network(degraded: DegradedScan, weights: Path, label: str) -> list[SeamLoss]:
    """One network on a degraded scan."""
    model, compute = load_baseline(str(weights)), select_compute(DEVICE)

    def run(patching: Patching) -> np.ndarray:
        return restore_by_baseline(degraded.sparse, model, degraded.grid, compute, patching=patching)

    whole, losses = run(WHOLE), []
    for name, patching in PATCHINGS.items():
        stitched, near = run(patching), find_near_seams(degraded.acquired.shape, patching)
        figures = [
            _psnr(degraded, result, where) for where in (near, np.ones_like(near)) for result in (whole, stitched)
        ]
        losses.append(SeamLoss(label, name, *figures))
    return losses


def find_near_seams(shape: tuple[int, ...], patching: Patching) -> np.ndarray:
    """Bool [X, Y]: in-plane voxels near where two patches meet."""
    x, y, depth = shape
    near = np.zeros((x, y), bool)
    for block in cut_blocks((x, y, depth), patching):
        for axis, inner in enumerate(block.inner[:2]):
            if inner.start > 0:
                at = slice(max(0, inner.start - NEAR_VOXELS), inner.start + NEAR_VOXELS)
                near[(slice(None), at) if axis else at] = True
    return near


def _psnr(degraded: DegradedScan, result: np.ndarray, where: np.ndarray) -> float:
    """Of the synthesised voxels at some in-plane places; nan where there are none."""
    scored = list_scored_slices(degraded.grid.count, degraded.factor, PAPER)
    truth, restored = (PAPER.clip(values[where][:, scored]) for values in (degraded.truth, result))
    return psnr(truth, restored, PAPER.data_range) if truth.size else float("nan")


def format_seams(losses: list[SeamLoss]) -> str:
    """What patches cost, Markdown; empty where a volume is too small for seams."""
    header = ["", "patches", "near seams: whole dB", "patches dB", "loss", "all voxels: whole dB", "patches dB", "loss"]
    rows = [
        [loss.system, loss.patching, *_format_loss(*near), *_format_loss(*everywhere)]
        for loss in losses
        for near, everywhere in [((loss.near_whole_db, loss.near_db), (loss.all_whole_db, loss.all_db))]
    ]
    return format_table(header, rows)


def _format_loss(whole_db: float, patches_db: float) -> list[str]:
    if np.isnan(whole_db):
        return [""] * 3
    return [f"{whole_db:.2f}", f"{patches_db:.2f}", f"{whole_db - patches_db:+.2f}"]
