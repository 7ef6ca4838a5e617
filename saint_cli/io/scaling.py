"""Stored values to scanner values and back: whole numbers stay whole, acquired values come back as they were stored."""

from dataclasses import replace

import numpy as np

from saint_cli.volume import Storage, Volume
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
    values = _apply_scaling(stored, storage)
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


def _apply_scaling(stored: np.ndarray, storage: Storage) -> np.ndarray:
    """``stored * slope + intercept``, computed in float64 slice by slice along the last axis."""
    slope, intercept = storage.slope, storage.intercept
    values = np.empty(stored.shape, dtype=choose_scaled_dtype(stored, slope, intercept), order="F")
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(stored.shape[-1]):
            values[..., k] = stored[..., k].astype(np.float64) * slope + intercept
    return values


def choose_scaled_dtype(stored: np.ndarray, slope: float, intercept: float) -> type[np.floating]:
    """float32 where scanner values of it give back ``stored`` and do not overflow, else float64."""
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


def choose_storage(volume: Volume) -> Storage:
    """How to store the voxels of a volume in a format that has scaling (NIfTI).

    Integers are stored as they are; floats the way the source stored integers where that gives them back, else as they
    are.
    """
    values, source = volume.voxels, volume.header.storage
    if values.dtype.kind != "f" or source is None or source.dtype.kind not in "iu":
        return Storage(values.dtype)
    coding = Coding.of_dtype(source.dtype, source.slope, source.intercept)
    is_held = all(np.array_equal(coding.nearest(plane), plane) for plane in np.moveaxis(values, 2, 0))
    return source if is_held else Storage(values.dtype)


def drop_foreign_codings(volume: Volume) -> Volume:
    """The volume without ``codings`` and ``storage`` where its voxels are not what these can stand for.

    So it is with a Volume that was cropped, or whose voxels were changed, though its header was kept. Voxels that are
    not finite stand for nothing that can be stored.
    """
    codings, slices = volume.header.codings, volume.shape[2]
    if not codings:
        return volume
    of_slices = codings * slices if len(codings) == 1 else codings
    if len(of_slices) == slices:
        planes = zip(of_slices, np.moveaxis(volume.voxels, 2, 0), strict=True)
        if all(np.array_equal(coding.nearest(plane), plane) for coding, plane in planes):
            return volume
    return replace(volume, header=replace(volume.header, codings=(), storage=None))
