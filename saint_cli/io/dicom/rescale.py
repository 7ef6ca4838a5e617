"""Rescale of stored values to scanner values; warned of or refused where it contradicts the values of a CT."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from saint_cli.errors import UnreadableError
from saint_cli.errors.plain_text import format_count, list_first
from saint_cli.io.dicom.slice_header import SliceHeader
from saint_cli.io.scaling import choose_scaled_dtype, unscale
from saint_cli.volume import Storage

MIN_STEP_HU = 300.0
"""Shift between neighbouring slices of a CT that no body makes: it moves air and tissue alike."""

MIN_MISMATCH_HU = 100.0
"""Mean difference between neighbouring slices of different rescale from which on their headers are doubted."""

MAX_REMAINING_SHARE = 1 / 3
"""A difference is due to the header where the neighbour's rescale leaves less than this share of it."""

MIN_VALUES = 16
"""Different values that a slice of a body has at least; a phantom of fewer proves nothing."""

SAMPLES_PER_AXIS = 64
"""Pixels along each axis that a shift is measured from."""

MAX_SHOWN = 3


def rescale(stored: np.ndarray, slices: Sequence[SliceHeader]) -> tuple[np.ndarray, Storage]:
    """Scanner values of stored values [x, y, z], and how to store them again (Modality LUT, PS3.3 C.11.1).

    Raises:
        UnreadableError: a RescaleSlope of 0.
    """
    scalings = {header.rescale for header in slices}
    if any(slope == 0 for slope, _ in scalings):
        raise UnreadableError(f"{slices[0].path}: RescaleSlope is 0, so every value would be the same")
    if len(scalings) > 1:
        dtypes = {choose_scaled_dtype(stored[:, :, k], *header.rescale) for k, header in enumerate(slices)}
        values = np.empty(stored.shape, dtype=np.result_type(*dtypes), order="F")
        for k, header in enumerate(slices):
            values[:, :, k] = stored[:, :, k].astype(np.float64) * header.slope + header.intercept
        return values, Storage(values.dtype)
    slope, intercept = scalings.pop()
    if slope.is_integer() and intercept.is_integer():
        return _rescale_whole_numbers(stored, int(slope), int(intercept))
    return unscale(stored, Storage(stored.dtype, slope, intercept))


def _rescale_whole_numbers(stored: np.ndarray, slope: int, intercept: int) -> tuple[np.ndarray, Storage]:
    """Scanner values as int16, or int32 where they need it; float32 beyond."""
    ends = [int(v) * slope + intercept for v in (stored.min(), stored.max())]
    for dtype in (np.int16, np.int32):
        limits = np.iinfo(dtype)
        if limits.min <= min(ends) and max(ends) <= limits.max:
            values = np.empty(stored.shape, dtype=dtype, order="F")
            for k in range(stored.shape[2]):
                values[:, :, k] = stored[:, :, k].astype(np.int64) * slope + intercept
            return values, Storage(values.dtype)
    return unscale(stored, Storage(stored.dtype, float(slope), float(intercept)))


@np.errstate(over="ignore", invalid="ignore")  # of values that are infinite by their rescale
def check_rescale(voxels: np.ndarray, slices: Sequence[SliceHeader]) -> tuple[str, ...]:
    """Warnings of slices whose values do not continue those of their neighbours; ``voxels`` are HU [x, y, z].

    Slices of PET and MR may differ in slope, so only CT is checked.

    Raises:
        UnreadableError: RescaleSlope or RescaleIntercept changes between slices whose stored values go on.
    """
    if slices[0].modality != "CT" or len(slices) < 2:
        return ()
    every = tuple(max(1, n // SAMPLES_PER_AXIS) for n in voxels.shape[:2])
    sample = voxels[:: every[0], :: every[1]]
    for k in range(len(slices) - 1):
        mismatch = _mismatch_hu(sample[..., k : k + 2], slices[k], slices[k + 1])
        if mismatch:
            raise UnreadableError(f"{slices[k + 1].path}: {_explain_mismatch(slices, mismatch)}")
    shifts = [(k, _shift_hu(sample[..., k], sample[..., k + 1])) for k in range(len(slices) - 1)]
    z = [f"{header.position[2]:.6g}" for header in slices]
    steps = [
        f"values step by {hu:.0f} HU between z = {z[k]} and {z[k + 1]} mm" for k, hu in shifts if abs(hu) >= MIN_STEP_HU
    ]
    if steps:
        more = f" and at {format_count(len(steps) - MAX_SHOWN, 'more place')}" if len(steps) > MAX_SHOWN else ""
        shown = "; ".join(steps[:MAX_SHOWN])
        return (f"{shown}{more}: RescaleIntercept or stored values of some slices may be wrong",)
    count = len({header.rescale for header in slices})
    return (f"{count} different rescales (slope, intercept) among the slices, applied slice by slice",) * (count > 1)


def _shift_hu(lower: np.ndarray, upper: np.ndarray) -> float:
    """By how much nearly all voxels move from one slice to the next; 0 where they do not move together."""
    moved = upper.astype(np.float32) - lower.astype(np.float32)
    low, middle, high = np.percentile(moved, (20, 50, 80))
    return float(middle) if low * high > 0 and min(abs(low), abs(high)) > MIN_STEP_HU / 2 else 0.0


def _mismatch_hu(values: np.ndarray, first: SliceHeader, second: SliceHeader) -> float:
    """Mean difference of two slices of different rescale that all but vanishes with the rescale of either; else 0.

    values: HU [x, y, 2].
    """
    lower, upper = values[..., 0], values[..., 1]
    if first.rescale == second.rescale or len(np.unique(lower)) < MIN_VALUES:
        return 0.0
    upper_stored = (upper.astype(np.float64) - second.intercept) / second.slope
    lower_stored = (lower.astype(np.float64) - first.intercept) / first.slope
    difference = float(np.abs(upper.astype(np.float64) - lower).mean())
    remaining = min(
        float(np.abs(upper_stored * first.slope + first.intercept - lower).mean()),
        float(np.abs(lower_stored * second.slope + second.intercept - upper).mean()),
    )
    return difference if difference >= MIN_MISMATCH_HU and remaining < MAX_REMAINING_SHARE * difference else 0.0


def _explain_mismatch(slices: Sequence[SliceHeader], mismatch: float) -> str:
    """Which slices have which rescale, and what it does."""
    usual = Counter(header.rescale for header in slices).most_common(1)[0][0]
    odd = [header for header in slices if header.rescale != usual]
    places = list_first([f"{header.position[2]:.6g}" for header in odd], MAX_SHOWN)
    return (
        f"RescaleIntercept or RescaleSlope is wrong or missing in {len(odd)} of {len(slices)} slices: "
        f"{odd[0].intercept:g} and {odd[0].slope:g} at z = {places} mm, {usual[1]:g} and {usual[0]:g} elsewhere, "
        f"though the stored values go on: a step of {mismatch:.0f} HU; repair the headers first"
    )
