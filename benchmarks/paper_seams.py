"""What stitching costs: 3-D networks on patches against the same networks on the whole volume, near seams and anywhere.

Measured once for the same weights, volume and slices.

Pooled PSNR over the synthesised voxels, protocol ``paper``: HU + 1024 clipped to 0...4000, data range 4000.
"""

import numpy as np
from paper_records import SeamLoss, append_line, read_lines
from paper_runners import DEVICE, find_weights
from paper_scoring import Scoring, find_lines
from paper_systems import Regime, System, find_system
from tables import format_table

from saint_cli.evaluation.metrics import PAPER, list_scored_slices, psnr
from saint_cli.evaluation.scores import DegradedScan
from saint_cli.method.baseline_networks import cut_blocks, restore_by_baseline
from saint_cli.models.baseline_weights import BaselineModel, load_any_model
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


def measure_seams(scoring: Scoring, regime: Regime, volume: str) -> list[SeamLoss]:
    """Every trained 3-D network with every kind of patches; what is known of the same weights is taken over."""
    return [loss for name in SYSTEM_NAMES for loss in measure_system(scoring, find_system(name), regime, volume)]


def measure_system(scoring: Scoring, system: System, regime: Regime, volume: str) -> list[SeamLoss]:
    """One system, none where it is not trained."""
    weights, slices = find_weights(scoring.runs, system, regime, FACTOR), scoring.slices[FACTOR]
    if weights is None:
        return []
    model, kept = load_any_model(weights), find_lines(scoring.runs, "seams", system, regime)
    assert isinstance(model, BaselineModel)
    key = (model.sha256, volume, slices)
    found = [loss for loss in read_lines(SeamLoss, kept) if (loss.weights_sha256, loss.volume, loss.slices) == key]
    if {loss.patches for loss in found} >= set(PATCHINGS):
        return found
    degraded = scoring.read_degraded(volume, FACTOR)
    losses = [
        SeamLoss(system.name, patches, *key, *figures) for patches, figures in compare_patches(degraded, model).items()
    ]
    for loss in losses:
        append_line(loss, kept)
    return losses


def compare_patches(degraded: DegradedScan, model: BaselineModel) -> dict[str, list[float]]:
    """By kind of patches, PSNR in dB: near seams, whole and on patches, then of all voxels, whole and on patches."""
    compute = select_compute(DEVICE)

    def run(patching: Patching) -> np.ndarray:
        return restore_by_baseline(degraded.sparse, model, degraded.grid, compute, patching=patching)

    whole, compared = run(WHOLE), dict[str, list[float]]()
    for name, patching in PATCHINGS.items():
        stitched, near = run(patching), find_near_seams(degraded.acquired.shape, patching)
        compared[name] = [
            _psnr(degraded, result, where) for where in (near, np.ones_like(near)) for result in (whole, stitched)
        ]
    return compared


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
        [find_system(loss.system).label, loss.patches, *_format_loss(*near), *_format_loss(*everywhere)]
        for loss in losses
        for near, everywhere in [((loss.near_whole_db, loss.near_db), (loss.all_whole_db, loss.all_db))]
    ]
    return format_table(header, rows)


def _format_loss(whole_db: float, patches_db: float) -> list[str]:
    if np.isnan(whole_db):
        return [""] * 3
    return [f"{whole_db:.2f}", f"{patches_db:.2f}", f"{whole_db - patches_db:+.2f}"]
