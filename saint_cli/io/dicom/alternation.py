"""Slices that alternate: two scans that lie between each other under the same headers, which only the images show."""

import numpy as np

SAMPLES_PER_AXIS = 64
"""Pixels along each axis that slices are compared at."""

MIN_SLICES = 6
"""Slices of the smallest stack that is judged: two scans of three each."""

LIKER_SHARE = 0.75
"""A slice is like the one two places on where it differs from it by less than this share of its difference from the
slice between. In a scan that one is further away, and differs at least as much: noise alone makes the share 1."""

MIN_ALTERNATING = 0.8
"""Share of the slices for which this holds in a stack that alternates."""


def describe_alternation(voxels: np.ndarray) -> tuple[str, ...]:
    """A warning if every second slice of a stack, scanner values [x, y, z], seems to belong to another scan."""
    count = voxels.shape[2]
    if count < MIN_SLICES:
        return ()
    every = tuple(-(-n // SAMPLES_PER_AXIS) for n in voxels.shape[:2])
    sample = voxels[:: every[0], :: every[1]]
    with np.errstate(over="ignore", invalid="ignore"):  # values that no scanner measures, and infinite ones
        beside, two_on = _measure_differences(sample, 1), _measure_differences(sample, 2)
        between = (beside[1:] + beside[:-1]) / 2
    if not (np.isfinite(between).all() and np.isfinite(two_on).all()):
        return ()
    if (two_on < LIKER_SHARE * between).mean() < MIN_ALTERNATING:
        return ()
    return (
        "slices alternate: each differs less from the slice two places on than from the slices beside it; taken as one "
        f"scan of {count} slices, but check whether it is two, of {(count + 1) // 2} and {count // 2} between each "
        "other (slices acquired in turn that differ in brightness look like this too)",
    )


def _measure_differences(sample: np.ndarray, step: int) -> np.ndarray:
    """Mean absolute difference of each slice of a sample [x, y, z] from the one ``step`` places on."""
    pairs = ((sample[..., k].astype(np.float64), sample[..., k + step]) for k in range(sample.shape[2] - step))
    return np.array([np.abs(first - second).mean() for first, second in pairs])
