"""From loose slices to stacks: slices that belong together, in order, with one affine."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError, SaintError
from saint_cli.io.checks import tilt_note
from saint_cli.io.dicom_pixels import read_slices
from saint_cli.io.dicom_slice import VOLUME_KEYS, SliceHeader

PARALLEL = 1e-3
"""Largest difference in a component of ImageOrientationPatient between slices of one stack (rounding in DS)."""

SAME_SPACING = 1e-3
"""Largest relative difference of PixelSpacing between slices of one stack."""


@dataclass(frozen=True)
class Stack:
    """Slices of one volume, by ascending position along their normal.

    geometry: their affine; None where ``problem`` says why they have none.
    split_by: what tells the stack from others of its series at the same positions, such as "EchoTime 30"; else "".
    run_of: names the irregular stack that it is a regular run of (``dicom_runs``); else "".
    """

    slices: tuple[SliceHeader, ...]
    geometry: geometry.SliceStack | None
    problem: SaintError | None
    warnings: tuple[str, ...]
    split_by: str = ""
    run_of: str = ""

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID of the slices."""
        return self.slices[0].series_uid


def build_stacks(slices: Sequence[SliceHeader]) -> list[Stack]:
    """Group slices into stacks, in the order of series number, UID, then first file; independent of file order."""
    distinct, copies = _drop_copies(slices)
    stacks = []
    for group in _group(distinct):
        told = [f"{copies[_series_key(group[0])]} duplicated files ignored"] if _series_key(group[0]) in copies else []
        for members, notes, key in _split_volumes(group):
            stacks.append(replace(build(members, (*told, *notes)), split_by=key))
    return sorted(stacks, key=lambda s: (s.slices[0].series_number, s.series_uid, _first_instance(s.slices)))


def _first_instance(slices: Sequence[SliceHeader]) -> tuple[int, str]:
    return min((s.instance_number, s.sop_instance) for s in slices)


def _series_key(one: SliceHeader) -> tuple[str, ...]:
    return one.stack_uids


def _drop_copies(slices: Sequence[SliceHeader]) -> tuple[list[SliceHeader], dict[tuple[str, ...], int]]:
    """The slices without second copies of one instance at one position, and the number of copies by series."""
    kept: dict[tuple[object, ...], SliceHeader] = {}
    copies: dict[tuple[str, ...], int] = defaultdict(int)
    for one in slices:
        key = (one.sop_instance, one.frame, one.series_uid, *one.position.round(3).tolist())
        if key in kept:
            copies[_series_key(one)] += 1
        else:
            kept[key] = one
    return list(kept.values()), dict(copies)


def _group(slices: Sequence[SliceHeader]) -> list[list[SliceHeader]]:
    """Slices of the same series, frame of reference, class, kind, matrix, pixel spacing and orientation."""
    exact: dict[tuple[object, ...], list[list[SliceHeader]]] = defaultdict(list)
    for one in slices:
        groups = exact[(*one.stack_uids, one.sop_class, one.image_type, one.shape)]
        home = next((g for g in groups if _parallel(g[0], one)), None)
        if home is None:
            groups.append([one])
        else:
            home.append(one)
    return [group for groups in exact.values() for group in groups]


def _parallel(one: SliceHeader, other: SliceHeader) -> bool:
    same_spacing = np.allclose(one.pixel_spacing, other.pixel_spacing, rtol=SAME_SPACING, atol=0)
    return bool(same_spacing and np.abs(one.orientation - other.orientation).max() <= PARALLEL)


_Split = tuple[list[SliceHeader], tuple[str, ...], str]
"""Slices of one volume, notes on how it was found, and what tells it from the others."""


def _split_volumes(group: list[SliceHeader]) -> list[_Split]:
    """The volumes in a group that visits its positions several times."""
    place = _place_indices(group)
    visits = np.bincount(place)
    if len(visits) < 2 or visits.max() == 1:
        return [(group, (), "")]
    for complete in (True, False):
        for index, key in enumerate(VOLUME_KEYS):
            volumes = _split_by(group, index)
            if _are_volumes(volumes, visits, complete=complete):
                note = f"one of {len(volumes)} volumes told apart by {' and '.join(key)}"
                return [(v, (note,), _shown_key(key, v[0].volume_keys[index])) for v in volumes]
    group, dropped = _drop_identical(group, place)
    notes = (f"{dropped} slices ignored, identical to another at the same position",) if dropped else ()
    visits = np.bincount(_place_indices(group))
    if visits.min() == visits.max() > 1:
        volumes = _split_by_rank(group)
        note = f"one of {len(volumes)} volumes told apart by the order of InstanceNumber only"
        return [(v, (*notes, note), f"visit {k}") for k, v in enumerate(volumes, 1)]
    return [(group, notes, "")]


def _shown_key(names: tuple[str, ...], values: tuple[object, ...]) -> str:
    """Attribute and value that tell a volume apart; the time of day is not for showing."""
    if "ContentTime" in names:
        return ""
    return f"{names[0]} {values[0]}" if values[0] is not None else ""


def _place_indices(group: Sequence[SliceHeader]) -> np.ndarray:
    """(n,) int: number of each slice's position, counted along the normal."""
    along = geometry.positions_along_normal(np.array([s.position for s in group]), group[0].orientation)
    order = np.argsort(along, kind="stable")
    place = np.empty(len(group), dtype=int)
    place[order] = np.concatenate([[0], np.cumsum(np.diff(along[order]) >= geometry.SAME_POSITION_MM)])
    return place


def _split_by(group: Sequence[SliceHeader], index: int) -> list[list[SliceHeader]]:
    volumes: dict[object, list[SliceHeader]] = defaultdict(list)
    for one in group:
        volumes[one.volume_keys[index]].append(one)
    return list(volumes.values())


def _are_volumes(volumes: list[list[SliceHeader]], visits: np.ndarray, *, complete: bool) -> bool:
    """Whether no volume repeats a position and, if ``complete``, every volume visits all of them."""
    if len(volumes) != visits.max():
        return False
    if complete and any(len(volume) != len(visits) for volume in volumes):
        return False
    return all(np.bincount(_place_indices(volume)).max() == 1 for volume in volumes)


def _split_by_rank(group: Sequence[SliceHeader]) -> list[list[SliceHeader]]:
    """Volume i holds the i-th slice of every position by InstanceNumber."""
    visited: dict[int, int] = defaultdict(int)
    volumes: dict[int, list[SliceHeader]] = defaultdict(list)
    ordered = sorted(group, key=lambda s: (s.instance_number, s.sop_instance, s.frame))
    for one, place in zip(ordered, _place_indices(ordered).tolist(), strict=True):
        volumes[visited[place]].append(one)
        visited[place] += 1
    return list(volumes.values())


def _drop_identical(group: Sequence[SliceHeader], place: np.ndarray) -> tuple[list[SliceHeader], int]:
    """The group without slices whose pixels equal another's at the same position."""
    here: dict[int, list[SliceHeader]] = defaultdict(list)
    for one, number in zip(group, place.tolist(), strict=True):
        here[number].append(one)
    kept: list[SliceHeader] = []
    for members in here.values():
        members.sort(key=lambda s: (s.instance_number, s.sop_instance, s.frame))
        kept.extend(_distinct(members) if len(members) > 1 else members)
    return kept, len(group) - len(kept)


def _distinct(members: Sequence[SliceHeader]) -> list[SliceHeader]:
    found: dict[object, SliceHeader] = {}
    for index, stored in read_slices(members):
        one = members[index]
        found.setdefault((stored.tobytes(), one.slope, one.intercept), one)
    return list(found.values())


def build(members: Sequence[SliceHeader], notes: tuple[str, ...]) -> Stack:
    """One stack of these slices, in order if they are regular, with what is odd about it."""
    first = members[0]
    try:
        placed = geometry.stack_slices(np.array([s.position for s in members]), first.orientation, first.pixel_spacing)
    except GeometryError as problem:
        ordered = sorted(members, key=lambda s: (s.instance_number, s.sop_instance, s.frame))
        return Stack(tuple(ordered), None, problem, notes)
    ordered = [members[i] for i in placed.order]
    if first.is_phase:
        wraps = GeometryError("phase map: its values wrap around, so no interpolation holds; choose another series")
        return Stack(tuple(ordered), placed, wraps, (*notes, *_geometry_notes(ordered, placed)))
    return Stack(tuple(ordered), placed, None, (*notes, *_geometry_notes(ordered, placed)))


def _geometry_notes(slices: Sequence[SliceHeader], placed: geometry.SliceStack) -> list[str]:
    distance, step = geometry.slice_distance_mm(placed.affine_lps, 2), geometry.spacing_mm(placed.affine_lps)[2]
    told, says = [], f"{distance:.4g} mm"
    if placed.tilt_degrees:
        says = f"{step:.4g} mm along the table, {distance:.4g} mm along the normal"
        told.append(tilt_note(placed.tilt_degrees, step, distance, is_ct=slices[0].modality == "CT"))
    if placed.deviation_mm > max(geometry.REGULAR_MM, geometry.REGULAR_FRACTION * distance):
        told.append(f"slice positions deviate from an even spacing by up to {placed.deviation_mm:.2g} mm")
    between = slices[0].spacing_between_slices
    known = (distance, step) if placed.tilt_degrees else (distance,)
    if between is not None and all(abs(abs(between) - mm) > 0.01 * mm for mm in known):
        thickness = slices[0].slice_thickness
        shown = "" if thickness is None else f" (SliceThickness {thickness:.4g})"
        told.append(f"SpacingBetweenSlices says {between:.4g} mm{shown}; the positions say {says} and are used")
    return told
