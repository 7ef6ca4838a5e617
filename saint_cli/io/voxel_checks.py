"""What every reader requires of a shape, and what it warns of in the values."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError, UnreadableError
from saint_cli.errors.parameter_names import adapt_message
from saint_cli.io import fill_values
from saint_cli.io.label_maps import MIN_VOXELS, count_labels, format_warning
from saint_cli.volume import Volume, warning_words

OFFSET_AIR, OFFSET_TISSUE, OFFSET_MIDDLE = 100, (850, 1150), (500, 1500)
"""Where HU + 1024 puts air, fat to muscle, and lung to spongy bone."""

OFFSET_SHARES = (0.02, 0.1, 0.65)
"""Least share of voxels that are air, that are tissue, and of those in the middle that are tissue. 23 CT scans from
head to legs had at least 0.04, 0.18 and 0.77; of the third, no MR scan had more than 0.46."""

WRAPPED_RANGE, WRAPPED_SHARE, WRAPPED_KINDS = 8192, 0.02, 16
"""How far from either end of an unsigned type the values lie that were signed, the least share of them at each end, and
the least number of different ones at the upper end: padding and saturation are one."""

SAMPLES = 500_000

MAX_EXACT_FLOAT64 = 2**53
"""Whole numbers up to this are exact in float64, the type in which large ones are interpolated."""


def check_values(volume: Volume) -> Volume:
    """The volume with its fill values marked as padding, and a warning for everything that is odd about its values."""
    volume = fill_values.mark_fill_values(volume)
    return volume.with_warning(*find_value_warnings(volume))


def require_finite(voxels: np.ndarray, name: object) -> None:
    """Refuse voxels of which none holds a measurement; ``name``: what holds them.

    Raises:
        UnreadableError: every voxel is NaN or infinite.
    """
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).any():
        raise UnreadableError(f"{name}: no voxel is a finite number (all are NaN or infinite); export the file again")


def find_value_warnings(volume: Volume) -> tuple[str, ...]:
    """Sentences about odd values: not finite, too large for float64, or by their looks labels, wrapped, HU + 1024."""
    voxels, warnings = volume.voxels, []
    if voxels.dtype.kind == "f":
        bad = voxels.size - int(np.count_nonzero(np.isfinite(voxels)))
        if bad:
            are = "is" if bad == 1 else "are"
            warnings.append(f"{bad} of {voxels.size} voxels {are} NaN or infinite: {warning_words.HIDDEN}")
    elif voxels.dtype.itemsize == 8 and max(-int(voxels.min()), int(voxels.max())) > MAX_EXACT_FLOAT64:
        warnings.append(f"{voxels.dtype} values beyond 2^53 lose their last digits in synthesised slices")
    labels = count_labels(voxels)
    if labels or volume.header.is_labels:
        warnings.append(format_warning(labels))
    elif wrapped := _find_wrapped(voxels):
        warnings.append(
            f"values look like signed numbers that were written as unsigned ones ({wrapped} for -1); correct their type"
        )
    elif is_likely_offset(volume):
        warnings.append("values look like HU + 1024 (air near 0, tissue near 1024); if they are, subtract 1024 first")
    return tuple(warnings)


def _find_wrapped(voxels: np.ndarray) -> int:
    """The value that probably stands for -1, of whole numbers whose signs were lost; 0 of all others."""
    if voxels.dtype.kind not in "iu" or voxels.size < MIN_VOXELS:
        return 0
    sample = voxels.ravel(order="K")[:: max(1, voxels.size // SAMPLES)]
    for bits in (16, 32):
        most = (1 << bits) - 1
        low, high = sample < WRAPPED_RANGE, sample > most - WRAPPED_RANGE
        if sample.min() < 0 or sample.max() > most or (low | high).mean() < 1 - WRAPPED_SHARE:
            continue
        if min(low.mean(), high.mean()) >= WRAPPED_SHARE and len(np.unique(sample[high])) >= WRAPPED_KINDS:
            return most
    return 0


def is_likely_offset(volume: Volume) -> bool:
    """Whether the values besides padding are probably HU + 1024: CT as scanners store it, its RescaleIntercept lost."""
    if volume.voxels.size < MIN_VOXELS:
        return False
    sample = volume.voxels.ravel(order="K")[:: max(1, volume.voxels.size // SAMPLES)]
    sample = sample[~volume.header.is_padding(sample)]
    if not sample.size or sample.min() < 0 or not OFFSET_MIDDLE[1] / 2 < sample.max() < 1 << 13:
        return False
    tissue = float(((sample > OFFSET_TISSUE[0]) & (sample < OFFSET_TISSUE[1])).mean())
    middle = float(((sample > OFFSET_MIDDLE[0]) & (sample < OFFSET_MIDDLE[1])).mean())
    shares = (float((sample < OFFSET_AIR).mean()), tissue, tissue / max(middle, 1e-9))
    return all(share >= least for share, least in zip(shares, OFFSET_SHARES, strict=True))


def format_tilt(degrees: float, step_mm: float, distance_mm: float, *, is_ct: bool) -> str:
    """A sentence about tilted slices: ``step_mm`` from slice to slice, ``distance_mm`` of it along their normal."""
    name, along = ("Gantry tilt", "the table") if is_ct else ("Gantry tilt or shear", "the step")
    return adapt_message(
        f"{name} {degrees:.1f}°: {warning_words.TILTED}, {step_mm:.4g} mm along {along}, "
        f"{distance_mm:.4g} mm along the normal; `untilt=True` resamples them to a rectangular grid"
    )


def drop_unit_axes(sizes: Sequence[int]) -> tuple[int, ...]:
    """Sizes without axes of length one beyond the third."""
    shape = list(sizes)
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    return tuple(shape)


def require_volumes(shape: tuple[int, ...], path: Path, *, allow_several: bool) -> tuple[tuple[int, int, int], int]:
    """The shape of one volume, and how many there are along a fourth axis, if ``allow_several`` allows for several.

    Raises:
        GeometryError: a 2-D image, one slice, a line, an axis without voxels, or more axes than that.
    """
    volumes = shape[3] if allow_several and len(shape) == 4 else 1
    shape = shape[:3] if volumes > 1 else shape
    shown = geometry.format_shape(shape)
    if any(n < 1 for n in shape):
        raise GeometryError(f"{path}: {shown} voxels; an axis is empty")
    if len(shape) > 3:
        hint = f"split its {shape[3]} volumes first" if len(shape) == 4 else "split it into 3-D volumes first"
        raise GeometryError(f"{path}: {len(shape)}-D image ({shown}), not one volume; {hint}")
    if sum(n > 1 for n in shape) < 2:
        raise GeometryError(f"{path}: a line of voxels ({shown}), not a volume: at least 2 are needed along every axis")
    if len(shape) < 3 or min(shape) == 1:
        raise GeometryError(f"{path}: 2-D image or single slice ({shown}); at least 2 slices are needed to interpolate")
    x, y, z = shape
    return (x, y, z), volumes
