"""The volumes of one series: passes, echoes, energies, kernels, phases, time points are told apart, never mixed."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from saint_cli import regularity
from saint_cli.errors import GeometryError, SaintError, UnreadableError
from saint_cli.io.dicom_decoder import Decoder
from saint_cli.io.dicom_layout import Layout, Part, value_of
from saint_cli.io.dicom_order import by_number, by_rank_in_time, by_time
from saint_cli.io.dicom_pixels import read_slices
from saint_cli.io.dicom_slice import CONTRAST_KEYS, TIME_KEYS, VOLUME_KEYS, SliceHeader

RANK_KEYS = (("TriggerTime",), ("NominalCardiacTriggerDelayTime",))
"""Times that start anew at every position, as those after an R wave do."""

ORDER_KEYS = (("AcquisitionNumber",), *TIME_KEYS)

UNSHOWN = (("ContrastBolusAgent",), *TIME_KEYS)
"""Keys whose values are not for showing: free text, and the time of day."""

NUMBER_ONLY = "the order of InstanceNumber only"


@dataclass(frozen=True)
class Split:
    """Slices of one volume, notes on how it was found, what tells it from the others, and why it is no volume."""

    members: Part
    notes: tuple[str, ...] = ()
    shown: str = ""
    problem: SaintError | None = None


def split_volumes(group: Part, *, merge: bool = False) -> list[Split]:
    """The volumes in slices of one series, orientation and matrix; with ``merge`` none that share no position."""
    layout = Layout(group)
    if len(layout.visits) < 2:
        return [Split(group)]
    if not layout.repeats:
        return [Split(group)] if merge else _split_interleaved(layout)
    found = _split_repeated(layout)
    if found is not None:
        return found
    try:
        kept, dropped = _drop_identical(layout)
    except UnreadableError as error:
        return [Split(group, problem=error)]
    notes = (f"{dropped} duplicated slices ignored, identical to another at the same position",) if dropped else ()
    layout = Layout(kept)
    if not layout.repeats:
        return [replace(one, notes=(*notes, *one.notes)) for one in _split_interleaved(layout)]
    found = _split_repeated(layout) if dropped else None
    found = found or _split_numbered(layout)
    if found is None:
        return [Split(kept, notes, problem=_undecided(layout))]
    return [replace(one, notes=(*notes, *one.notes)) for one in found]


def _split_repeated(layout: Layout) -> list[Split] | None:
    """The volumes of slices that share positions, told apart by attributes and times; None where these do not."""

    def are_volumes(parts: Sequence[Part]) -> bool:
        return all(layout.is_volume(part) for part in parts)

    for complete in (True, False):
        for key in VOLUME_KEYS:
            found = _divide(layout, _by_value(layout.slices, key), key, complete=complete)
            if found:
                return found
        if complete:
            files = _by_file(layout.slices)
            if len(files) > 1 and are_volumes(files):
                return _told(files, "file")
            for key in (*RANK_KEYS, *TIME_KEYS):
                parts = by_rank_in_time(layout, key)
                if parts and _keep_contrast(parts):
                    return _told(parts, key[0])
    for key in ORDER_KEYS:
        parts = by_time(layout, key, lambda parts: are_volumes(parts) and _keep_contrast(parts))
        if parts:
            return _told(parts, key[0])
    return None


def _divide(layout: Layout, parts: list[Part], key: tuple[str, ...], *, complete: bool) -> list[Split] | None:
    """The parts that one attribute makes, each divided further by others where it repeats positions."""
    if len(parts) < 2:
        return None
    if complete and not all(layout.covers(part) for part in parts):
        return None
    if not complete and not _are_incomplete_volumes(layout, parts, key):
        return None
    found: list[Split] = []
    for part in parts:
        shown = _shown(key, part[0])
        if layout.is_single(part):
            found.append(Split(part, (), shown))
            continue
        inner = Layout(part)
        deeper = _split_repeated(inner) or _split_numbered(inner)
        if deeper is None:
            return None
        found += [replace(one, shown=", ".join(filter(None, (shown, one.shown)))) for one in deeper]
    note = f"one of {len(found)} volumes told apart by {' and '.join(key)}"
    return [replace(one, notes=(note,)) for one in found]


def _are_incomplete_volumes(layout: Layout, parts: list[Part], key: tuple[str, ...]) -> bool:
    """Whether parts that do not visit all positions are volumes, and no pieces of one."""
    if key in CONTRAST_KEYS and len(parts) == layout.visits.max() and all(map(layout.is_single, parts)):
        return True
    if not all(map(layout.is_comb, parts)):
        return False
    if key in CONTRAST_KEYS:
        return True
    ends = [(p[0], p[-1]) for p in map(layout.positions, parts)]
    limit = layout.gap / 2
    return all(a[0] < b[1] - limit and b[0] < a[1] - limit for a, b in pairwise(ends))


def _split_interleaved(layout: Layout) -> list[Split]:
    """The volumes of slices that share no position but lie between each other; else all of them as one."""
    whole = [Split(layout.slices)]
    if len(layout.slices) < 2 * regularity.FEWEST:
        return whole
    is_ct, is_whole = layout.slices[0].modality == "CT", layout.is_regular(layout.slices)
    trusted = (*CONTRAST_KEYS, ("SliceThickness",), *((("AcquisitionNumber",),) if is_ct else ()))
    for key in trusted:
        parts = _interleaved_by(layout, key)
        if parts:
            return _told(parts, " and ".join(key), [_shown(key, part[0]) for part in parts])
    found = _parts_in_order(layout)
    if found is None:
        return whole
    parts, name = found
    if not is_ct and layout.is_even and name != "AcquisitionNumber":  # MR acquires every second slice first
        return whole
    if not is_whole:
        return _told(parts, name)
    counts = " and ".join(str(len(part)) for part in parts)
    note = (
        f"{name} differs between neighbouring slices: taken as one scan of {len(layout.slices)} slices "
        f"{layout.gap:.4g} mm apart, but it may be {len(parts)} scans of {counts} slices that lie between each other"
    )
    return [Split(layout.slices, (note,))]


def _interleaved_by(layout: Layout, key: tuple[str, ...]) -> list[Part] | None:
    """Passes of one value each whose slices lie between each other; none where a slice has no value."""
    if any(value_of(one, key) is None for one in layout.slices):
        return None
    parts = _by_value(layout.slices, key)
    few = 1 < len(parts) <= len(layout.slices) // regularity.FEWEST
    return parts if few and layout.are_between(parts) else None


def _parts_in_order(layout: Layout) -> tuple[list[Part], str] | None:
    """Passes whose slices lie between each other, and what tells that they are passes."""
    for key in ORDER_KEYS:
        parts = _interleaved_by(layout, key) or by_time(layout, key, layout.are_between)
        if parts:
            return parts, key[0]
    parts = by_number(layout, layout.are_between)
    return (parts, NUMBER_ONLY) if parts else None


def _split_numbered(layout: Layout) -> list[Split] | None:
    """The volumes that InstanceNumber tells apart, where it has an order that contradicts no attribute."""

    def judge(parts: Sequence[Part]) -> bool:
        return all(layout.is_volume(part) for part in parts)

    parts = by_number(layout, judge)
    if not parts or not _keep_contrast(parts):
        return None
    return _told(parts, NUMBER_ONLY, [f"visit {k}" for k in range(1, len(parts) + 1)])


def _keep_contrast(parts: Sequence[Part]) -> bool:
    """Whether no part mixes values of an attribute that is the same in all slices of a volume."""
    return all(len({value_of(one, key) for one in part}) == 1 for part in parts for key in CONTRAST_KEYS)


def _told(parts: Sequence[Part], name: str, shown: Sequence[str] | None = None) -> list[Split]:
    note = f"one of {len(parts)} volumes told apart by {name}"
    labels = shown or [f"pass {k}" for k in range(1, len(parts) + 1)]
    return [Split(part, (note,), label) for part, label in zip(parts, labels, strict=True)]


def _by_value(slices: Part, key: tuple[str, ...]) -> list[Part]:
    return _bundle(slices, lambda one: value_of(one, key))


def _by_file(slices: Part) -> list[Part]:
    return _bundle(slices, lambda one: one.sop_instance) if all(one.is_multiframe for one in slices) else [slices]


def _bundle(slices: Part, name: Callable[[SliceHeader], object]) -> list[Part]:
    parts: dict[object, Part] = defaultdict(list)
    for one in slices:
        parts[name(one)].append(one)
    return list(parts.values())


def _shown(key: tuple[str, ...], one: SliceHeader) -> str:
    """Attribute and value that tell a volume apart."""
    value = one.value(key)[-1]
    return "" if key in UNSHOWN or value is None else f"{key[-1]} {value}"


def _undecided(layout: Layout) -> GeometryError | None:
    """Why slices that share positions are no volumes; None of a few, which the stack's own geometry names."""
    several = int((layout.visits > 1).sum())
    if several < max(2, len(layout.visits) / 2):
        return None
    numbers = [one.instance_number for one in layout.slices]
    why = "has no consistent order" if len(set(numbers)) == len(numbers) else "is absent or repeated"
    most = int(layout.visits.max())
    return GeometryError(
        f"{most} different images at each of {several} positions, and nothing in the headers tells which of them "
        f"form a volume (InstanceNumber {why}); separate the volumes first"
    )


def _drop_identical(layout: Layout) -> tuple[Part, int]:
    """The slices without those whose pixels equal another's at the same position, and how many these are."""
    here: dict[int, Part] = defaultdict(list)
    for one, number in zip(layout.slices, layout.place.tolist(), strict=True):
        here[number].append(one)
    kept: Part = []
    with Decoder() as decoder:
        for members in here.values():
            members.sort(key=lambda s: s.order)
            kept.extend(_distinct(members, decoder) if len(members) > 1 else members)
    return kept, len(layout.slices) - len(kept)


def _distinct(members: Sequence[SliceHeader], decoder: Decoder) -> Part:
    found: dict[object, SliceHeader] = {}
    for index, stored in read_slices(members, decoder):
        one = members[index]
        found.setdefault((stored.tobytes(), one.slope, one.intercept), one)
    return list(found.values())
