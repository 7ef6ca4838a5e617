"""Slices of one scan whose identifiers differ: where UIDs or ImageType change from slice to slice, or are absent."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from saint_cli import regularity
from saint_cli.errors import GeometryError, SaintError
from saint_cli.io.dicom_layout import Layout, Part, are_parallel
from saint_cli.io.dicom_slice import SliceHeader
from saint_cli.io.dicom_volumes import split_volumes

IDENTIFIERS = ("ImageType", "FrameOfReferenceUID", "StudyInstanceUID", "SeriesInstanceUID")

LEVELS = (
    *((name,) for name in IDENTIFIERS),
    ("ImageType", "FrameOfReferenceUID", "StudyInstanceUID"),
    ("FrameOfReferenceUID", "SeriesInstanceUID"),
    ("StudyInstanceUID", "SeriesInstanceUID"),
    ("FrameOfReferenceUID", "StudyInstanceUID", "SeriesInstanceUID"),
    IDENTIFIERS,
)
"""Identifiers that are disregarded together, the fewest first."""


@dataclass(frozen=True)
class Group:
    """Slices that may form volumes.

    notes, problem: what is odd about their identifiers, and why they are not taken as one scan.
    hint: what these slices and others would form together with ``--merge``; is_scattered: the identifiers differ
    from slice to slice.
    """

    members: Part
    notes: tuple[str, ...] = ()
    problem: SaintError | None = None
    hint: str = ""
    is_scattered: bool = False


def identity(one: SliceHeader) -> dict[str, object]:
    """What tells the series of a slice from others; a series without UID goes by its folder and number."""
    study, series, frame = one.stack_uids
    stand_in = ("", str(one.path.parent), str(one.series_number))
    return {
        "ImageType": one.image_type,
        "FrameOfReferenceUID": frame,
        "StudyInstanceUID": study,
        "SeriesInstanceUID": (series,) if series else stand_in,
    }


def join(groups: Sequence[Part], *, merge: bool = False) -> list[Group]:
    """Groups of slices that differ in identifiers alone and form one even stack, joined where that is safe.

    It is where the identifiers but SeriesInstanceUID differ from slice to slice, where one is absent, and where the
    parts are no volumes by themselves, or halves of different ImageType. Everything else is joined with ``merge``.
    """
    left = [Group(part) for part in groups]
    for level in LEVELS:
        left = _join_level(left, level, merge=merge)
    return left


def _join_level(groups: list[Group], level: tuple[str, ...], *, merge: bool) -> list[Group]:
    buckets: dict[object, list[Group]] = defaultdict(list)
    for group in groups:
        buckets[_rest(group, level, merge=merge)].append(group)
    joined: list[Group] = []
    for bucket in buckets.values():
        joined += _join_bucket(bucket, level, merge=merge) if _are_one(bucket) else bucket
    return joined


def _rest(group: Group, level: tuple[str, ...], *, merge: bool) -> object:
    """What groups of one bucket share: all but the identifiers of the level, and the direction, to a thousandth."""
    first = group.members[0]
    if group.problem is not None:
        return id(group)
    names = tuple(value for name, value in identity(first).items() if name not in level)
    turned = tuple(np.round(first.orientation, 2) + 0.0)
    number = None if merge else first.series_number
    return (names, first.sop_class, first.shape, first.is_phase, number, turned)


def _are_one(bucket: list[Group]) -> bool:
    """Whether the slices of several groups, taken together, are even volumes."""
    members = [one for group in bucket for one in group.members]
    if len(bucket) < 2 or len(members) < regularity.FEWEST:
        return False
    if not all(are_parallel(members[0], group.members[0]) for group in bucket):
        return False
    layout = Layout(members)
    if not layout.repeats:
        return layout.is_regular(members)
    if not _is_scattered(bucket, members):
        return False
    splits = [split for split in split_volumes(members) if split.problem is None]
    return len(splits) > 1 and all(_is_volume(split.members) for split in splits)


def _is_volume(members: Part) -> bool:
    if len(members) < regularity.FEWEST:
        return False
    layout = Layout(members)
    return not layout.repeats and layout.is_regular(members)


def _is_scattered(bucket: list[Group], members: Part) -> bool:
    return len(bucket) > len(members) / 2


def _join_bucket(bucket: list[Group], level: tuple[str, ...], *, merge: bool) -> list[Group]:
    members = [one for group in bucket for one in group.members]
    names = _differing(members, level)
    told = f"{' and '.join(names)} {'differs' if len(names) == 1 else 'differ'}"
    scattered = _is_scattered(bucket, members)
    where = f"from slice to slice ({len(bucket)} values in {len(members)} slices)" if scattered else "within one scan"
    taken = f"{told} {where}; taken as one scan, since the slices are evenly spaced"
    notes = tuple(note for group in bucket for note in group.notes)
    if merge or _is_safe(bucket, names, scattered=scattered):
        return [Group(members, (*notes, taken))]
    if scattered:
        problem = GeometryError(f"{told} {where}, though the slices are evenly spaced; --merge takes them as one scan")
        return [Group(members, notes, problem, is_scattered=True)]
    hint = f"they differ in {' and '.join(names)}; --merge takes them as one even stack of {len(members)} slices"
    return [replace(group, hint=group.hint or hint) for group in bucket]


def _differing(members: Part, level: tuple[str, ...]) -> list[str]:
    values = [identity(one) for one in members]
    return [name for name in level if len({value[name] for value in values}) > 1] or list(level)


def _is_safe(bucket: list[Group], names: list[str], *, scattered: bool) -> bool:
    """Whether nobody could have meant the groups as scans of their own."""
    values = {name: {identity(group.members[0])[name] for group in bucket} for name in names}
    given = {name: [value for value in found if _is_given(value)] for name, found in values.items()}
    contradicted = [name for name in names if len(given[name]) > 1]
    if "SeriesInstanceUID" in contradicted:
        return False
    if scattered or not all(_is_volume(group.members) for group in bucket):
        return True
    if not contradicted:
        return any(given.values())
    return contradicted == ["ImageType"] and _are_blocks(bucket)


def _is_given(value: object) -> bool:
    return bool(value) and (not isinstance(value, tuple) or value[0] != "")


def _are_blocks(bucket: list[Group]) -> bool:
    """Whether the groups lie one after the other, none between the slices of another."""
    members = [one for group in bucket for one in group.members]
    layout = Layout(members)
    owner = {id(one): i for i, group in enumerate(bucket) for one in group.members}
    order = np.argsort(layout.along, kind="stable")
    owners = [owner[id(layout.slices[i])] for i in order]
    return sum(a != b for a, b in pairwise(owners)) == len(bucket) - 1
