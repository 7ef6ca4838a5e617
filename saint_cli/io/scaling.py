"""Stored values to scanner values and back: whole numbers stay whole, acquired values come back as they were stored."""

from typing import Any

import numpy as np

from saint_cli.volume import Storage


def unscale(stored: np.ndarray, storage: Storage) -> tuple[np.ndarray, Storage]:
    """Scanner values of ``stored`` (native byte order), and how to store such values again.

    Integers without scaling keep their dtype; everything else becomes float32.
    """
    if stored.dtype.kind == "f":
        values = stored if storage.is_identity else scaled(stored, storage.slope, storage.intercept)
        with np.errstate(over="ignore"):
            return values.astype(np.float32, copy=False), Storage(np.dtype(np.float32))
    if storage.is_identity:
        return stored, Storage(stored.dtype)
    return scaled(stored, storage.slope, storage.intercept), Storage(stored.dtype, storage.slope, storage.intercept)


def scaled(stored: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """float32 ``stored * slope + intercept``, computed in float64 slice by slice along the last axis."""
    values = np.empty(stored.shape, dtype=np.float32, order="F")
    for k in range(stored.shape[-1]):
        values[..., k] = stored[..., k].astype(np.float64) * slope + intercept
    return values


def encode(values: np.ndarray, storage: Storage) -> np.ndarray:
    """Values to store: ``values`` themselves, or rounded into an integer ``storage.dtype``; clipped, never wrapped.

    Not-a-number becomes scanner value 0, or the nearest that can be stored.
    """
    if storage.dtype.kind == "f" or values.dtype.kind != "f":
        return values.astype(storage.dtype, copy=False)
    limits = np.iinfo(storage.dtype)
    stored = np.rint((np.nan_to_num(values.astype(np.float64)) - storage.intercept) / storage.slope)
    return _clip(stored, limits).astype(storage.dtype)


def _clip(stored: np.ndarray, limits: Any) -> np.ndarray:
    """Clip float64 to an integer range; the top of 64-bit ranges is stepped down to a float64 below it."""
    high = float(limits.max)
    if int(high) > limits.max:
        high = float(np.nextafter(high, 0))
    return np.asarray(np.clip(stored, float(limits.min), high))


def output_storage(values: np.ndarray, source: Storage | None) -> Storage:
    """How to store ``values`` in a format that has scaling (NIfTI).

    Integer voxels are stored as they are; float voxels the way the source stored integers, else as float32.
    """
    if values.dtype.kind != "f":
        return Storage(values.dtype)
    if source is not None and source.dtype.kind in "iu":
        return source
    return Storage(np.dtype(np.float32))
