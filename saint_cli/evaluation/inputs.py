"""The dense volumes of an evaluation: names, central slices, and what makes their scores mean less."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from saint_cli.errors import GeometryError, UsageError
from saint_cli.evaluation.degrade import take_slices
from saint_cli.evaluation.metrics import Factor
from saint_cli.evaluation.scores import DenseScan, require_slices
from saint_cli.geometry import in_plane, through_plane_axis
from saint_cli.geometry.spacing_limits import check_spacing
from saint_cli.io import read_volume
from saint_cli.method import intensity, padding
from saint_cli.volume import Volume, hounsfield, warning_words

THICKEST_DENSE_MM, THICKEST_DENSE_PIXELS = 2.5, 5.0
"""Slices farther apart than this, or than so many pixels, are themselves what saint is asked to interpolate."""


@dataclass(frozen=True)
class EvaluationInputs:
    """What to score: files at factors; axis None for the one with the largest spacing; central slices, None for all."""

    files: list[Path]
    factors: list[Factor]
    axis: int | None = None
    slices: int | None = None


def name_files(files: list[Path]) -> dict[Path, str]:
    """Each file's name, with as many folders before it as distinguish it from the others."""
    names = {file: file.name for file in files}
    for depth in range(2, max((len(file.parts) for file in files), default=0) + 1):
        shared = [name for name, times in Counter(names.values()).items() if times > 1]
        names = {f: "/".join(f.parts[-depth:]) if name in shared else name for f, name in names.items()}
    return names


def read_dense_volume(file: Path, inputs: EvaluationInputs) -> DenseScan:
    """A file's central slices, with their modality in the header.

    Raises:
        UsageError: it holds values that are not finite, or a single value.
        GeometryError: too few slices for one of the factors, or a spacing that no scan has.
    """
    volume = read_volume(file, offered=frozenset())
    try:
        check_spacing(volume.affine_lps)
    except GeometryError as error:
        raise GeometryError(f"{file}: {error}") from None
    volume = replace(volume, header=replace(volume.header, modality=intensity.find_modality(volume)))
    data_range = None if intensity.is_ct(volume) else intensity.find_data_range(volume)
    axis = inputs.axis
    if axis is None:
        axis = through_plane_axis(volume.spacing_mm, allow_isotropic=True)
    volume = keep_central_slices(volume, axis, inputs.slices)
    volume = padding.hide_padding(volume, axis)  # for interpolators, and because no protocol compares it
    for factor in inputs.factors:
        require_slices(volume.shape[axis], factor, file.name)
    _require_comparable(volume.voxels, file, inputs.slices)
    most = hounsfield.MAX_HU
    if volume.voxels.dtype.kind == "f" and np.abs(volume.voxels).max() > most:
        volume = replace(volume, voxels=np.clip(volume.voxels, -most, most).astype(np.float32))
    return DenseScan(volume, axis, data_range)


def _require_comparable(voxels: np.ndarray, file: Path, slices: int | None) -> None:
    """Refuse voxels, of so many central slices or (None) of all, with which no figure would mean anything.

    Raises:
        UsageError: some are not finite, or all have one value.
    """
    if unknown := np.count_nonzero(~np.isfinite(voxels)):
        are = "voxel is" if unknown == 1 else "voxels are"
        raise UsageError(f"{file}: {unknown} {are} NaN or infinite; nothing can be compared with them")
    if voxels.min() == voxels.max():
        of_slices = "" if slices is None else f" of the {slices} central slices"
        raise UsageError(
            f"{file}: every voxel{of_slices} has the same value, {voxels.flat[0]:g}; nothing can be compared"
        )


def find_warnings(volume: Volume, axis: int, factors: Sequence[Factor], name: str) -> tuple[str, ...]:
    """What makes the scores of a volume mean less: labels, a result of saint, slices that are themselves thick."""
    limits = [text for text in volume.header.warnings if warning_words.NO_LABELS in text]
    if warning_words.MADE_BY_SAINT in volume.header.warnings:
        limits.append("its header says that this is a result of saint, which is no truth to compare networks with")
    return (*(f"{name}: {text}" for text in limits), *_check_slice_thickness(volume, axis, factors, name))


def _check_slice_thickness(volume: Volume, axis: int, factors: Sequence[Factor], name: str) -> tuple[str, ...]:
    spacing = volume.spacing_mm
    between, pixels = spacing[axis], min(in_plane(spacing, axis))
    if between <= THICKEST_DENSE_MM and between <= THICKEST_DENSE_PIXELS * pixels:
        return ()
    sparse = ", ".join(f"{between * Fraction(factor).numerator:.3g}" for factor in factors)
    return (
        f"{name}: slices {between:.3g} mm apart (pixels {pixels:.3g} mm) are thick; the scores show how well they are "
        f"predicted from slices {sparse} mm apart, not how good new slices between them would be",
    )


def keep_central_slices(volume: Volume, axis: int, count: int | None) -> Volume:
    """The ``count`` slices in the middle of a volume, or all of it."""
    size = volume.shape[axis]
    if count is None or count >= size:
        return volume
    return take_slices(volume, axis, slice((size - count) // 2, (size - count) // 2 + count))
