"""Slices of one scan are joined whose identifiers differ: UIDs or ImageType that change within it, or are absent."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from saint_cli.errors import GeometryError, SaintError
from saint_cli.geometry import regularity
from saint_cli.io.dicom.layout import Layout, SliceList, are_parallel, is_single_volume
from saint_cli.io.dicom.slice_header import SliceHeader
from saint_cli.io.dicom.volume_split import split_volumes

IDENTIFIERS = ("ImageType", "FrameOfReferenceUID", "StudyInstanceUID", "SeriesInstanceUID")

IGNORED_IDENTIFIERS = (
    *((name,) for name in IDENTIFIERS),
    ("ImageType", "FrameOfReferenceUID", "StudyInstanceUID"),
    ("FrameOfReferenceUID", "SeriesInstanceUID"),
    ("StudyInstanceUID", "SeriesInstanceUID"),
    ("FrameOfReferenceUID", "StudyInstanceUID", "SeriesInstanceUID"),
    IDENTIFIERS,
)
"""Identifiers that are ignored together, the fewest first."""


@dataclass(frozen=True)
class SliceGroup:
    """Slices that may form volumes.

    notes, problem: warnings about their identifiers, and why they are not taken as one scan.
    merge_hint: what these slices and others would form together with ``--merge``. is_scattered: the identifiers
    differ from slice to slice. label: the ImageType that distinguishes them from others of their series and matrix,
    such as "ImageType M"; "" where none does.
    """

    slices: SliceList
    notes: tuple[str, ...] = ()
    problem: SaintError | None = None
    merge_hint: str = ""
    is_scattered: bool = False
    label: str = ""


def identify_series(header: SliceHeader) -> tuple[str, ...]:
    """What tells a slice's series from others: its UID; where it has none, its folder and number."""
    return (header.series_uid,) if header.series_uid else ("", str(header.path.parent), str(header.series_number))


def series_identity(header: SliceHeader) -> dict[str, object]:
    """The identifiers of a slice's series."""
    return {
        "ImageType": header.image_type,
        "FrameOfReferenceUID": header.frame_of_reference_uid,
        "StudyInstanceUID": header.study_uid,
        "SeriesInstanceUID": identify_series(header),
    }


def join_groups(groups: Sequence[SliceList], *, merge: bool) -> list[SliceGroup]:
    """Join groups of slices that differ in identifiers alone and form one even stack, where that is safe.

    It is safe where the identifiers but SeriesInstanceUID differ from slice to slice, where one is absent, and where
    the groups are not volumes by themselves, or halves of different ImageType. With ``merge`` all such groups are
    joined.
    """
    joined = [SliceGroup(group) for group in groups]
    for ignored in IGNORED_IDENTIFIERS:
        joined = _join_ignoring(joined, ignored, merge=merge)
    return _label_image_types(joined)


def _label_image_types(groups: list[SliceGroup]) -> list[SliceGroup]:
    """The groups, those labelled that differ in ImageType from others of their series and matrix."""
    alike: dict[object, set[tuple[str, ...]]] = defaultdict(set)
    for group in groups:
        alike[_series_and_shape(group)] |= {header.image_type for header in group.slices}
    return [_label_image_type(group, alike[_series_and_shape(group)]) for group in groups]


def _label_image_type(group: SliceGroup, kinds: set[tuple[str, ...]]) -> SliceGroup:
    """The group labelled with the words of its one ImageType that not all ``kinds`` have, or with all of its words."""
    words = group.slices[0].image_type
    if len(kinds) == 1 or any(header.image_type != words for header in group.slices):
        return group
    shown = [word for word in words if not all(word in kind for kind in kinds)] or words
    return replace(group, label="ImageType " + "\\".join(shown)) if shown else group


def _series_and_shape(group: SliceGroup) -> object:
    return identify_series(group.slices[0]), group.slices[0].shape


def _join_ignoring(groups: list[SliceGroup], ignored: tuple[str, ...], *, merge: bool) -> list[SliceGroup]:
    candidates: dict[object, list[SliceGroup]] = defaultdict(list)
    for group in groups:
        candidates[_shared_identity(group, ignored, merge=merge)].append(group)
    joined: list[SliceGroup] = []
    for alike in candidates.values():
        joined += _join_alike(alike, ignored, merge=merge) if _form_even_volumes(alike) else alike
    return joined


def _shared_identity(group: SliceGroup, ignored: tuple[str, ...], *, merge: bool) -> object:
    """What groups share that may be joined: the identifiers that are not ignored, kind, and direction to 0.01."""
    first = group.slices[0]
    if group.problem is not None:
        return id(group)
    identifiers = tuple(value for name, value in series_identity(first).items() if name not in ignored)
    direction = tuple(np.round(first.orientation, 2) + 0.0)
    number = None if merge else first.series_number
    return (identifiers, first.sop_class, first.shape, first.is_phase, number, direction)


def _form_even_volumes(groups: list[SliceGroup]) -> bool:
    """Whether the slices of several groups, taken together, are even volumes."""
    slices = _all_slices(groups)
    if len(groups) < 2 or len(slices) < regularity.MIN_SLICES:
        return False
    if not all(are_parallel(slices[0], group.slices[0]) for group in groups):
        return False
    layout = Layout(slices)
    if not layout.repeats:
        return layout.is_regular(slices)
    if not _is_scattered(groups):
        return False
    splits = [split for split in split_volumes(slices) if split.problem is None]
    return len(splits) > 1 and all(is_single_volume(split.slices) for split in splits)


def _all_slices(groups: list[SliceGroup]) -> SliceList:
    return [header for group in groups for header in group.slices]


def _is_scattered(groups: list[SliceGroup]) -> bool:
    return len(groups) > len(_all_slices(groups)) / 2


def _join_alike(groups: list[SliceGroup], ignored: tuple[str, ...], *, merge: bool) -> list[SliceGroup]:
    slices, is_scattered = _all_slices(groups), _is_scattered(groups)
    names = _find_differing(slices, ignored)
    where = f"from slice to slice ({len(groups)} values in {len(slices)} slices)" if is_scattered else "within one scan"
    difference = f"{' and '.join(names)} {'differs' if len(names) == 1 else 'differ'} {where}"
    notes = tuple(note for group in groups for note in group.notes)
    if merge or _is_safe(groups, names):
        note = f"{difference}; taken as one scan, since the slices are evenly spaced"
        return [SliceGroup(slices, (*notes, note))]
    if is_scattered:
        problem = GeometryError(
            f"{difference}, though the slices are evenly spaced; `merge=True` takes them as one scan"
        )
        return [SliceGroup(slices, notes, problem, is_scattered=True)]
    hint = f"they differ in {' and '.join(names)}; `merge=True` takes them as one even stack of {len(slices)} slices"
    return [replace(group, merge_hint=group.merge_hint or hint) for group in groups]


def _find_differing(slices: SliceList, ignored: tuple[str, ...]) -> list[str]:
    identities = [series_identity(header) for header in slices]
    return [name for name in ignored if len({identity[name] for identity in identities}) > 1] or list(ignored)


def _is_safe(groups: list[SliceGroup], names: list[str]) -> bool:
    """Whether nobody could have meant the groups as scans of their own; names: the identifiers that differ."""
    identities = [series_identity(group.slices[0]) for group in groups]
    present = {name: {i[name] for i in identities if _is_present(i[name])} for name in names}
    contradicting = [name for name in names if len(present[name]) > 1]
    if "SeriesInstanceUID" in contradicting:
        return False
    if _is_scattered(groups) or not all(is_single_volume(group.slices) for group in groups):
        return True
    if not contradicting:
        return any(present.values())
    return contradicting == ["ImageType"] and _are_blocks(groups)


def _is_present(value: object) -> bool:
    return bool(value) and (not isinstance(value, tuple) or value[0] != "")


def _are_blocks(groups: list[SliceGroup]) -> bool:
    """Whether the groups lie one after the other, none between the slices of another."""
    layout = Layout(_all_slices(groups))
    owner = {id(header): i for i, group in enumerate(groups) for header in group.slices}
    owners = [owner[id(layout.slices[i])] for i in np.argsort(layout.along, kind="stable")]
    return sum(a != b for a, b in pairwise(owners)) == len(groups) - 1
