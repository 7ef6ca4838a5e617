"""How ``saint batch`` shows its plan, where it stands, and what came of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saint_cli import console
from saint_cli.batch.finish import Summary, already_done
from saint_cli.batch.ledger import Books, list_damaged
from saint_cli.batch.plan import DONE, FAILED, SKIPPED, STARTING, Plan
from saint_cli.batch.records import Record
from saint_cli.batch.whole import Order, hire
from saint_cli.io import urls
from saint_cli.plain_text import printable
from saint_cli.progress import counted, duration

if TYPE_CHECKING:
    from rich.console import RenderableType

    from saint_cli.batch.run import Progress, Running

Watch = Callable[["Progress", Record | None], None]

SHOWN = 16
"""Running jobs that are listed by name."""

STAGE_WIDTH, TIMES_WIDTH, NAME_WIDTH, GAP = 22, 29, 12, 2
"""Columns of stage and percent, of times and of a name at least, and between them."""

MOST_FAILURES = 100
"""Scans that failed that are told one by one."""

OTHER_LINES = 4
"""Lines of a terminal that stay free for messages."""

QUIET_S = 300.0
"""A log gets a line where none was written for so long."""


@contextmanager
def board(*, quiet: bool) -> Iterator[tuple[Watch, Callable[[str], None]]]:
    """What to call as jobs start and end, and with sentences: a live list, or lines where stderr is no terminal."""
    if quiet:
        yield lambda progress, record: None, lambda sentence: None
        return
    with console.live() as update:
        if update is None:
            yield _Log(console.say), console.say
            return
        began = time.monotonic()
        update(lambda: f"starting, {duration(time.monotonic() - began)}")

        def watch(progress: "Progress", record: Record | None) -> None:
            if record is not None and record["status"] != DONE:
                console.say(_line(progress, record))
            update(lambda: _drawn(progress))

        yield watch, console.say


def _drawn(progress: "Progress") -> "RenderableType":
    from rich.text import Text

    columns, rows = console.size()
    head, *rest = standing(progress, columns - 1, rows)
    drawn = Text(head, style="bold", no_wrap=True)
    return drawn.append("".join(f"\n{line}" for line in rest), style="not bold")


class _Log:
    """A line for each job that ends; where none does for long, one that tells where the run stands."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._last = say, -QUIET_S

    def __call__(self, progress: "Progress", record: Record | None) -> None:
        now = progress.now()
        if self._last < 0:
            self._last = now
        if record is not None:
            self._say(_line(progress, record))
        elif now - self._last >= QUIET_S:
            self._say(headline(progress))
        else:
            return
        self._last = now


def _line(progress: "Progress", record: Record) -> str:
    place = f"[{len(progress.records)}/{len(progress.plan.tasks)}]"
    if record["status"] != DONE:
        return f"{place} {record['status']}: {record['name']}: {record['error']['message']}"
    seconds = record.get("seconds")  # a receipt of an earlier run may tell none
    took = "" if seconds is None else f" {seconds:.1f} s"
    return f"{place} {record['name']}{took}{_left(progress) if progress.waiting else ''}"


def _left(progress: "Progress") -> str:
    seconds = progress.left_s()
    return "" if seconds is None else f", about {duration(seconds)} left"


def headline(progress: "Progress") -> str:
    """Counts and time left, as in ``3 of 9 finished, 1 failed, 2 workers, about 4 min left``."""
    total, finished = len(progress.plan.tasks), len(progress.records)
    counts = [f"{finished:,} of {total:,} finished"]
    counts += [f"{n:,} {status}" for status in (FAILED, SKIPPED) if (n := progress.count(status))]
    counts.append(counted(progress.workers, "worker"))
    return ", ".join(counts) + _left(progress)


def standing(progress: "Progress", width: int, height: int) -> list[str]:
    """Counts and time left, and a line for each job that runs, longest first; none is wider than ``width`` columns."""
    jobs = progress.at_work()
    shown = jobs[: max(1, min(SHOWN, height - OTHER_LINES))]
    times = [_times(progress, job) for job in shown]
    widest = max([TIMES_WIDTH, *map(len, times)])
    room = width - 2 * GAP - widest
    staged = room - GAP - STAGE_WIDTH >= NAME_WIDTH
    room -= GAP + STAGE_WIDTH if staged else 0
    lines = [headline(progress)]
    for job, took in zip(shown, times, strict=True):
        name = middle_cut(printable(str(job.task.entry["name"])), room)
        stage = f"{_stage(job):<{STAGE_WIDTH + GAP}}" if staged else ""
        lines.append(f"{'':{GAP}}{name}{'':{GAP}}{stage}{took}")
    if len(jobs) > len(shown):
        lines.append(f"{'':{GAP}}and {len(jobs) - len(shown):,} more")
    return [middle_cut(line, width).rstrip() for line in lines]


def middle_cut(text: str, width: int) -> str:
    """The text in so many columns, padded, or its middle left out, for names differ at their ends."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return set_cell_size(text, width)
    if width < NAME_WIDTH:
        return set_cell_size(text, max(0, width))
    head, tail = set_cell_size(text, (width - 1) // 2), width - 1 - (width - 1) // 2
    end = len(text)
    while cell_len(text[end - 1 :]) <= tail:
        end -= 1
    return set_cell_size(f"{head}…{text[end:]}", width)


def _stage(job: "Running") -> str:
    return job.stage if job.fraction is None else f"{job.stage:<17}{int(100 * job.fraction):>3} %"


def _times(progress: "Progress", job: "Running") -> str:
    """As in ``running 7 s (estimated 16 s)``."""
    so_far = duration(progress.now() - job.began)
    if job.stage == STARTING:
        return so_far
    estimated = f" (estimated {duration(job.expected(progress.clock))})" if job.is_measured(progress.clock) else ""
    return f"running {so_far}{estimated}"


def show_plan(order: Order, plan: Plan, books: Books, *, as_json: bool) -> None:
    """What would be run, with the time it would take, and what would not."""
    damaged = list_damaged(books.damaged, "to be set aside")
    if damaged is not None:
        console.warn(damaged)
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
    counts = [f"{len(plan.tasks):,} to do", f"{already_done(plan.kept):,} already done"]
    before = len(plan.kept) - already_done(plan.kept)
    counts += [f"{before:,} failed or skipped before"] if before else []
    console.say(", ".join([*counts, f"{len(plan.refused):,} cannot be done"]))


def _job(entry: Record, seconds: float) -> dict[str, Any]:
    return {"name": entry["name"], "source": entry["source"], "target": entry["target"], "seconds": round(seconds, 1)}


def tell(summary: Summary, order: Order, *, quiet: bool, as_json: bool) -> None:
    """What came of a batch: as JSON, as the scans that failed alone, or in full."""
    if summary.damaged is not None:
        console.warn(summary.damaged)
    if as_json:
        console.show_json(summary.document())
        return
    if quiet:
        tell_failed(summary.of(FAILED))
    else:
        show_summary(summary)
    if not summary.records:
        console.fail(f"no scan to upsample found in {', '.join(map(_input, order.inputs))}")


def _input(given: Path | str) -> str:
    return urls.shown(given) if isinstance(given, str) else str(given)


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
        return
    if summary.index is not None:
        console.say(f"list of all scans: {summary.index}")
    if summary.ran:
        skipped = len(summary.of(SKIPPED)) + len(summary.skipped)
        counts = (len(done), summary.already_done, len(failed), skipped)
        header = ("scans", "done", "already done", "failed", "skipped", "time")
        cells = [f"{count:,}" for count in (len(summary.records) + len(summary.skipped), *counts)]
        console.show_table("Batch", header, [(*cells, duration(summary.seconds))])
    else:
        told = f"nothing to do: {len(done):,} already done, {len(failed):,} failed"
        settled = summary.kept - len(done) - len(summary.of(SKIPPED))  # others fail while their headers are read
        console.say(f"{told} (--retry-failed tries {settled} of them again)" if settled else told)


def _shape(shape: tuple[int, int, int] | None) -> str:
    return "-" if shape is None else " x ".join(map(str, shape))


def tell_failed(records: list[Record]) -> None:
    """One line on stderr for each scan that failed; of very many the first, and how many more there are."""
    for record in records[:MOST_FAILURES]:
        console.fail(f"{record['name']}: {record['error']['message']} [{record['error']['class']}]")
    if len(records) > MOST_FAILURES:
        console.fail(f"{len(records) - MOST_FAILURES:,} more scans failed; --json lists all with the reasons")


def _tell_left_out(skipped: list[tuple[str, str]], ignored: dict[str, int]) -> None:
    for name, reason in skipped:
        console.say(f"skipped {name}: {reason}")
    if ignored:
        counts = ", ".join(
            f"{count} {reason}" for reason, count in sorted(ignored.items(), key=lambda i: (-i[1], i[0]))
        )
        console.say(f"skipped files: {counts}")
