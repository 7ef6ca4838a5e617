"""Uneven stacks: narrow gaps beside wide ones are interpolated once more, among slices at nearly equal distances.

The trunk of AMI takes neighbouring slices for evenly spaced. Beside a wide gap a narrow one then loses up to 1.0 dB
(benchmarks/uneven.py). So slices synthesised in wide gaps are put between the acquired ones, and narrow gaps are
interpolated again among these. Wide gaps gain from nearer neighbours, and stay as they are.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from saint_cli.geometry import SliceGrid
from saint_cli.method.network_input import NetworkInput
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.progress import ProgressCallback

STAGE = "narrow gaps"
"""Name of the second pass in progress."""

REACH = 2
"""Gaps on either side that count as beside one."""

NARROW = 0.8
"""A gap is narrow if it is less than this part of the widest one beside it."""

LARGEST_MISPLACEMENT = 0.3
"""How far a slice that fills a wide gap may lie from its even place, in commonest gaps."""


@dataclass(frozen=True)
class SecondPass:
    """Narrow gaps of an uneven stack, and the slices that fill wide ones.

    rows (R,): of the plan's synthesised slices, those in narrow gaps. fills (F,): those that fill wide gaps; order
    (acquired + F,): places of acquired slices, and after them of fills, in ascending order.
    """

    plan: SlicePlan
    rows: np.ndarray
    fills: np.ndarray
    order: np.ndarray

    def fill(self, network_input: NetworkInput, fused: Tensor) -> NetworkInput:
        """The input with the slices that fill wide gaps, by the residuals ``fused`` (S, x, y) of the first pass."""
        plan, voxels = self.plan, network_input.voxels
        made = []
        for s in self.fills:
            t, below, above = float(plan.offset[s]), voxels[..., plan.window[s]], voxels[..., plan.above[s]]
            made.append(below * (1 - t) + above * t + fused[s].float())
        filled = torch.cat([voxels, torch.stack(made, 2)], 2)[..., self.order]
        return replace(network_input, voxels=filled.contiguous())

    @property
    def narrow_plan(self) -> SlicePlan:
        """The plan of the slices in narrow gaps alone, their windows counted among acquired slices and fills."""
        plan, rows = self.plan, self.rows
        index = np.empty(len(self.order), int)
        index[self.order] = np.arange(len(self.order))
        below = index[plan.window[rows]]
        values = {name: getattr(plan, name)[rows] for name in ("synthesised", "offset", "gap")}
        return replace(plan, **values, window=below, above=below + 1)


def plan_second_pass(grid: SliceGrid, plan: SlicePlan) -> SecondPass | None:
    """What a second pass computes; None where no narrow gap lies beside a wide one, as in even stacks."""
    gaps = grid.gaps
    if grid.positions is None:
        return None
    beside = np.array([gaps[max(0, i - REACH) : i + REACH + 1].max() for i in range(len(gaps))])
    narrow = gaps < NARROW * beside
    rows = np.flatnonzero(narrow[plan.window] & (plan.offset > 0))
    fills = np.array(sorted({s for w in np.flatnonzero(~narrow) for s in _find_fills(plan, int(w))}), int)
    if not len(rows) or not len(fills):
        return None
    places = np.concatenate([grid.positions, np.array(grid.positions)[plan.window[fills]] + _beyond(plan, fills)])
    return SecondPass(plan, rows, fills, np.argsort(places, kind="stable"))


def _find_fills(plan: SlicePlan, window: int) -> list[int]:
    """The synthesised slices nearest to the places that divide a gap into about the commonest one."""
    inside = np.flatnonzero((plan.window == window) & (plan.offset > 0))
    if not len(inside):
        return []
    gap = float(plan.gap[inside[0]])
    parts = round(gap)
    wanted = gap * np.arange(1, parts) / parts
    distance = np.abs(_beyond(plan, inside) - wanted[:, None])
    near = distance.min(1, initial=np.inf) <= LARGEST_MISPLACEMENT
    return inside[distance.argmin(1)[near]].tolist() if len(wanted) else []


def _beyond(plan: SlicePlan, rows: np.ndarray) -> np.ndarray:
    """How far synthesised slices lie from the acquired one below, in commonest gaps."""
    return np.asarray(plan.offset[rows] * plan.gap[rows])


def as_one_stage(on_progress: ProgressCallback, passes: int) -> ProgressCallback:
    """Progress of the stages of a second pass as that of one stage."""
    names = list[str]()

    def on_pass(name: str, done: int, total: int) -> None:
        if name not in names:
            names.append(name)
        share = done / total if total else 0.0
        on_progress(STAGE, round(100 * (len(names) - 1 + share)), 100 * passes)

    return on_pass
