"""DICOM series as volumes: choose a stack, decode its slices, rescale them."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from saint_cli.errors import GeometryError, SaintError, UnreadableError, UsageError
from saint_cli.errors.plain_text import format_count
from saint_cli.io.dicom.alternation import describe_alternation
from saint_cli.io.dicom.declared_padding import find_padding
from saint_cli.io.dicom.folder_scan import HeaderScan, scan_headers
from saint_cli.io.dicom.headers import MOSAIC
from saint_cli.io.dicom.pixel_format import describe_high_bit
from saint_cli.io.dicom.pixels import PixelReader
from saint_cli.io.dicom.regular_runs import advise_uneven, find_regular_runs
from saint_cli.io.dicom.rescale import check_rescale, rescale
from saint_cli.io.dicom.selection import choose_stack
from saint_cli.io.dicom.slice_header import NO_SLOPE, SliceHeader
from saint_cli.io.dicom.sop_class import LABELS_HINT, LabelObject
from saint_cli.io.dicom.source_check import record_source
from saint_cli.io.dicom.stack_list import name_in_series
from saint_cli.io.dicom.stacks import Stack, accept_uneven, build_stacks
from saint_cli.io.dicom.stored_bits import read_stored_values
from saint_cli.io.dicom.validation import ignore_invalid_values
from saint_cli.io.read_options import ReadOptions, pick_stack_options
from saint_cli.io.skipped_files import NOT_DICOM, format_counts
from saint_cli.runtime import memory
from saint_cli.volume import Header, Volume
from saint_cli.volume.stored_values import Coding


@dataclass(frozen=True)
class StackInventory:
    """The stacks of a folder, and what else was found there (``folder_scan.HeaderScan``)."""

    stacks: tuple[Stack, ...]
    scan: HeaderScan


@ignore_invalid_values()
def list_stacks(
    path: Path,
    *,
    split_runs: bool = False,
    irregular: bool = False,
    merge: bool = False,
    may_be_empty: bool = False,
    on_progress: Callable[[int], None] = lambda count: None,
) -> StackInventory:
    """The CT, MR and PET stacks below a folder, in a zip file, or in one file.

    Pixels are read only where slices share a position. With ``split_runs`` the regular runs of irregular stacks stand
    in their place, with ``irregular`` they count as volumes; ``merge`` as for ``build_stacks``.
    ``on_progress`` is called with the number of files read.

    Raises:
        UnreadableError: ``path`` is missing, or holds only files that are damaged or colour images.
        UsageError: no CT, MR or PET slice. Neither is raised of a folder that ``may_be_empty``.
    """
    scan = scan_headers(path, on_progress)
    if not scan.slices and not may_be_empty:
        raise no_slices_error(path, scan)
    stacks = build_stacks(scan.slices, merge=merge)
    if split_runs:
        stacks = [run for stack in stacks for run in find_regular_runs(stack) or [stack]]
    if irregular:
        stacks = [accept_uneven(stack) for stack in stacks]
    noted = (replace(stack, warnings=(*_count_notes(stack.slices), *stack.warnings)) for stack in stacks)
    return StackInventory(tuple(noted), scan)


@ignore_invalid_values()
def read_series(path: Path, options: ReadOptions) -> Volume:
    """Read the stack that ``series`` and ``volume`` choose, see :func:`~saint_cli.io.dicom.selection.choose_stack`.

    With ``split_runs`` an irregular stack is read as its longest regular run, or as the one that ``volume`` counts;
    with ``irregular`` it is read whole, and the header says where slices lie.

    Raises:
        UsageError: no CT, MR or PET slices, several stacks and no ``series``, no stack of that name, or too little
            memory.
        UnreadableError: damaged files or pixel data.
        GeometryError: missing, duplicated or unevenly spaced slices, or a single one; 4-D and no ``volume``.
    """
    inventory = list_stacks(path, **pick_stack_options(options))
    stack, notes = choose_stack(path, inventory.stacks, options)
    return read_stack(path, stack, inventory, options, notes, name_in_series(inventory.stacks, stack))


def check_usable(path: Path, stack: Stack, scan: HeaderScan, offered: frozenset[str]) -> None:
    """Refuse a stack that is not regular, saying why and which choice may help; errors as of :func:`read_series`."""
    if stack.problem is not None or stack.geometry is None:
        raise _explain_problem(path, stack, scan, offered)


@ignore_invalid_values()
def read_stack(
    path: Path,
    stack: Stack,
    inventory: StackInventory,
    options: ReadOptions,
    choice_notes: tuple[str, ...],
    name: str,
) -> Volume:
    """Read one stack of an inventory; errors as of :func:`read_series`.

    choice_notes: warnings on the choice of the stack. name: which of several volumes it is.
    """
    check_usable(path, stack, inventory.scan, options.offered)
    assert stack.geometry is not None
    itemsize = max(header.pixel_format.dtype.itemsize for header in stack.slices)
    memory.check_voxels_fit(path, itemsize * math.prod(stack.slices[0].shape) * len(stack.slices), options.max_memory)
    with PixelReader() as reader:
        stored, slices, bit_notes = read_stored_values(stack.slices, reader)
    voxels, storage = rescale(stored, slices)
    padding, padding_notes = find_padding(stored, voxels, slices)
    notes = (*bit_notes, *_describe_pixels(reader), *padding_notes, *choice_notes, *_describe_skipped(inventory.scan))
    alternation = () if stack.is_alternation_known else describe_alternation(voxels)
    header = Header(
        slices[0].modality or None,
        "DICOM",
        storage,
        warnings=(*stack.warnings, *notes, *check_rescale(voxels, slices), *alternation),
        dicom_source=record_source(slices, inventory.scan),
        padding=padding,
        codings=_list_codings(slices),
        slice_positions=stack.geometry.slice_positions,
        volume_name=name,
    )
    return Volume(voxels, stack.geometry.affine_lps, header)


def _list_codings(slices: Sequence[SliceHeader]) -> tuple[Coding, ...]:
    """The coding of each slice; one where all have the same."""
    codings = tuple(header.coding for header in slices)
    return codings[:1] if len(set(codings)) == 1 else codings


def _count_notes(slices: Sequence[SliceHeader]) -> list[str]:
    """What was odd about headers, with the number of slices where it is not all of them."""
    notes = ((describe_high_bit(header.pixel_format), *header.notes) for header in slices)
    counts = Counter(note for several in notes for note in several if note)
    if counts[NO_SLOPE] == len(slices):
        del counts[NO_SLOPE]
    return [note if n == len(slices) else f"{note} ({n} of {len(slices)} slices)" for note, n in counts.items()]


def _explain_problem(path: Path, stack: Stack, scan: HeaderScan, offered: frozenset[str]) -> SaintError:
    """Why a stack cannot be read, and which of the choices that are offered may help."""
    assert stack.problem is not None
    if isinstance(stack.problem, UnreadableError):
        return stack.problem
    alone = "; give the folder that holds the series" if path.is_file() and len(stack.slices) == 1 else ""
    larger = f"; other slices may belong to it: {stack.merge_hint}" if stack.merge_hint and "merge" in offered else ""
    problems = {reason: scan.skipped[reason] for reason in scan.named}
    beside = f" (skipped files: {format_counts(problems, scan.named)})" if problems else ""
    uneven = advise_uneven(stack, offered)
    return type(stack.problem)(f"{path}: {stack.problem}{alone}{larger}{uneven}{beside}")


def no_slices_error(path: Path, scan: HeaderScan) -> SaintError:
    """Why a folder without a CT, MR or PET slice cannot be used."""
    if not scan.skipped:
        return UsageError(f"{path}: the folder holds no files; nothing to interpolate")
    reasons = set(scan.skipped) - {NOT_DICOM}
    counts = format_counts(scan.skipped, scan.named if path.is_dir() else {})
    if reasons == {"colour image"}:
        return UnreadableError(f"{path}: colour image, not a CT/MR volume; give the grey-value scan itself")
    if MOSAIC in reasons:
        return GeometryError(
            f"{path}: {format_count(scan.skipped[MOSAIC], f'{MOSAIC} image')}, in which many slices are tiled; convert "
            "the study to NIfTI with dcm2niix first"
        )
    if reasons and reasons <= scan.damaged:
        return UnreadableError(f"{path}: no readable DICOM slice ({counts})")
    advice = "; give a NIfTI, NRRD or MHA file by its name" if not reasons else ""
    if reasons & {kind.value for kind in LabelObject}:
        advice = f"; {LABELS_HINT}"
    return UsageError(f"{path}: nothing to interpolate: no CT, MR or PET slices (skipped: {counts}){advice}")


def _describe_pixels(reader: PixelReader) -> list[str]:
    """Warnings of what was odd about pixels: the first file of each kind, and how many more there are."""
    warnings = []
    for notes, prefix in (
        (reader.high_bit_notes, ""),
        (reader.excess_notes, ""),
        (reader.decoder_notes, "the decoder found pixel data odd, look at the result: "),
    ):
        more = f" (and {format_count(len(notes) - 1, 'more file')})" if len(notes) > 1 else ""
        warnings += [f"{prefix}{path.name}: {note}{more}" for path, note in list(notes.items())[:1]]
    return warnings


def _describe_skipped(scan: HeaderScan) -> list[str]:
    """A warning of skipped files, by their names alone: QC pages show no folders."""
    if not scan.skipped:
        return []
    names = {reason: [Path(name).name for name in paths] for reason, paths in scan.named.items()}
    return [f"skipped files: {format_counts(scan.skipped, names)}"]
