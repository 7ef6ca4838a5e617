"""Stored values to scanner values and back: whole numbers stay whole, acquired values come back as they were stored."""

import numpy as np

from saint_cli.volume import Storage
from saint_cli.volume.stored_values import Coding

MAX_FLOAT32_STEPS = 2**23
"""Largest scanner value, in slopes, of which float32 gives back the stored integer: its relative error is up to 2^-24,
and half a step is the limit."""

MAX_FLOAT32, MIN_FLOAT32_STEP = 3e38, 2.0**-148
"""Beyond the first a float32 overflows; slopes below the second are no multiples of its smallest number."""


def unscale(stored: np.ndarray, storage: Storage) -> tuple[np.ndarray, Storage]:
    """Scanner values of ``stored`` (native byte order), and how to store such values again.

    Integers without scaling keep their dtype. Everything else becomes float32 where that is enough to store it again,
    bit for bit, and float64 where it is not.
    """
    if storage.is_identity:
        values = stored if stored.dtype.kind != "f" else narrow_floats(stored)
        return values, Storage(values.dtype)
    values = apply_scaling(stored, storage)
    if stored.dtype.kind == "f":
        values = narrow_floats(values)
        return values, Storage(values.dtype)
    return values, Storage(stored.dtype, storage.slope, storage.intercept)


def narrow_floats(values: np.ndarray) -> np.ndarray:
    """Floats as float32 where it holds every one of them exactly, else as float64; itself where it is that."""
    if values.dtype.itemsize <= 4:
        return values.astype(np.float32, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        slowest = int(np.argmax(np.abs(values.strides)))
        for plane in np.moveaxis(values, slowest, 0):  # most arrays that do not fit are known by their first slice
            if not np.array_equal(plane.astype(np.float32), plane, equal_nan=True):
                return values.astype(np.float64, copy=False)
        return values.astype(np.float32)


def apply_scaling(stored: np.ndarray, storage: Storage) -> np.ndarray:
    """``stored * slope + intercept``, computed in float64 slice by slice along the last axis.

    float32 where it gives back the stored integers, and does not overflow; else float64.
    """
    slope, intercept = storage.slope, storage.intercept
    values = np.empty(stored.shape, dtype=choose_scaled_dtype(stored, slope, intercept), order="F")
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(stored.shape[-1]):
            values[..., k] = stored[..., k].astype(np.float64) * slope + intercept
    return values


def choose_scaled_dtype(stored: np.ndarray, slope: float, intercept: float) -> type[np.floating]:
    """The type of scanner values that give back ``stored``, as of :func:`apply_scaling`."""
    if stored.dtype.kind == "f" and stored.dtype.itemsize > 4:
        return np.float64
    values = stored if stored.dtype.kind != "f" else stored[np.isfinite(stored)]
    ends = (float(values.min()), float(values.max())) if values.size else (0.0,)
    most = max(abs(end * slope + intercept) for end in ends)
    if stored.dtype.kind == "f":
        return np.float64 if most > MAX_FLOAT32 else np.float32
    exact = most < min(MAX_FLOAT32_STEPS * abs(slope), MAX_FLOAT32) and abs(slope) >= MIN_FLOAT32_STEP
    return np.float32 if exact else np.float64


def encode(values: np.ndarray, storage: Storage) -> np.ndarray:
    """Values to store: ``values`` themselves, or rounded into an integer ``storage.dtype``; clipped, never wrapped.

    Not-a-number becomes scanner value 0, or the nearest that can be stored.
    """
    if storage.dtype.kind == "f" or values.dtype.kind != "f":
        return values.astype(storage.dtype, copy=False)
    return Coding.of_dtype(storage.dtype, storage.slope, storage.intercept).encode(values).astype(storage.dtype)


def choose_storage(values: np.ndarray, source: Storage | None) -> Storage:
    """How to store ``values`` in a format that has scaling (NIfTI).

    Integer voxels are stored as they are; float voxels the way the source stored integers, else as they are.
    """
    if values.dtype.kind == "f" and source is not None and source.dtype.kind in "iu":
        return source
    return Storage(values.dtype)
