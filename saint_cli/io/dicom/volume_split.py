"""The volumes of one series: passes, echoes, energies, kernels, phases and time points are separated, never mixed."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from saint_cli.errors import PASSING_ERRORS, GeometryError, SaintError, UnreadableError
from saint_cli.errors.plain_text import format_count
from saint_cli.geometry import regularity
from saint_cli.io.dicom.acquisition_order import split_by_number, split_by_time, split_by_time_rank
from saint_cli.io.dicom.layout import Layout, SliceList, overlap
from saint_cli.io.dicom.pixels import PixelReader
from saint_cli.io.dicom.slice_header import SliceHeader
from saint_cli.io.dicom.volume_keys import (
    CONTRAST_KEYS,
    HIDDEN_KEYS,
    ORDER_KEYS,
    RANK_KEYS,
    TIME_KEYS,
    UNIT_KEYS,
    VOLUME_KEYS,
    Key,
    comparable_value,
)
from saint_cli.io.dicom.volume_order import sort_volumes
from saint_cli.io.sparse_copies import require_whole

INSTANCE_NUMBER_ONLY = "the order of InstanceNumber only"


@dataclass(frozen=True)
class VolumeSplit:
    """Slices of one volume.

    notes: how it was separated. label: what distinguishes it, such as "EchoTime 30"; "" where it is the only one.
    problem: why it is not a volume after all. is_alternation_known: its slices may be scans between each other, as a
    note says, or are wanted as one (``merge``).
    """

    slices: SliceList
    notes: tuple[str, ...] = ()
    label: str = ""
    problem: SaintError | None = None
    is_alternation_known: bool = False


def split_volumes(group: SliceList, *, merge: bool = False) -> list[VolumeSplit]:
    """The volumes in slices of one series, orientation and matrix; with ``merge`` none that share no position.

    Raises:
        SaintError: one of ``PASSING_ERRORS``, which say nothing of the slices.
    """
    layout = Layout(group)
    if len(layout.counts) < 2:
        return [VolumeSplit(group)]
    if not layout.repeats:
        return [VolumeSplit(group, is_alternation_known=True)] if merge else _split_interleaved(layout)
    splits = _split_repeated(layout)
    if splits is not None:
        return splits
    try:
        distinct = _drop_identical(layout)
    except PASSING_ERRORS:
        raise
    except UnreadableError as error:
        return [VolumeSplit(group, problem=error)]
    dropped = len(group) - len(distinct)
    count = format_count(dropped, "duplicated slice")
    notes = (f"{count} ignored, identical to another at the same position",) if dropped else ()
    layout = Layout(distinct)
    if layout.repeats:
        splits = (_split_repeated(layout) if dropped else None) or _split_numbered(layout)
        splits = splits or [VolumeSplit(distinct, problem=_explain_undecided(layout))]
    else:
        splits = _split_interleaved(layout)
    return [replace(split, notes=(*notes, *split.notes)) for split in splits]


def _split_repeated(layout: Layout) -> list[VolumeSplit] | None:
    """The volumes of slices that share positions, separated by attributes and times; None where these do not."""
    splits = _split_by_attributes(layout, complete=True)
    if splits:
        return splits
    files = _group_by_value(layout.slices, None)
    if all(header.is_multiframe for header in layout.slices) and all(map(layout.is_volume, files)):
        return _label_parts(sort_volumes(files), "file")
    for key in (*RANK_KEYS, *TIME_KEYS):
        parts = split_by_time_rank(layout, key)
        if parts and _keep_contrast(parts):
            return _label_parts(parts, key[0])
    splits = _split_by_attributes(layout, complete=False)
    if splits:
        return splits

    def are_volumes(parts: Sequence[SliceList]) -> bool:
        return all(map(layout.is_volume, parts)) and _keep_contrast(parts)

    for key in ORDER_KEYS:
        parts = split_by_time(layout, key, are_volumes)
        if parts:
            return _label_parts(parts, key[0])
    return None


def _split_by_attributes(layout: Layout, *, complete: bool) -> list[VolumeSplit] | None:
    """The parts that one attribute makes, each divided further by others where it repeats positions.

    complete: accept only parts that visit every position.
    """
    for key in VOLUME_KEYS:
        parts = _group_by_value(layout.slices, key)
        if len(parts) < 2:
            continue
        if complete and not all(map(layout.covers, parts)):
            continue
        if not complete and not _are_incomplete_volumes(layout, parts, key):
            continue
        splits = _split_parts(layout, parts, key)
        if splits:
            note = f"the slices are {len(splits)} volumes, separated by {' and '.join(key)}"
            return [replace(split, notes=(note,)) for split in splits]
    return None


def _split_parts(layout: Layout, parts: list[SliceList], key: Key) -> list[VolumeSplit] | None:
    """Each part as a volume, or as the volumes that it holds; None where one cannot be split."""
    splits: list[VolumeSplit] = []
    for part in parts:
        label = _describe_value(key, part[0])
        if layout.has_no_repeats(part):
            splits.append(VolumeSplit(part, label=label))
            continue
        inner = Layout(part)
        deeper = _split_repeated(inner) or _split_numbered(inner)
        if deeper is None:
            return None
        splits += [replace(split, label=", ".join(filter(None, (label, split.label)))) for split in deeper]
    return splits


def _are_incomplete_volumes(layout: Layout, parts: list[SliceList], key: Key) -> bool:
    """Whether parts that do not visit all positions are volumes, and no pieces of one."""
    is_contrast = key in CONTRAST_KEYS
    if is_contrast and len(parts) == layout.counts.max() and all(map(layout.has_no_repeats, parts)):
        return True
    if not all(map(layout.is_even_with_gaps, parts)):
        return False
    ends = map(layout.ends_mm, parts)
    return is_contrast or all(overlap(a, b, layout.gap / 2) for a, b in pairwise(ends))


def _split_interleaved(layout: Layout) -> list[VolumeSplit]:
    """The volumes of slices that share no position but lie between each other; else all of them as one."""
    whole = [VolumeSplit(layout.slices)]
    if len(layout.slices) < 2 * regularity.MIN_SLICES:
        return whole
    is_ct = layout.slices[0].modality == "CT"
    trusted: tuple[Key, ...] = (*CONTRAST_KEYS, ("SliceThickness",), *((("AcquisitionNumber",),) if is_ct else ()))
    for key in trusted:
        parts = _find_interleaved_by(layout, key)
        if parts:
            return _label_parts(parts, " and ".join(key), [_describe_value(key, part[0]) for part in parts])
    passes = _find_passes(layout)
    if passes is None:
        return whole
    parts, name = passes
    if not is_ct and layout.is_even and name != "AcquisitionNumber":  # MR acquires every second slice first
        return whole
    if not layout.is_regular(layout.slices):
        return _label_parts(parts, name)
    counts = " and ".join(str(len(part)) for part in parts)
    note = (
        f"{name} differs between neighbouring slices: taken as one scan of {len(layout.slices)} slices "
        f"{layout.gap:.4g} mm apart, but it may be {len(parts)} scans of {counts} slices that lie between each other"
    )
    return [VolumeSplit(layout.slices, (note,), is_alternation_known=True)]


def _find_interleaved_by(layout: Layout, key: Key) -> list[SliceList] | None:
    """Passes of one value each whose slices lie between each other; none where a slice has no value."""
    if any(header.comparable(key) is None for header in layout.slices):
        return None
    parts = _group_by_value(layout.slices, key)
    few = 1 < len(parts) <= len(layout.slices) // regularity.MIN_SLICES
    return parts if few and layout.are_interleaved(parts) else None


def _find_passes(layout: Layout) -> tuple[list[SliceList], str] | None:
    """Passes whose slices lie between each other, and the attribute that shows that they are passes."""
    for key in ORDER_KEYS:
        parts = _find_interleaved_by(layout, key) or split_by_time(layout, key, layout.are_interleaved)
        if parts:
            return parts, key[0]
    parts = split_by_number(layout, layout.are_interleaved)
    return (parts, INSTANCE_NUMBER_ONLY) if parts else None


def _split_numbered(layout: Layout) -> list[VolumeSplit] | None:
    """The volumes that InstanceNumber separates, where it has an order that contradicts no attribute."""
    parts = split_by_number(layout, lambda parts: all(map(layout.is_volume, parts)))
    if not parts or not _keep_contrast(parts):
        return None
    return _label_parts(parts, INSTANCE_NUMBER_ONLY, [f"visit {k}" for k in range(1, len(parts) + 1)])


def _keep_contrast(parts: Sequence[SliceList]) -> bool:
    """Whether no part mixes values of an attribute that is the same in all slices of a volume.

    An absent unit is none of another volume; absent others are, such as no contrast agent.
    """
    for part in parts:
        for key in CONTRAST_KEYS:
            values = {header.comparable(key) for header in part}
            if len(values - {None} if key in UNIT_KEYS else values) > 1:
                return False
    return True


def _label_parts(parts: Sequence[SliceList], name: str, labels: Sequence[str] | None = None) -> list[VolumeSplit]:
    note = f"the slices are {len(parts)} volumes, separated by {name}"
    labels = labels or [f"pass {k}" for k in range(1, len(parts) + 1)]
    return [VolumeSplit(part, (note,), label) for part, label in zip(parts, labels, strict=True)]


def _group_by_value(slices: SliceList, key: Key | None) -> list[SliceList]:
    """The slices of each value of a key, of each file if that is None."""
    parts: dict[object, SliceList] = defaultdict(list)
    for header in slices:
        parts[header.comparable(key) if key else header.sop_instance].append(header)
    return list(parts.values())


def _describe_value(key: Key, header: SliceHeader) -> str:
    """The attribute and the value that distinguish a volume; "" where it is not for showing."""
    value = header.value(key)[-1]
    if key in HIDDEN_KEYS or value is None:
        return ""
    if isinstance(value, tuple):  # such as a direction: three digits tell it from others
        numbers = (f"{one + 0.0:.3g}" if isinstance(one, float) else str(one) for one in map(comparable_value, value))
        return f"{key[-1]} ({', '.join(numbers)})"
    return f"{key[-1]} {value}"


def _explain_undecided(layout: Layout) -> GeometryError | None:
    """Why slices that share positions are not volumes; None of a few, which the stack's own geometry names."""
    several = int((layout.counts > 1).sum())
    if several < max(2, len(layout.counts) / 2):
        return None
    numbers = {header.instance_number for header in layout.slices}
    why = "has no consistent order" if len(numbers) == len(layout.slices) else "is absent or repeated"
    return GeometryError(
        f"{int(layout.counts.max())} different images at each of {several} positions, and nothing in the headers "
        f"shows which of them form a volume (InstanceNumber {why}); separate the volumes first"
    )


def _drop_identical(layout: Layout) -> SliceList:
    """The slices without those whose pixels equal another's at the same position.

    Raises:
        UnreadableError: pixel data cannot be read.
    """
    by_position: dict[int, SliceList] = defaultdict(list)
    for header, position in zip(layout.slices, layout.position.tolist(), strict=True):
        by_position[position].append(header)
    require_whole(header.path for slices in by_position.values() if len(slices) > 1 for header in slices)
    distinct: SliceList = []
    with PixelReader() as reader:
        for slices in by_position.values():
            slices.sort(key=lambda header: header.sort_key)
            distinct.extend(_find_distinct(slices, reader) if len(slices) > 1 else slices)
    return distinct


def _find_distinct(slices: SliceList, reader: PixelReader) -> SliceList:
    first_of: dict[object, SliceHeader] = {}
    for index, stored in reader.read_slices(slices):
        first_of.setdefault((stored.tobytes(), *slices[index].rescale), slices[index])
    return list(first_of.values())
