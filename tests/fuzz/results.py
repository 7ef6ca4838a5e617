"""Whether what saint makes of a scan is right: its geometry, the acquired slices, what lies between them."""

import gzip
from pathlib import Path

import numpy as np
from fuzz.sample import CANARY, OUTSIDE

from saint_cli.jobs import Job
from saint_cli.volume import Volume


class NotAllowed(AssertionError):
    """A result or a message that breaks a promise; the first argument is the kind of failure."""


def check_volume(volume: Volume) -> None:
    """That a volume is what the package says: finite geometry, sensible spacing, no patient text."""
    if not np.isfinite(volume.affine_lps).all() or not all(s > 0 for s in volume.spacing_mm):
        raise NotAllowed("wrong", f"affine {volume.affine_lps.tolist()}")
    if OUTSIDE.encode() in volume.voxels.tobytes(order="F"):
        raise NotAllowed("outside", "voxels were read from outside the header's folder")
    if CANARY in repr(volume.header):
        raise NotAllowed("patient text", repr(volume.header)[:500])


def unpacked(target: Path) -> bytes:
    """The bytes of a file, unpacked if its name says that it is packed."""
    data = target.read_bytes()
    return gzip.decompress(data) if target.name.endswith(".gz") else data


def check_result(source: Volume, result: Volume, job: Job) -> None:
    """That acquired slices are the source's, and what lies between is finite and within the source's values."""
    grid = job.settings.grid.make_grid(source)
    window, offset = grid.locate()
    acquired = np.moveaxis(source.voxels, grid.axis, -1)
    made = np.moveaxis(result.voxels, grid.axis, -1)
    if made.shape != (*acquired.shape[:2], grid.count):
        raise NotAllowed("wrong", f"shape {made.shape} of {acquired.shape}, {grid.count} slices wanted")
    if not _is_same(made[..., offset == 0], acquired[..., window[offset == 0]], source, job):
        raise NotAllowed("wrong", f"acquired slices changed ({source.voxels.dtype} to {result.voxels.dtype})")
    finite = np.isfinite(acquired)
    if finite.all() and not np.isfinite(made).all():
        raise NotAllowed("wrong", "values that are no numbers, though the source has none")
    if finite.any() and not finite.all():
        return
    low, high = (float(f(acquired[finite])) if finite.any() else 0.0 for f in (np.min, np.max))
    slack = 1e-5 * max(abs(low), abs(high), high - low) + _step(source)
    found = made[np.isfinite(made)].astype(np.float64)
    if found.size and not (low - slack <= found.min() and found.max() <= high + slack):
        raise NotAllowed("wrong", f"values {found.min():g} ... {found.max():g} of a source of {low:g} ... {high:g}")


def _is_same(kept: np.ndarray, acquired: np.ndarray, source: Volume, job: Job) -> bool:
    """Whether slices are those that were acquired.

    NIfTI-1 has the same stored integers, but holds their slope and intercept as float32 only.
    """
    storage = source.header.storage
    with np.errstate(all="ignore"):
        scale = np.array([] if storage is None else [storage.slope, storage.intercept])
        is_rounded = not np.array_equal(scale.astype(np.float32), scale)
    if is_rounded and ".nii" in job.target.name:
        return np.allclose(kept, acquired, rtol=2**-22, atol=2**-22 * float(np.abs(scale).max()), equal_nan=True)
    return np.array_equal(kept, acquired, equal_nan=acquired.dtype.kind == "f")


def _step(source: Volume) -> float:
    storage = source.header.storage
    return 0.0 if storage is None or storage.is_identity else abs(storage.slope)
