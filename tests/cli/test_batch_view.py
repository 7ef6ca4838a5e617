"""What ``saint batch`` shows while it runs, in a terminal of any width and in a log."""

from pathlib import Path

import pytest
from make_jobs import make_record, make_task
from rich.cells import cell_len

from saint_cli.batch.dask_client import ClusterSpec
from saint_cli.batch.estimate import TimeEstimator
from saint_cli.batch.execute import BatchProgress
from saint_cli.batch.job_records import JobFailure, JobStatus
from saint_cli.batch.plan import STARTING, Plan
from saint_cli.cli.batch_view import LOG_INTERVAL_S, _ProgressLog, cut_middle, format_headline, format_lines

NAMES = ("hospital_a/patient_000017/abdomen_portal_venous_5mm_soft", "短い胸部検査" * 8, "b", "c\nd\x1b[2J")


@pytest.fixture
def progress() -> BatchProgress:
    """Four jobs at work, of which two have reported."""
    tasks = [make_task(f"{n}.nii", 2.0, name=name) for n, name in enumerate(NAMES)]
    waiting = {t.target: t for t in tasks}
    found = BatchProgress(
        Plan(Path(), tasks), TimeEstimator(ClusterSpec(4, 1)), waiting=waiting, workers=4, now=lambda: 100.0
    )
    for task in tasks:
        found.start(task)
    found.update(tasks[0], ["coronal slices", 0.4321, 9.0, 7.0])
    found.update(tasks[1], [STARTING, None, None, 3.0])
    return found


@pytest.mark.parametrize("width", [40, 60, 79, 159, 300])
def test_a_line_for_each_job_and_none_too_wide(progress: BatchProgress, width: int) -> None:
    lines = format_lines(progress, width, 24)
    assert len(lines) == 1 + len(NAMES)
    assert max(map(cell_len, lines)) <= width
    assert not [c for line in lines for c in line if not c.isprintable()]


def test_between_jobs_only_the_head_stands(progress: BatchProgress) -> None:
    progress.running.clear()
    assert len(format_lines(progress, 79, 24)) == 1


def test_at_80_columns_a_line_shows_name_stage_and_times(progress: BatchProgress) -> None:
    head, first, *_ = format_lines(progress, 79, 24)
    assert head.startswith("0 of 4 finished, 4 workers, about ")
    assert first.startswith("  hospital_a")
    assert first.endswith("running 7 s (estimated 16 s)")
    assert "mm_soft  coronal slices    43 %" in first


def test_at_160_columns_names_are_whole(progress: BatchProgress) -> None:
    assert NAMES[0] in format_lines(progress, 159, 24)[1]


def test_a_low_terminal_shows_fewer_jobs_and_how_many_more(progress: BatchProgress) -> None:
    lines = format_lines(progress, 79, 6)
    assert len(lines) == 4
    assert lines[-1] == "  and 2 more"


def test_no_time_is_shown_that_rests_on_an_assumption(progress: BatchProgress) -> None:
    for job in progress.running.values():
        job.seconds_left = None
    assert format_headline(progress) == "0 of 4 finished, 4 workers"
    assert format_lines(progress, 79, 24)[1].endswith("running 7 s")


def test_one_worker_is_not_called_by_the_plural(progress: BatchProgress) -> None:
    progress.workers = 1
    assert "1 worker, " in format_headline(progress)


def test_what_came_of_jobs_is_counted_in_the_head(progress: BatchProgress) -> None:
    for target, status in (("2.nii", JobStatus.FAILED), ("3.nii", JobStatus.SKIPPED)):
        progress.end(progress.waiting[target], make_record(target, status))
    assert format_headline(progress).startswith("2 of 4 finished, 1 failed, 1 skipped, ")


@pytest.mark.parametrize(
    ("text", "width", "wanted"),
    [
        ("short", 8, "short   "),
        ("patient_1_of_the_trial", 15, "patient…e_trial"),
        ("短い胸部検査短い胸部検査", 13, "短い胸…部検査"),
        ("abcdefgh", 4, "abcd"),
    ],
)
def test_long_names_lose_their_middle(text: str, width: int, wanted: str) -> None:
    assert cut_middle(text, width) == wanted
    assert cell_len(cut_middle(text, width)) == width


def test_a_log_has_a_line_for_each_end_and_one_where_none_comes_for_long(progress: BatchProgress) -> None:
    lines, now = list[str](), [100.0]
    progress.now = lambda: now[0]
    log = _ProgressLog(lines.append)
    log(progress, None)
    now[0] += LOG_INTERVAL_S - 1
    log(progress, None)
    assert lines == []
    now[0] += 1
    log(progress, None)
    assert lines[0].startswith("0 of 4 finished, 4 workers, ")
    record = make_record("b", JobStatus.DONE, seconds=4.0)
    progress.records.append(record)
    log(progress, record)
    assert lines[1].startswith("[1/4] b 4.0 s, about ")
    failed = make_record("c", JobStatus.FAILED, error=JobFailure("UnreadableError", "truncated", 3))
    log(progress, failed)
    assert lines[2] == "[1/4] failed: c: truncated"
