"""From loose slices to stacks: slices that belong together, in order, with one affine."""

import filecmp
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from saint_cli import geometry
from saint_cli.errors import PASSING_ERRORS, GeometryError, SaintError
from saint_cli.errors.parameter_names import adapt_message
from saint_cli.errors.plain_text import format_count
from saint_cli.geometry import regularity
from saint_cli.io.dicom.layout import SliceList, are_parallel
from saint_cli.io.dicom.merging import SliceGroup, identify_series, join_groups, series_identity
from saint_cli.io.dicom.slice_header import SliceHeader
from saint_cli.io.dicom.volume_keys import CONTRAST_KEYS, HIDDEN_KEYS
from saint_cli.io.dicom.volume_order import rank_volumes
from saint_cli.io.dicom.volume_split import VolumeSplit, split_volumes
from saint_cli.io.error_conversion import convert_exceptions
from saint_cli.io.sparse_copies import require_whole
from saint_cli.io.voxel_checks import format_tilt

MAX_SPACING_ERROR = 0.01
"""Relative difference of SpacingBetweenSlices from the positions' spacing beyond which it is reported."""


@dataclass(frozen=True)
class Stack:
    """Slices of one volume, by ascending position along their normal.

    geometry: their affine; None where ``problem`` says why they have none.
    split_by: what separates the stack from others of its series at the same positions, such as "EchoTime 30"; else "".
    run_of: names the irregular stack that it is a regular run of (``regular_runs``); else "". is_doubtful: a run that
    may alternate between two scans.
    merge_hint: which larger stack it would be a part of with ``--merge``; else "". is_scattered: each slice has other
    identifiers (``merging``). is_alternation_known: as of ``VolumeSplit``.
    """

    slices: tuple[SliceHeader, ...]
    geometry: geometry.SliceStack | None
    problem: SaintError | None
    warnings: tuple[str, ...]
    split_by: str = ""
    run_of: str = ""
    merge_hint: str = ""
    is_scattered: bool = False
    is_doubtful: bool = False
    is_alternation_known: bool = False

    @property
    def is_usable(self) -> bool:
        """Whether it can be upsampled, as far as headers show."""
        return self.problem is None and len(self.slices) > 1

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID of the slices; empty where they have none."""
        return self.slices[0].series_uid

    @property
    def series(self) -> tuple[str, ...]:
        """What tells its series from others, with and without a UID (``merging.identify_series``)."""
        return identify_series(self.slices[0])


def build_stacks(slices: Sequence[SliceHeader], *, merge: bool) -> list[Stack]:
    """Group slices into stacks, in the order of series number, UID, and of volumes (``volume_order``).

    With ``merge`` slices whose UIDs or ImageType differ are one stack wherever they are evenly spaced.
    """
    distinct, copies = _drop_copies(slices)
    ordered: list[tuple[tuple[object, ...], Stack]] = []
    for group in join_groups(_group_by_series(distinct), merge=merge):
        notes = _describe_group(group, copies[_series_key(group.slices[0])])
        splits = _split_group(group.slices, merge=merge)
        kind, first_uid = group.slices[0].image_type, min(header.sop_instance for header in group.slices)
        for split, (number, values) in zip(splits, rank_volumes([split.slices for split in splits]), strict=True):
            stack = _build_split(split, group, notes)
            own_uid = min(header.sop_instance for header in split.slices)
            order = (stack.slices[0].series_number, stack.series_uid, number, kind, first_uid, values, own_uid)
            ordered.append(((*order, len(ordered)), stack))
    return [stack for _, stack in sorted(ordered, key=lambda pair: pair[0])]


def _describe_group(group: SliceGroup, copies: int) -> tuple[str, ...]:
    duplicates = f"{format_count(copies, 'duplicated file')} ignored" if copies else ""
    larger = adapt_message(f"other stacks may belong to this scan: {group.merge_hint}") if group.merge_hint else ""
    return tuple(filter(None, (duplicates, *group.notes, larger)))


def _split_group(slices: SliceList, *, merge: bool) -> list[VolumeSplit]:
    """The volumes of a group; all of it with the problem if files of it cannot be compared.

    Raises:
        SaintError: one of ``PASSING_ERRORS``; as a problem it would be taken for one of the slices.
    """
    try:
        with convert_exceptions(slices[0].path):
            return split_volumes(slices, merge=merge)
    except PASSING_ERRORS:
        raise
    except SaintError as error:
        return [VolumeSplit(slices, problem=error)]


def _build_split(split: VolumeSplit, group: SliceGroup, notes: tuple[str, ...]) -> Stack:
    stack = build_stack(split.slices, (*notes, *split.notes))
    return replace(
        stack,
        problem=split.problem or stack.problem or group.problem,
        split_by=", ".join(filter(None, (group.label, split.label))),
        merge_hint=group.merge_hint,
        is_scattered=group.is_scattered,
        is_alternation_known=split.is_alternation_known,
    )


def _series_key(header: SliceHeader) -> tuple[str, ...]:
    return header.study_uid, header.series_uid, header.frame_of_reference_uid


def _drop_copies(slices: Sequence[SliceHeader]) -> tuple[SliceList, Counter[tuple[str, ...]]]:
    """The slices without second copies of one file, and the number of copies by series.

    One SOPInstanceUID proves nothing: files of several passes may share it, and copies may be coded differently.
    """
    by_identity: dict[tuple[object, ...], SliceList] = defaultdict(list)
    for header in slices:
        position = header.position.round(6).tolist()
        by_identity[(header.sop_instance, header.frame, header.series_uid, *position)].append(header)
    require_whole(header.path for alike in by_identity.values() if len(alike) > 1 for header in alike)
    copies: Counter[tuple[str, ...]] = Counter()
    have_same_bytes = lru_cache(maxsize=None)(_have_same_bytes)
    distinct: SliceList = []
    for alike in by_identity.values():
        kept: SliceList = []
        for header in alike:
            if any(have_same_bytes(other.path, header.path) for other in kept):
                copies[_series_key(header)] += 1
            else:
                kept.append(header)
        distinct += kept
    return distinct, copies


def _have_same_bytes(first: Path, second: Path) -> bool:
    """Whether two files hold the same bytes; not where one cannot be read any more, which its reader will report."""
    try:
        return filecmp.cmp(first, second, shallow=False)
    except OSError:
        return False


def _group_by_series(slices: Sequence[SliceHeader]) -> list[SliceList]:
    """Slices of the same series, frame of reference, class, kind, matrix, pixel spacing and orientation."""
    series: dict[tuple[object, ...], list[SliceList]] = defaultdict(list)
    for header in slices:
        groups = series[(*series_identity(header).values(), header.sop_class, header.shape)]
        group = next((group for group in groups if are_parallel(group[0], header)), None)
        if group is None:
            groups.append([header])
        else:
            group.append(header)
    return [group for groups in series.values() for group in groups]


def build_stack(slices: Sequence[SliceHeader], notes: tuple[str, ...]) -> Stack:
    """One stack of these slices, in order if they are regular, with warnings about it."""
    first = slices[0]
    positions = np.array([header.position for header in slices])
    try:
        placed = geometry.stack_slices(positions, first.orientation, first.pixel_spacing)
    except GeometryError as error:
        return Stack(tuple(sorted(slices, key=lambda header: header.sort_key)), None, error, notes)
    ordered = tuple(slices[i] for i in placed.order)
    warnings = (*notes, *_describe_contrast(ordered), *_describe_geometry(ordered, placed))
    return Stack(ordered, placed, _find_problem(first), warnings)


def accept_uneven(stack: Stack) -> Stack:
    """The stack taken as it is although its slices are unevenly spaced (``irregular``); itself where they are not."""
    if stack.geometry is not None or not isinstance(stack.problem, GeometryError):
        return stack
    first = stack.slices[0]
    positions = np.array([header.position for header in stack.slices])
    try:
        placed = geometry.stack_uneven_slices(positions, first.orientation, first.pixel_spacing)
    except GeometryError:
        return stack
    if not placed.slice_positions:  # evenly spaced: its problem is another
        return stack
    ordered = tuple(stack.slices[i] for i in placed.order)
    warnings = (*stack.warnings, *_describe_contrast(ordered), *_describe_gaps(ordered, placed))
    return replace(stack, slices=ordered, geometry=placed, problem=_find_problem(first), warnings=warnings)


def _find_problem(first: SliceHeader) -> SaintError | None:
    """Why a stack that has a geometry cannot be upsampled nevertheless."""
    if not first.is_phase:
        return None
    return GeometryError("phase map: its values wrap around, so no interpolation holds; choose another series")


def _describe_geometry(slices: Sequence[SliceHeader], placed: geometry.SliceStack) -> list[str]:
    """Warnings of tilt, of uneven positions, and of a SpacingBetweenSlices that contradicts the positions."""
    distance, step = geometry.slice_distance_mm(placed.affine_lps, 2), geometry.spacing_mm(placed.affine_lps)[2]
    warnings, shown = [], f"{distance:.4g} mm"
    if placed.tilt_degrees:
        shown = f"{step:.4g} mm along the table, {distance:.4g} mm along the normal"
        warnings.append(format_tilt(placed.tilt_degrees, step, distance, is_ct=slices[0].modality == "CT"))
    if placed.deviation_mm > regularity.REGULAR_FRACTION * distance:
        warnings.append(f"slice positions deviate from an even spacing by up to {placed.deviation_mm:.2g} mm")
    claimed, thickness = slices[0].spacing_between_slices, slices[0].slice_thickness
    known = (distance, step) if placed.tilt_degrees else (distance,)
    if claimed is not None and all(abs(abs(claimed) - mm) > MAX_SPACING_ERROR * mm for mm in known):
        thick = "" if thickness is None else f" (SliceThickness {thickness:.4g})"
        warnings.append(f"SpacingBetweenSlices says {claimed:.4g} mm{thick}; the positions say {shown} and are used")
    return warnings


def _describe_gaps(slices: Sequence[SliceHeader], placed: geometry.SliceStack) -> list[str]:
    """Warnings of uneven gaps, and of tilt."""
    distance, step = geometry.slice_distance_mm(placed.affine_lps, 2), geometry.spacing_mm(placed.affine_lps)[2]
    gaps = np.diff(placed.slice_positions) * step
    warnings = [
        f"slices are unevenly spaced: gaps of {gaps.min():.4g} to {gaps.max():.4g} mm, commonest {step:.4g} mm; each "
        "is interpolated by its own distance"
    ]
    if placed.tilt_degrees:
        warnings.append(format_tilt(placed.tilt_degrees, step, distance, is_ct=slices[0].modality == "CT"))
    return warnings


def _describe_contrast(slices: Sequence[SliceHeader]) -> list[str]:
    """Warnings of attributes that should be the same in all slices of a volume and are not."""
    warnings = []
    for key in CONTRAST_KEYS:
        values = Counter(value for header in slices if (value := header.comparable(key)) is not None)
        if len(values) > 1 and len(key) == 1 and key not in HIDDEN_KEYS:
            shown = ", ".join(f"{value[0]:g}" if isinstance(value[0], float) else str(value[0]) for value in values)
            warnings.append(f"{key[0]} differs between slices of this stack ({shown}); they may be of different scans")
    return warnings
