"""What ``saint batch`` shows while it runs, in a terminal of any width and in a log."""

from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from saint_cli.batch.estimate import Clock
from saint_cli.batch.plan import STARTING, Plan, Task
from saint_cli.batch.run import Progress
from saint_cli.cli.batch_view import QUIET_S, _Log, headline, middle_cut, standing
from saint_cli.engine import Crew
from saint_cli.jobs import Job

NAMES = ("hospital_a/patient_000017/abdomen_portal_venous_5mm_soft", "短い胸部検査" * 8, "b", "c\nd\x1b[2J")


@pytest.fixture
def progress() -> Progress:
    """Four jobs at work, of which two have told of themselves."""
    entry: dict[str, Any] = {"model": "fast", "options": {}, "voxels_after": 2_000_000}
    tasks = [Task(Path(), f"{n}.nii", Job(Path(), Path()), {**entry, "name": name}) for n, name in enumerate(NAMES)]
    waiting = {t.target: t for t in tasks}
    found = Progress(Plan(Path(), tasks), Clock(Crew(4, 1)), waiting=waiting, workers=4, now=lambda: 100.0)
    for task in tasks:
        found.start(task)
    found.hear(tasks[0], ["coronal slices", 0.4321, 9.0, 7.0])
    found.hear(tasks[1], [STARTING, None, None, 3.0])
    return found


@pytest.mark.parametrize("width", [40, 60, 79, 159, 300])
def test_a_line_for_each_job_and_none_too_wide(progress: Progress, width: int) -> None:
    lines = standing(progress, width, 24)
    assert len(lines) == 1 + len(NAMES)
    assert max(map(cell_len, lines)) <= width
    assert not [c for line in lines for c in line if not c.isprintable()]


def test_between_jobs_only_the_head_stands(progress: Progress) -> None:
    progress.running.clear()
    assert len(standing(progress, 79, 24)) == 1


def test_at_80_columns_a_line_tells_name_stage_and_times(progress: Progress) -> None:
    head, first, *_ = standing(progress, 79, 24)
    assert head.startswith("0 of 4 finished, 4 workers, about ")
    assert first.startswith("  hospital_a")
    assert first.endswith("running 7 s (estimated 16 s)")
    assert "mm_soft  coronal slices    43 %" in first


def test_at_160_columns_names_are_whole(progress: Progress) -> None:
    assert NAMES[0] in standing(progress, 159, 24)[1]


def test_a_low_terminal_shows_fewer_jobs_and_tells_how_many_more(progress: Progress) -> None:
    lines = standing(progress, 79, 6)
    assert len(lines) == 4
    assert lines[-1] == "  and 2 more"


def test_no_time_is_told_that_rests_on_an_assumption(progress: Progress) -> None:
    for job in progress.running.values():
        job.seconds_left = None
    assert headline(progress) == "0 of 4 finished, 4 workers"
    assert standing(progress, 79, 24)[1].endswith("running 7 s")


def test_one_worker_is_not_called_by_the_plural(progress: Progress) -> None:
    progress.workers = 1
    assert "1 worker, " in headline(progress)


def test_what_came_of_jobs_is_counted_in_the_head(progress: Progress) -> None:
    for target, status in (("2.nii", "failed"), ("3.nii", "skipped")):
        progress.end(progress.waiting[target], {"status": status})
    assert headline(progress).startswith("2 of 4 finished, 1 failed, 1 skipped, ")


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
    assert middle_cut(text, width) == wanted
    assert cell_len(middle_cut(text, width)) == width


def test_a_log_has_a_line_for_each_end_and_one_where_none_comes_for_long(progress: Progress) -> None:
    lines, now = list[str](), [100.0]
    progress.now = lambda: now[0]
    log = _Log(lines.append)
    log(progress, None)
    now[0] += QUIET_S - 1
    log(progress, None)
    assert lines == []
    now[0] += 1
    log(progress, None)
    assert lines[0].startswith("0 of 4 finished, 4 workers, ")
    record = {"status": "done", "name": "b", "seconds": 4.0}
    progress.records.append(record)
    log(progress, record)
    assert lines[1].startswith("[1/4] b 4.0 s, about ")
    failed = {"status": "failed", "name": "c", "error": {"message": "truncated"}}
    log(progress, failed)
    assert lines[2] == "[1/4] failed: c: truncated"
