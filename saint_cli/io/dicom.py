"""DICOM series as volumes: choose a stack, decode its slices, rescale them."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from saint_cli import memory
from saint_cli.errors import GeometryError, SaintError, UnreadableError, UsageError
from saint_cli.io import limits
from saint_cli.io.dicom_bits import bit_note, settle_bits
from saint_cli.io.dicom_choice import choose
from saint_cli.io.dicom_decoder import Decoder
from saint_cli.io.dicom_headers import MOSAIC
from saint_cli.io.dicom_pixels import HIGH_BITS, read_slices, stored_dtype
from saint_cli.io.dicom_rescale import check_rescale
from saint_cli.io.dicom_runs import hint, split_runs
from saint_cli.io.dicom_scan import Scan, scan
from saint_cli.io.dicom_slice import SliceHeader
from saint_cli.io.dicom_sources import make_origin
from saint_cli.io.dicom_stacks import Stack, build_stacks
from saint_cli.io.limits import ReadLimits
from saint_cli.io.scaling import dtype_of_scaled, unscale
from saint_cli.io.skipped import shown_counts
from saint_cli.volume import Header, Range, Storage, Volume


@dataclass(frozen=True)
class Inventory:
    """The stacks of a folder, and what else was found there (``dicom_scan.Scan``)."""

    stacks: tuple[Stack, ...]
    scan: Scan

    @property
    def skipped(self) -> Counter[str]:
        """How many files were skipped for which reason."""
        return self.scan.skipped

    @property
    def named(self) -> dict[str, list[str]]:
        """The first skipped files for each reason that is a problem."""
        return self.scan.named

    @property
    def others(self) -> list[Path]:
        """The files that are not DICOM."""
        return self.scan.others

    @property
    def keeper(self) -> object:
        """What keeps the files of a zip where they are."""
        return self.scan.keeper


def list_stacks(
    path: Path,
    *,
    in_runs: bool = False,
    merge: bool = False,
    may_be_empty: bool = False,
    on_progress: Callable[[int], None] = lambda count: None,
) -> Inventory:
    """The CT, MR and PET stacks below a folder, in a zip file, or in one file; of the pixels only repeated positions.

    With ``in_runs`` the regular runs of irregular stacks stand in their place; ``merge`` as for ``build_stacks``.
    ``on_progress`` is called with the number of files read.

    Raises:
        UnreadableError: ``path`` is missing, or holds only files that are damaged or colour images.
        UsageError: no CT or MR slice. Neither is raised of a folder that ``may_be_empty``.
    """
    found = scan(path, on_progress)
    if not found.slices and not may_be_empty:
        raise nothing_found(path, found)
    stacks = build_stacks(found.slices, merge=merge)
    if in_runs:
        stacks = [run for stack in stacks for run in split_runs(stack)]
    told = (replace(stack, warnings=(*_header_notes(stack.slices), *stack.warnings)) for stack in stacks)
    return Inventory(tuple(told), found)


def read(
    path: Path,
    series: str | None = None,
    volume: int | None = None,
    allowed: ReadLimits = limits.DEFAULT,
    *,
    in_runs: bool = False,
    merge: bool = False,
) -> Volume:
    """Read the stack that ``series`` and ``volume`` choose, see :func:`~saint_cli.io.dicom_choice.choose`.

    With ``in_runs`` an irregular stack is read as its longest regular run, or as the one that ``volume`` counts.

    Raises:
        UsageError: no CT or MR slices, several stacks and no ``series``, no stack of that name, or too little memory.
        UnreadableError: damaged files or pixel data.
        GeometryError: missing, duplicated or unevenly spaced slices, or a single one; 4-D and no ``volume``.
    """
    inventory = list_stacks(path, in_runs=in_runs, merge=merge)
    stack, told = choose(path, inventory.stacks, series, volume)
    if isinstance(stack.problem, UnreadableError):
        raise stack.problem
    if stack.problem is not None:
        alone = "; give the folder that holds the series" if path.is_file() and len(stack.slices) == 1 else ""
        named = {reason: inventory.skipped[reason] for reason in inventory.named}
        beside = f" (skipped files: {shown_counts(named, inventory.named)})" if named else ""
        larger = f"; other slices may belong to it: {stack.hint}" if stack.hint else ""
        raise type(stack.problem)(f"{path}: {stack.problem}{alone}{larger}{hint(stack)}{beside}")
    assert stack.geometry is not None
    pixel = max(stored_dtype(one.pixel).itemsize for one in stack.slices)
    memory.check_voxels(path, pixel * math.prod(stack.slices[0].shape) * len(stack.slices), allowed.max_memory)
    remarks: list[str] = []
    with Decoder() as decoder:
        slices, bits = settle_bits(stack.slices, decoder)
        stored = _stored(slices, decoder, remarks)
    voxels, storage = _rescale(stored, slices)
    cut = [remark for remark in remarks if remark.endswith(HIGH_BITS)]
    remarks = [remark for remark in remarks if remark not in cut]
    for found, told_of in ((cut, ""), (remarks, "the decoder found pixel data odd, look at the result: ")):
        more = f" (and {len(found) - 1} more files)" if len(found) > 1 else ""
        bits = (*bits, *(f"{told_of}{one}{more}" for one in found[:1]))
    if inventory.skipped:
        names = {reason: [Path(name).name for name in paths] for reason, paths in inventory.named.items()}
        told = (*told, f"skipped files: {shown_counts(inventory.skipped, names)}")  # pages show no folder
    warnings = (*stack.warnings, *bits, *told, *check_rescale(voxels, slices))
    modality = slices[0].modality or None
    origin = make_origin(slices, inventory.scan)
    codings = tuple(one.coding for one in slices)
    if len(set(codings)) == 1:
        codings = codings[:1]
    padding = _padding(slices, voxels.dtype)
    header = Header(modality, "DICOM", storage, 1, warnings, padding, origin, codings=codings)
    return Volume(voxels, stack.geometry.affine_lps, header)


def _header_notes(slices: Sequence[SliceHeader]) -> list[str]:
    """What was odd about headers, with the number of slices where it is not all of them."""
    counts = Counter(note for one in slices for note in (bit_note(one.pixel), *one.notes) if note)
    return [note if n == len(slices) else f"{note} ({n} of {len(slices)} slices)" for note, n in counts.items()]


def nothing_found(path: Path, found: Scan) -> SaintError:
    """Why a folder without a CT, MR or PET slice cannot be used."""
    if not found.skipped:
        return UsageError(f"{path}: the folder holds no files; nothing to interpolate")
    reasons = set(found.skipped) - {"not DICOM"}
    told = shown_counts(found.skipped, found.named if path.is_dir() else {})
    if reasons == {"colour image"}:
        return UnreadableError(f"{path}: colour image, not a CT/MR volume")
    if MOSAIC in reasons:
        return GeometryError(
            f"{path}: {found.skipped[MOSAIC]} {MOSAIC} images, each of many slices tiled in one; convert them to "
            "NIfTI with dcm2niix first"
        )
    if reasons and reasons <= found.damaged:
        return UnreadableError(f"{path}: no readable DICOM slice ({told})")
    hint = "; give a NIfTI, NRRD or MHA file by its name" if not reasons else ""
    return UsageError(f"{path}: nothing to interpolate: no CT, MR or PET slices (skipped: {told}){hint}")


def _stored(slices: Sequence[SliceHeader], decoder: Decoder, remarks: list[str]) -> np.ndarray:
    """Stored values [x, y, z] of slices in order, in the smallest type that holds those of every slice.

    Memory is taken when the first slice has shown that its pixels are there.
    """
    rows, columns = slices[0].shape
    dtype = np.result_type(*{stored_dtype(s.pixel) for s in slices})
    stored = np.empty((0, 0, 0), dtype)
    for index, plane in read_slices(slices, decoder, remarks):
        if not stored.size:
            stored = np.empty((columns, rows, len(slices)), dtype=dtype, order="F")
        stored[:, :, index] = plane.T  # [row, column] -> [x, y]
    return stored


def _rescale(stored: np.ndarray, slices: Sequence[SliceHeader]) -> tuple[np.ndarray, Storage]:
    """Scanner values and how to store them again (Modality LUT, PS3.3 C.11.1): whole numbers where they are whole."""
    scalings = {(s.slope, s.intercept) for s in slices}
    if any(slope == 0 for slope, _ in scalings):
        raise UnreadableError(f"{slices[0].path}: RescaleSlope is 0, so every value would be the same")
    if len(scalings) > 1:
        kinds = {dtype_of_scaled(stored[:, :, k], one.slope, one.intercept) for k, one in enumerate(slices)}
        values = np.empty(stored.shape, dtype=np.result_type(*kinds), order="F")
        for k, one in enumerate(slices):
            values[:, :, k] = stored[:, :, k].astype(np.float64) * one.slope + one.intercept
        return values, Storage(values.dtype)
    slope, intercept = scalings.pop()
    if slope.is_integer() and intercept.is_integer():
        return _whole(stored, int(slope), int(intercept))
    return unscale(stored, Storage(stored.dtype, slope, intercept))


def _padding(slices: Sequence[SliceHeader], dtype: np.dtype) -> tuple[Range, ...]:
    """The ranges of scanner values, of ``dtype``, that padding has in any slice: what one names holds for all."""
    kind = dtype.type if dtype.kind == "f" else np.float32
    ranges = set[Range]()
    for one in slices:
        if one.padding is not None:
            ends = sorted(kind(v * one.slope + one.intercept) for v in one.padding)
            ranges.add((float(ends[0]), float(ends[1])))
    return tuple(sorted(ranges))


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
