"""DICOM series as volumes: choose a stack, decode its slices, rescale them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saint_cli.errors import SaintError, UnreadableError, UsageError
from saint_cli.io.checks import value_warnings
from saint_cli.io.dicom_headers import scan
from saint_cli.io.dicom_pixels import read_slices, stored_dtype
from saint_cli.io.dicom_slice import SliceHeader
from saint_cli.io.dicom_stacks import Stack, build_stacks
from saint_cli.io.scaling import unscale
from saint_cli.volume import Header, Storage, Volume

SHORTEST_SUFFIX = 4
"""Characters of a UID's end that may stand for it; fewer could be a number that was meant to count stacks."""

SHOWN_STACKS = 12
"""Stacks listed in the message that asks for a choice; more would hide the question."""


@dataclass(frozen=True)
class Inventory:
    """The stacks of a folder, and how many files were passed over for which reason."""

    stacks: tuple[Stack, ...]
    skipped: Counter[str]


def list_stacks(path: Path) -> Inventory:
    """The CT and MR stacks below a folder, or in one file; headers only, unless copies have to be compared.

    Raises:
        UnreadableError: ``path`` is missing, or holds only files that are damaged or colour images.
        UsageError: no CT or MR slice.
    """
    found = scan(path)
    if not found.slices:
        raise _nothing(path, found.skipped)
    return Inventory(tuple(build_stacks(found.slices)), found.skipped)


def read(path: Path, series: str | None) -> Volume:
    """Read one stack; ``series`` is its number in :func:`list_stacks` (from 1), its UID, or the end of its UID.

    Raises:
        UsageError: no CT or MR slices, several stacks and no ``series``, or no stack of that name.
        UnreadableError: damaged files or pixel data.
        GeometryError: missing, duplicated or unevenly spaced slices, or a single one.
    """
    inventory = list_stacks(path)
    stack, told = choose(path, inventory.stacks, series)
    if stack.problem is not None:
        hint = "; give the folder that holds the series" if path.is_file() and len(stack.slices) == 1 else ""
        raise type(stack.problem)(f"{path}: {stack.problem}{hint}")
    assert stack.geometry is not None
    voxels, storage = _rescale(_stored(stack.slices), stack.slices)
    if inventory.skipped:
        told = (*told, f"skipped files: {shown_counts(inventory.skipped)}")
    warnings = (*stack.warnings, *told, *value_warnings(voxels))
    modality = stack.slices[0].modality or None
    return Volume(voxels, stack.geometry.affine_lps, Header(modality, "DICOM", storage, 1, warnings))


def choose(path: Path, stacks: Sequence[Stack], series: str | None) -> tuple[Stack, tuple[str, ...]]:
    """The stack that ``series`` names, or the only one of more than one slice, with a note on those left out."""
    if series is None:
        able = [stack for stack in stacks if len(stack.slices) > 1] or list(stacks)
        if len(able) == 1:
            left = len(stacks) - 1
            return able[0], (f"{left} single slices beside the stack ignored",) if left else ()
        raise UsageError(f"{path}: {len(stacks)} stacks; choose one with --series: {_listed(stacks)}")
    if series.isdecimal() and 1 <= int(series) <= len(stacks):
        return stacks[int(series) - 1], ()
    named = [s for s in stacks if series and s.series_uid == series]
    if not named and len(series) >= SHORTEST_SUFFIX:
        named = [s for s in stacks if s.series_uid.endswith(series)]
    if len(named) == 1:
        return named[0], ()
    reason = f"names {len(named)} stacks" if named else "names no stack"
    raise UsageError(f"{path}: --series {series} {reason}; choose one of: {_listed(stacks)}")


def shown_counts(skipped: Counter[str]) -> str:
    """Counts by reason on one line, the commonest first."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items(), key=lambda r: (-r[1], r[0])))


def _listed(stacks: Sequence[Stack]) -> str:
    lines = [f"{number} = {_summary(stack)}" for number, stack in enumerate(stacks[:SHOWN_STACKS], 1)]
    more = [f"and {len(stacks) - SHOWN_STACKS} more"] if len(stacks) > SHOWN_STACKS else []
    return "; ".join(lines + more)


def _summary(stack: Stack) -> str:
    first = stack.slices[0]
    rows, columns = first.shape
    shape = f"{columns}x{rows}x{len(stack.slices)}"
    problem = " (not regular)" if stack.problem is not None and len(stack.slices) > 1 else ""
    return f"{first.modality} {shape}{problem} UID …{stack.series_uid[-8:]}"


def _nothing(path: Path, skipped: Counter[str]) -> SaintError:
    if not skipped:
        return UsageError(f"{path}: the folder holds no files; nothing to interpolate")
    reasons = set(skipped) - {"not DICOM"}
    if reasons == {"colour image"}:
        return UnreadableError(f"{path}: colour image, not a CT/MR volume")
    if reasons and reasons <= {"unreadable DICOM", "damaged header", "Modality LUT, not supported"}:
        return UnreadableError(f"{path}: no readable DICOM slice ({shown_counts(skipped)})")
    hint = "; give a NIfTI, NRRD or MHA file by its name" if not reasons else ""
    return UsageError(f"{path}: nothing to interpolate: no CT or MR slices (skipped: {shown_counts(skipped)}){hint}")


def _stored(slices: Sequence[SliceHeader]) -> np.ndarray:
    """Stored values [x, y, z] of slices in order, in the smallest type that holds those of every slice."""
    rows, columns = slices[0].shape
    dtype = np.result_type(*{stored_dtype(s.pixel) for s in slices})
    stored = np.empty((columns, rows, len(slices)), dtype=dtype, order="F")
    for index, plane in read_slices(slices):
        stored[:, :, index] = plane.T  # [row, column] -> [x, y]
    return stored


def _rescale(stored: np.ndarray, slices: Sequence[SliceHeader]) -> tuple[np.ndarray, Storage]:
    """Scanner values and how to store them again (Modality LUT, PS3.3 C.11.1): whole numbers where they are whole."""
    scalings = {(s.slope, s.intercept) for s in slices}
    if any(slope == 0 for slope, _ in scalings):
        raise UnreadableError(f"{slices[0].path}: RescaleSlope is 0, so every value would be the same")
    if len(scalings) > 1:
        values = np.empty(stored.shape, dtype=np.float32, order="F")
        for k, one in enumerate(slices):
            values[:, :, k] = stored[:, :, k].astype(np.float64) * one.slope + one.intercept
        return values, Storage(values.dtype)
    slope, intercept = scalings.pop()
    if slope.is_integer() and intercept.is_integer():
        return _whole(stored, int(slope), int(intercept))
    return unscale(stored, Storage(stored.dtype, slope, intercept))


def _whole(stored: np.ndarray, slope: int, intercept: int) -> tuple[np.ndarray, Storage]:
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
