"""How ``saint batch`` shows its plan, where it stands, and what came of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from saint_cli import console
from saint_cli.batch.finish import Summary, counted, duration
from saint_cli.batch.ledger import Books, Record
from saint_cli.batch.plan import DONE, FAILED, SKIPPED, Plan
from saint_cli.batch.whole import Order, hire

if TYPE_CHECKING:
    from rich.console import RenderableType

    from saint_cli.batch.run import Progress

Watch = Callable[["Progress", Record | None], None]

SHOWN = 8
"""Running jobs, and reasons of one kind, that are listed by name."""


@contextmanager
def board(*, quiet: bool) -> Iterator[tuple[Watch, Callable[[str], None]]]:
    """What to call as jobs start and end, and with sentences: a live table, or lines where stderr is no terminal."""
    if quiet:
        yield lambda progress, record: None, lambda sentence: None
        return
    with console.live() as update:

        def watch(progress: "Progress", record: Record | None) -> None:
            if record is not None and (update is None or record["status"] != DONE):
                console.say(_line(progress, record))
            if update is not None:
                update(lambda: _standing(progress))

        yield watch, console.say


def _line(progress: "Progress", record: Record) -> str:
    place = f"[{len(progress.records)}/{len(progress.plan.tasks)}]"
    if record["status"] != DONE:
        return f"{place} {record['status']}: {record['name']}: {record['error']['message']}"
    left = f", about {duration(progress.left_s())} left" if progress.waiting else ""
    return f"{place} {record['name']} {record['seconds']:.1f} s{left}"


def _standing(progress: "Progress") -> "RenderableType":
    """Counts and time left above the jobs that run, longest first."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    total, ended = len(progress.plan.tasks), len(progress.records)
    failed = progress.count(FAILED)
    head = f"{ended} of {total} ended, {failed} failed, {progress.workers} workers, "
    head += f"about {duration(progress.left_s())} left"
    table = Table(box=None, show_header=False)
    now = time.monotonic()
    for target, began in list(progress.running.items())[:SHOWN]:
        task = progress.waiting[target]
        expected = duration(progress.clock.seconds(task))
        name = console.printable(str(task.entry["name"]))
        table.add_row(Text(f"  {name}"), Text(f"{duration(now - began)} of about {expected}", style="dim"))
    return Group(Text(head, style="bold"), table)


def show_plan(order: Order, plan: Plan, books: Books, *, as_json: bool) -> None:
    """What would be run, with the time it would take, and what would not."""
    clock = crew = None
    if plan.tasks:
        crew, clock = hire(order, plan, books)
    seconds = clock.left(plan.tasks) if clock else 0.0
    if as_json:
        jobs = [_job(task.entry, clock.seconds(task) if clock else 0.0) for task in plan.tasks]
        refused = [{"name": r["name"], **r["error"]} for r in plan.refused]
        left_out = [{"name": name, "reason": reason} for name, reason in plan.skipped]
        told = {"jobs": jobs, "kept": len(plan.kept), "failed": refused, "skipped": left_out, "seconds": round(seconds)}
        console.show_json(told)
        return
    if clock is not None and crew is not None:
        rows = [
            (t.entry["name"], _shape(t.entry["shape_before"]), t.target, duration(clock.seconds(t))) for t in plan.tasks
        ]
        console.show_table("Plan", ("scan", "voxels", "result", "about"), rows)
        workers = (
            "on the cluster (if it had one worker)"
            if crew.scheduler
            else f"by {counted(crew.workers, 'worker')} with {counted(crew.threads, 'thread')} each"
        )
        console.say(f"{counted(len(plan.tasks), 'job')} {workers}, about {duration(seconds)}; nothing was written")
    tell_failed(plan.refused)
    _tell_left_out(plan.skipped, plan.ignored)
    console.say(f"{len(plan.tasks)} to do, {len(plan.kept)} settled before, {len(plan.refused)} cannot be done")


def _job(entry: Record, seconds: float) -> dict[str, Any]:
    return {"name": entry["name"], "source": entry["source"], "target": entry["target"], "seconds": round(seconds, 1)}


def tell(summary: Summary, *, quiet: bool, as_json: bool) -> None:
    """What came of a batch: as JSON, as the scans that failed alone, or in full."""
    if as_json:
        console.show_json(summary.document())
    elif quiet:
        tell_failed(summary.of(FAILED))
    else:
        show_summary(summary)


def show_summary(summary: Summary) -> None:
    """A table of counts, the scans that failed with the reason, and what was left out."""
    failed, done = summary.of(FAILED), summary.of(DONE)
    _tell_left_out(
        [*((r["name"], r["error"]["message"]) for r in summary.of(SKIPPED)), *summary.skipped], summary.ignored
    )
    for record in done if summary.ran else ():
        for sentence in record.get("warnings") or ():
            console.warn(f"{record['name']}: {sentence}")
    if summary.mixture is not None:
        console.warn(summary.mixture)
    tell_failed(failed)
    if not summary.records:
        console.fail("no stack that could be upsampled was found")
        return
    if summary.index is not None:
        console.say(f"list of all scans: {summary.index}")
    if summary.ran:
        skipped = len(summary.of(SKIPPED)) + len(summary.skipped)
        counts = (len(done), len(failed), skipped, summary.kept, duration(summary.seconds))
        header = ("scans", "done", "failed", "left out", "of these settled before", "time")
        console.show_table("Batch", header, [(str(len(summary.records) + len(summary.skipped)), *map(str, counts))])
    else:
        told = f"nothing to do: {len(done)} done before, {len(failed)} failed"
        settled = summary.kept - len(done) - len(summary.of(SKIPPED))  # others fail while their headers are read
        console.say(f"{told} (--retry-failed tries {settled} of them again)" if settled else told)


def _shape(shape: tuple[int, int, int] | None) -> str:
    return "-" if shape is None else " x ".join(map(str, shape))


def tell_failed(records: list[Record]) -> None:
    """One line on stderr for each scan that failed."""
    for record in records:
        console.fail(f"{record['name']}: {record['error']['message']} [{record['error']['class']}]")


def _tell_left_out(skipped: list[tuple[str, str]], ignored: dict[str, int]) -> None:
    for name, reason in skipped:
        console.say(f"skipped {name}: {reason}")
    if ignored:
        counts = ", ".join(
            f"{count} {reason}" for reason, count in sorted(ignored.items(), key=lambda i: (-i[1], i[0]))
        )
        console.say(f"files passed over: {counts}")
