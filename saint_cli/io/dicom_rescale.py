"""Rescale that differs between the slices of a stack, or is missing in some: told, or refused where values say so."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from saint_cli.errors import UnreadableError
from saint_cli.io.dicom_slice import SliceHeader

STEP_HU = 300.0
"""Shift between neighbouring slices of a CT that no body makes: it moves air and tissue alike."""

MISMATCH_HU = 100.0
"""Mean difference between neighbouring slices of other rescale from which on their headers are doubted."""

FOLLOWS = 1 / 3
"""A difference is the header's doing where the neighbour's rescale leaves less than this part of it."""

FEWEST_VALUES = 16
"""Different values that a slice of a body has at least; a phantom of fewer proves nothing."""

SAMPLES = 64
"""Pixels along each axis that a shift is measured from."""

SHOWN = 3


def check_rescale(voxels: np.ndarray, slices: Sequence[SliceHeader]) -> tuple[str, ...]:
    """Warnings of slices whose values do not continue those of their neighbours; ``voxels`` are HU [x, y, z].

    PET and MR have another slope in every slice by right, so only CT is looked at.

    Raises:
        UnreadableError: RescaleSlope or RescaleIntercept changes between slices whose stored values go on.
    """
    if slices[0].modality != "CT" or len(slices) < 2:
        return ()
    every = tuple(max(1, n // SAMPLES) for n in voxels.shape[:2])
    sample = voxels[:: every[0], :: every[1]]
    for k in range(len(slices) - 1):
        mismatch = _mismatch_hu(sample[..., k], sample[..., k + 1], (slices[k], slices[k + 1]))
        if mismatch:
            raise UnreadableError(f"{slices[k + 1].path}: {_contradiction(slices, mismatch)}")
    shifts = [(k, _shift_hu(sample[..., k], sample[..., k + 1])) for k in range(len(slices) - 1)]
    steps = [(k, shift) for k, shift in shifts if abs(shift) >= STEP_HU]
    told = [f"values step by {shift:.0f} HU {_between(slices, k)}" for k, shift in steps[:SHOWN]]
    if told:
        more = f" and at {len(steps) - SHOWN} more places" if len(steps) > SHOWN else ""
        return (f"{'; '.join(told)}{more}: RescaleIntercept or stored values of some slices may be wrong",)
    count = len({(one.slope, one.intercept) for one in slices})
    return (f"{count} different rescales (slope, intercept) among the slices, applied slice by slice",) * (count > 1)


def _shift_hu(one: np.ndarray, other: np.ndarray) -> float:
    """By how much nearly all voxels move from one slice to the next; 0 where they do not move together."""
    moved = other.astype(np.float32) - one.astype(np.float32)
    low, middle, high = np.percentile(moved, (20, 50, 80))
    return float(middle) if low * high > 0 and min(abs(low), abs(high)) > STEP_HU / 2 else 0.0


def _mismatch_hu(one: np.ndarray, other: np.ndarray, pair: tuple[SliceHeader, SliceHeader]) -> float:
    """Mean difference of two slices of other rescale that all but vanishes with the rescale of either; 0 if none."""
    first, second = pair
    if (first.slope, first.intercept) == (second.slope, second.intercept) or len(np.unique(one)) < FEWEST_VALUES:
        return 0.0
    stored = (other.astype(np.float64) - second.intercept) / second.slope
    back = (one.astype(np.float64) - first.intercept) / first.slope
    found = float(np.abs(other.astype(np.float64) - one).mean())
    likely = min(
        float(np.abs(stored * first.slope + first.intercept - one).mean()),
        float(np.abs(back * second.slope + second.intercept - other).mean()),
    )
    return found if found >= MISMATCH_HU and likely < FOLLOWS * found else 0.0


def _contradiction(slices: Sequence[SliceHeader], mismatch: float) -> str:
    """Which slices have which rescale, and what it does."""
    counts = Counter((one.slope, one.intercept) for one in slices)
    usual = counts.most_common(1)[0][0]
    odd = [one for one in slices if (one.slope, one.intercept) != usual]
    places = ", ".join(f"{one.position[2]:.6g}" for one in odd[:SHOWN])
    more = f" and {len(odd) - SHOWN} more" if len(odd) > SHOWN else ""
    slope, intercept = odd[0].slope, odd[0].intercept
    return (
        f"RescaleIntercept or RescaleSlope is wrong or missing in {len(odd)} of {len(slices)} slices: "
        f"{intercept:g} and {slope:g} at z = {places}{more} mm, {usual[1]:g} and {usual[0]:g} elsewhere, though the "
        f"stored values go on: a step of {mismatch:.0f} HU; repair the headers first"
    )


def _between(slices: Sequence[SliceHeader], k: int) -> str:
    return f"between z = {slices[k].position[2]:.6g} and {slices[k + 1].position[2]:.6g} mm"
