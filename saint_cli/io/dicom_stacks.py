"""From loose slices to stacks: slices that belong together, in order, with one affine."""

import filecmp
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from saint_cli import geometry, regularity
from saint_cli.errors import GeometryError, SaintError
from saint_cli.io.checks import tilt_note
from saint_cli.io.dicom_fragments import identity, join
from saint_cli.io.dicom_layout import are_parallel, value_of
from saint_cli.io.dicom_slice import CONTRAST_KEYS, SliceHeader
from saint_cli.io.dicom_volumes import UNSHOWN, Split, split_volumes
from saint_cli.io.exceptions import convert_exceptions


@dataclass(frozen=True)
class Stack:
    """Slices of one volume, by ascending position along their normal.

    geometry: their affine; None where ``problem`` says why they have none.
    split_by: what tells the stack from others of its series at the same positions, such as "EchoTime 30"; else "".
    run_of: names the irregular stack that it is a regular run of (``dicom_runs``); else "".
    hint: which larger stack it would be a part of with ``--merge``; else "". is_scattered: its slices carry other
    identifiers each (``dicom_fragments``). is_doubtful: a run that may alternate between two scans.
    """

    slices: tuple[SliceHeader, ...]
    geometry: geometry.SliceStack | None
    problem: SaintError | None
    warnings: tuple[str, ...]
    split_by: str = ""
    run_of: str = ""
    hint: str = ""
    is_scattered: bool = False
    is_doubtful: bool = False

    @property
    def is_usable(self) -> bool:
        """Whether it can be upsampled, as far as headers tell."""
        return self.problem is None

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID of the slices; empty where they have none."""
        return self.slices[0].series_uid


def build_stacks(slices: Sequence[SliceHeader], *, merge: bool = False) -> list[Stack]:
    """Group slices into stacks, in the order of series number, UID, first InstanceNumber, and of what tells them apart.

    With ``merge`` slices whose UIDs or ImageType differ are one stack wherever they are evenly spaced.
    """
    distinct, copies = _drop_copies(slices)
    stacks: list[tuple[tuple[object, ...], Stack]] = []
    for group in join(_group(distinct), merge=merge):
        count = copies[group.members[0].stack_uids]
        larger = [f"other stacks may belong to this scan: {group.hint}"] if group.hint else []
        notes = (
            *([f"{count} duplicated {'file' if count == 1 else 'files'} ignored"] if count else []),
            *group.notes,
            *larger,
        )
        for rank, split in enumerate(_split(group.members, merge=merge)):
            one = _build_split(split, notes)
            problem = one.problem or group.problem
            one = replace(one, problem=problem, hint=group.hint, is_scattered=group.is_scattered)
            place = one.slices[0].series_number, one.series_uid, _first_number(one.slices)
            stacks.append(((*place, min(s.sop_instance for s in group.members), rank), one))
    return [one for _, one in sorted(stacks, key=lambda pair: pair[0])]


def _split(members: list[SliceHeader], *, merge: bool) -> list[Split]:
    """The volumes of a group; all of it with the problem where files of it cannot be compared, as others are none."""
    try:
        with convert_exceptions(members[0].path):
            return split_volumes(members, merge=merge)
    except SaintError as error:
        return [Split(members, problem=error)]


def _build_split(split: Split, notes: tuple[str, ...]) -> Stack:
    made = replace(build(split.members, (*notes, *split.notes)), split_by=split.shown)
    return made if split.problem is None else replace(made, problem=split.problem)


def _first_number(slices: Sequence[SliceHeader]) -> int:
    return min(s.instance_number for s in slices)


def _drop_copies(slices: Sequence[SliceHeader]) -> tuple[list[SliceHeader], Counter[tuple[str, ...]]]:
    """The slices without second copies of one file, and the number of copies by series.

    One SOPInstanceUID proves nothing: files of several passes may share it, and copies may be coded differently.
    """
    same: dict[tuple[object, ...], list[SliceHeader]] = defaultdict(list)
    copies: Counter[tuple[str, ...]] = Counter()
    contents = lru_cache(maxsize=None)(_are_alike)
    for one in slices:
        kept = same[(one.sop_instance, one.frame, one.series_uid, *one.position.round(6).tolist())]
        if any(contents(other.path, one.path) for other in kept):
            copies[one.stack_uids] += 1
        else:
            kept.append(one)
    return [one for kept in same.values() for one in kept], copies


def _are_alike(one: Path, other: Path) -> bool:
    """Whether two files hold the same bytes; not where one cannot be read any more, which its reader will tell."""
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _group(slices: Sequence[SliceHeader]) -> list[list[SliceHeader]]:
    """Slices of the same series, frame of reference, class, kind, matrix, pixel spacing and orientation."""
    exact: dict[tuple[object, ...], list[list[SliceHeader]]] = defaultdict(list)
    for one in slices:
        groups = exact[(*identity(one).values(), one.sop_class, one.shape)]
        home = next((g for g in groups if are_parallel(g[0], one)), None)
        if home is None:
            groups.append([one])
        else:
            home.append(one)
    return [group for groups in exact.values() for group in groups]


def build(members: Sequence[SliceHeader], notes: tuple[str, ...]) -> Stack:
    """One stack of these slices, in order if they are regular, with what is odd about it."""
    first = members[0]
    try:
        placed = geometry.stack_slices(np.array([s.position for s in members]), first.orientation, first.pixel_spacing)
    except GeometryError as problem:
        ordered = sorted(members, key=lambda s: s.order)
        return Stack(tuple(ordered), None, problem, notes)
    ordered = [members[i] for i in placed.order]
    if first.is_phase:
        wraps = GeometryError("phase map: its values wrap around, so no interpolation holds; choose another series")
        return Stack(tuple(ordered), placed, wraps, (*notes, *_geometry_notes(ordered, placed)))
    return Stack(tuple(ordered), placed, None, (*notes, *_geometry_notes(ordered, placed)))


def _geometry_notes(slices: Sequence[SliceHeader], placed: geometry.SliceStack) -> list[str]:
    distance, step = geometry.slice_distance_mm(placed.affine_lps, 2), geometry.spacing_mm(placed.affine_lps)[2]
    told, says = _contrast_notes(slices), f"{distance:.4g} mm"
    if placed.tilt_degrees:
        says = f"{step:.4g} mm along the table, {distance:.4g} mm along the normal"
        told.append(tilt_note(placed.tilt_degrees, step, distance, is_ct=slices[0].modality == "CT"))
    if placed.deviation_mm > regularity.REGULAR_FRACTION * distance:
        told.append(f"slice positions deviate from an even spacing by up to {placed.deviation_mm:.2g} mm")
    between = slices[0].spacing_between_slices
    known = (distance, step) if placed.tilt_degrees else (distance,)
    if between is not None and all(abs(abs(between) - mm) > 0.01 * mm for mm in known):
        thickness = slices[0].slice_thickness
        shown = "" if thickness is None else f" (SliceThickness {thickness:.4g})"
        told.append(f"SpacingBetweenSlices says {between:.4g} mm{shown}; the positions say {says} and are used")
    return told


def _contrast_notes(slices: Sequence[SliceHeader]) -> list[str]:
    """Warnings of attributes that should be the same in all slices of a volume and are not."""
    told = []
    for key in CONTRAST_KEYS:
        values = Counter(value for one in slices if (value := value_of(one, key)) is not None)
        if len(values) > 1 and len(key) == 1 and key not in UNSHOWN:
            shown = ", ".join(f"{value[0]:g}" if isinstance(value[0], float) else str(value[0]) for value in values)
            told.append(f"{key[0]} differs between slices of this stack ({shown}); they may be of different scans")
    return told
