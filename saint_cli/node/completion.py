"""What becomes of a series once no more instances come: it is computed, skipped, or incomplete."""

from collections.abc import Iterable, Mapping
from itertools import groupby

from saint_cli.node.records import Instance, QueuedSeries, Result, SeriesState
from saint_cli.node.spool import Spool
from saint_cli.progress import format_count

IN_PROGRESS = (SeriesState.DONE, SeriesState.SENDING)

PROCESSED = (SeriesState.FORWARDED, SeriesState.SKIPPED)
"""States of series whose instances are not looked at again unless others come."""

Earlier = dict[str, tuple[QueuedSeries, Instance]]
"""Instances by their UIDs, each with the series of the queue that it came as."""


def settle(spool: Spool, series: QueuedSeries) -> Result | None:
    """The next state of a series that is complete; None where one that came before it must be sent first.

    Usually it is computed. Where some of the same received series was forwarded or skipped earlier, it depends on what
    came now: all of it is computed again, and a part alone is a repetition of what was done; new instances make the
    series a larger one, for which the earlier ones must still be there, or come again.

    Raises:
        OSError, sqlite3.Error: earlier instances cannot be added.
    """
    if spool.list_earlier(series, *IN_PROGRESS):
        return None
    before, now = _gather(spool, spool.list_earlier(series, *PROCESSED)), spool.list_instances(series.number)
    missing = {uid: one for uid, one in before.items() if uid not in now}
    if not missing:
        return Result(SeriesState.READY)
    if not any(_is_new(uid, instance, before) for uid, instance in now.items()):
        came = _name(before[uid][0] for uid in now)
        return Result(SeriesState.SKIPPED, f"{format_count(len(now), 'instance')} came again of {came}, which is done")
    if all(instance.file is not None for _, instance in missing.values()):
        _add(spool, series, missing)
        return Result(SeriesState.READY)
    done = _name(source for source, _ in missing.values())
    return Result(
        SeriesState.FAILED,
        f"{format_count(len(now), 'instance')} came after the rest of the series was done as {done} and removed; "
        "send the whole series again",
        "LateInstances",
    )


def _gather(spool: Spool, sources: Iterable[QueuedSeries]) -> Earlier:
    """The instances of series, oldest first: of each its latest content, from where its file is."""
    found: Earlier = {}
    for source in sources:
        for uid, instance in spool.list_instances(source.number).items():
            known = found.get(uid)
            is_same = known is not None and known[1].digest == instance.digest
            if known is None or not is_same or (known[1].file is None and instance.file is not None):
                found[uid] = source, instance
    return found


def _add(spool: Spool, series: QueuedSeries, chosen: Earlier) -> None:
    """Add instances of earlier series."""
    ordered = sorted(chosen.items(), key=lambda item: item[1][0].number)
    for _, group in groupby(ordered, key=lambda item: item[1][0].number):
        items = list(group)
        spool.copy_instances(items[0][1][0], series, {uid: instance for uid, (_, instance) in items})


def _is_new(uid: str, instance: Instance, before: Mapping[str, tuple[QueuedSeries, Instance]]) -> bool:
    return uid not in before or before[uid][1].digest != instance.digest


def _name(sources: Iterable[QueuedSeries]) -> str:
    """How log lines call series."""
    numbers = sorted({source.number for source in sources})
    return "series " + ", ".join(map(str, numbers))
