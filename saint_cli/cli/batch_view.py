"""How ``saint batch`` shows its progress and its outcome."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from saint_cli.batch.job_records import JobRecord, JobStatus
from saint_cli.batch.plan import STARTING
from saint_cli.batch.summary import Summary, count_done
from saint_cli.batch.workflow import BatchProgressCallback, BatchRequest
from saint_cli.cli import console, progress_display
from saint_cli.errors.plain_text import format_count, make_printable
from saint_cli.io.remote import urls
from saint_cli.progress import format_duration

if TYPE_CHECKING:
    from rich.console import RenderableType

    from saint_cli.batch.execute import BatchProgress, RunningJob

NameScan = Callable[[JobRecord], str]
"""What a scan is called."""

MAX_JOBS_SHOWN = 16
"""Running jobs that are listed by name."""

STAGE_WIDTH, TIMES_WIDTH, NAME_WIDTH, GAP = 22, 29, 12, 2
"""Columns of stage and percent, of times and of a name at least, and between them."""

MAX_FAILURES_SHOWN = 100
"""Failed scans that are listed one by one."""

RESERVED_LINES = 4
"""Lines of a terminal that stay free for messages."""

LOG_INTERVAL_S = 300.0
"""A log gets a line after so long without one."""


def name_by_result(record: JobRecord) -> str:
    """The name of the result."""
    return record.name


@contextmanager
def show_batch_progress(
    *, quiet: bool, name_scan: NameScan = name_by_result
) -> Iterator[tuple[BatchProgressCallback, Callable[[str], None]]]:
    """What to call as jobs start and end, and with messages: shown as a live list, or as lines of a log."""
    if quiet:
        yield lambda progress, record: None, lambda message: None
        return
    with progress_display.show_live() as update:
        if update is None:
            yield _ProgressLog(console.print_message, name_scan), console.print_message
            return
        began = time.monotonic()
        update(lambda: f"starting, {format_duration(time.monotonic() - began)}")

        def on_progress(progress: "BatchProgress", record: JobRecord | None) -> None:
            if record is not None and record.status is not JobStatus.DONE:
                console.print_message(_format_end(progress, record, name_scan))
            update(lambda: _render(progress, name_scan))

        yield on_progress, console.print_message


def _render(progress: "BatchProgress", name_scan: NameScan) -> "RenderableType":
    from rich.text import Text

    columns, rows = console.get_terminal(stderr=True).size
    head, *rest = format_lines(progress, columns - 1, rows, name_scan)
    text = Text(head, style="bold", no_wrap=True)
    return text.append("".join(f"\n{line}" for line in rest), style="not bold")


class _ProgressLog:
    """A line for each job that ends, and one with the progress if none ends for long."""

    def __init__(self, write: Callable[[str], None], name_scan: NameScan = name_by_result) -> None:
        self._write, self._name_scan, self._last = write, name_scan, -LOG_INTERVAL_S

    def __call__(self, progress: "BatchProgress", record: JobRecord | None) -> None:
        now = progress.now()
        if self._last < 0:
            self._last = now
        if record is not None:
            self._write(_format_end(progress, record, self._name_scan))
        elif now - self._last >= LOG_INTERVAL_S:
            self._write(format_headline(progress))
        else:
            return
        self._last = now


def _format_end(progress: "BatchProgress", record: JobRecord, name_scan: NameScan) -> str:
    name, place = name_scan(record), f"[{len(progress.records)}/{len(progress.plan.tasks)}]"
    if record.status is not JobStatus.DONE:
        return f"{place} {record.status}: {name}: {record.reason}"
    seconds = record.seconds  # a receipt of an earlier run may have none
    time_taken = "" if seconds is None else f" {seconds:.1f} s"
    return f"{place} {name}{time_taken}{_format_time_left(progress) if progress.waiting else ''}"


def _format_time_left(progress: "BatchProgress") -> str:
    seconds = progress.seconds_left()
    return "" if seconds is None else f", about {format_duration(seconds)} left"


def format_headline(progress: "BatchProgress") -> str:
    """Counts and time left, as in ``3 of 9 finished, 1 failed, 2 workers, about 4 min left``."""
    total, finished = len(progress.plan.tasks), len(progress.records)
    counts = [f"{finished:,} of {total:,} finished"]
    counts += [f"{n:,} {status}" for status in (JobStatus.FAILED, JobStatus.SKIPPED) if (n := progress.count(status))]
    counts.append(format_count(progress.workers, "worker"))
    return ", ".join(counts) + _format_time_left(progress)


def format_lines(progress: "BatchProgress", width: int, height: int, name_scan: NameScan = name_by_result) -> list[str]:
    """Counts and time left, and a line for each job that runs, longest first; none is wider than ``width`` columns."""
    jobs = progress.active_jobs()
    shown = jobs[: max(1, min(MAX_JOBS_SHOWN, height - RESERVED_LINES))]
    times = [_format_times(progress, job) for job in shown]
    widest = max([TIMES_WIDTH, *map(len, times)])
    name_width = width - 2 * GAP - widest
    has_stage = name_width - GAP - STAGE_WIDTH >= NAME_WIDTH
    name_width -= GAP + STAGE_WIDTH if has_stage else 0
    lines = [format_headline(progress)]
    for job, times_text in zip(shown, times, strict=True):
        name = cut_middle(make_printable(name_scan(job.task.record)), name_width)
        stage = job.stage if job.fraction is None else f"{job.stage:<17}{int(100 * job.fraction):>3} %"
        stage = f"{stage:<{STAGE_WIDTH + GAP}}" if has_stage else ""
        lines.append(f"{'':{GAP}}{name}{'':{GAP}}{stage}{times_text}")
    if len(jobs) > len(shown):
        lines.append(f"{'':{GAP}}and {len(jobs) - len(shown):,} more")
    return [cut_middle(line, width).rstrip() for line in lines]


def cut_middle(text: str, width: int) -> str:
    """The text in so many columns, padded or without its middle, for names differ at their ends."""
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


def _format_times(progress: "BatchProgress", job: "RunningJob") -> str:
    """As in ``running 7 s (estimated 16 s)``."""
    so_far = format_duration(progress.now() - job.began)
    if job.stage == STARTING:
        return so_far
    if not job.is_measured(progress.estimator):
        return f"running {so_far}"
    return f"running {so_far} (estimated {format_duration(job.expected_seconds(progress.estimator))})"


def show_outcome(
    summary: Summary, request: BatchRequest, *, quiet: bool, as_json: bool, name_scan: NameScan = name_by_result
) -> None:
    """The result of a batch: as JSON, or in full, or only the scans that failed."""
    if summary.damaged is not None:
        console.print_warning(summary.damaged)
    if as_json:
        console.print_json(summary.to_json())
        return
    if quiet:
        show_failures(summary.with_status(JobStatus.FAILED), name_scan)
    else:
        _show_summary(summary, name_scan)
    show_whether_empty(summary, request)


def show_whether_empty(summary: Summary, request: BatchRequest) -> None:
    """A sentence where no scan was found at all."""
    if not summary.records:
        inputs = (urls.public_url(one) if isinstance(one, str) else str(one) for one in request.inputs)
        console.print_error(f"no scan to upsample found in {', '.join(inputs)}")


def _show_summary(summary: Summary, name_scan: NameScan) -> None:
    """What was skipped, warnings, the scans that failed with the reason, and a table of counts."""
    show_skipped(summary.all_skipped, summary.plan.ignored)
    for record in summary.with_status(JobStatus.DONE) if summary.ran else ():
        for sentence in record.warnings or ():
            console.print_warning(f"{name_scan(record)}: {sentence}")
    if summary.mixture is not None:
        console.print_warning(summary.mixture)
    show_failures(summary.with_status(JobStatus.FAILED), name_scan)
    if summary.records:
        if summary.index is not None:
            console.print_message(f"list of all scans: {summary.index}")
        _show_counts(summary)


def _show_counts(summary: Summary) -> None:
    done, failed = (len(summary.with_status(status)) for status in (JobStatus.DONE, JobStatus.FAILED))
    if summary.ran:
        scans = len(summary.records) + len(summary.plan.skipped)
        counts = (scans, done, count_done(summary.plan.kept_records), failed, len(summary.all_skipped))
        header = ("scans", "done", "already done", "failed", "skipped", "time")
        console.print_table("Batch", header, [(*map("{:,}".format, counts), format_duration(summary.seconds))])
        return
    line = f"nothing to do: {done:,} already done, {failed:,} failed"
    # of the failed ones, those that failed while their headers were read are tried every time
    kept_records = len(summary.plan.kept_records) - done - len(summary.with_status(JobStatus.SKIPPED))
    console.print_message(f"{line} (--retry-failed tries {kept_records} of them again)" if kept_records else line)


def show_failures(records: list[JobRecord], name_scan: NameScan) -> None:
    """One line on stderr for each scan that failed; of very many the first, and how many more there are."""
    for record in records[:MAX_FAILURES_SHOWN]:
        console.print_error(f"{name_scan(record)}: {record.reason}")
    if (more := len(records) - MAX_FAILURES_SHOWN) > 0:
        console.print_error(f"{format_count(more, 'more scan')} failed; --json lists all with the reasons")


def show_skipped(skipped: list[tuple[str, str]], ignored: dict[str, int]) -> None:
    """A line for each scan that is none to upsample, and one for other files."""
    for name, reason in skipped:
        console.print_message(f"skipped {name}: {reason}")
    if ignored:
        counts = sorted(ignored.items(), key=lambda item: (-item[1], item[0]))
        console.print_message(f"skipped files: {', '.join(f'{count} {reason}' for reason, count in counts)}")
