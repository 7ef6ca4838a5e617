import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import fabricate
import pytest

from saint_cli import shipped
from saint_cli.batch import ledger
from saint_cli.batch.find import Rules, find
from saint_cli.batch.inputs import roots
from saint_cli.batch.ledger import Books
from saint_cli.batch.names import targets
from saint_cli.batch.plan import Plan, Shelf, Wishes, key_of, make_plan
from saint_cli.choices import Choices
from saint_cli.engine import Seat
from saint_cli.io import write_volume
from saint_cli.jobs import Engine, Grid, Job

FAST = Job(Path(), Path(), Grid(factor=2), Engine("fast"))


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "a.nii"
    write_volume(fabricate.volume(), path)
    return path


def planned(scan: Path, books: Books, job: Job = FAST, wishes: Wishes = Wishes(), form: str = "mha") -> Plan:  # noqa: B008
    home = scan.parent.parent / "out"
    found = find(roots([scan.parent]), Rules(lambda row: job, home), lambda count: None)
    return make_plan(Shelf(home), found, targets(found.scans, "{path}", form), books, wishes)


def books_after(plan: Plan, status: str, error: str | None = None) -> Books:
    """The books as they are when the plan's only job has ended; its result exists where it is done."""
    (task,) = plan.tasks
    told = None if error is None else {"class": error, "message": "", "exit_code": 3}
    books = Books()
    books.add(json.loads(json.dumps({**task.entry, "status": status, "error": told})))
    if status == "done":
        for file in (task.job.target, task.job.page):
            assert file is not None
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    return books


def test_what_is_done_and_unchanged_is_kept(scan: Path) -> None:
    books = books_after(planned(scan, Books()), "done")
    plan = planned(scan, books)
    assert (len(plan.tasks), len(plan.kept)) == (0, 1)


@pytest.mark.parametrize(
    "job",
    [
        replace(FAST, grid=Grid(factor=3)),
        replace(FAST, engine=Engine("base")),
        replace(FAST, choices=Choices(tta=True)),
        replace(FAST, modality="MR"),
        replace(FAST, outside_data=True),
    ],
    ids=["grid", "weights", "method", "modality", "data files"],
)
def test_other_options_or_weights_are_a_reason_to_run_again(scan: Path, job: Job) -> None:
    books = books_after(planned(scan, Books()), "done")
    assert len(planned(scan, books, job).tasks) == 1


def test_other_devices_and_threads_are_not(scan: Path) -> None:
    books = books_after(planned(scan, Books()), "done")
    assert not planned(scan, books, replace(FAST, engine=Engine("fast", "cpu", "auto", 3, 7))).tasks


def test_a_touched_input_or_a_result_that_is_gone_is_a_reason_to_run_again(scan: Path) -> None:
    books = books_after(planned(scan, Books()), "done")
    os.utime(scan, (1, 1))
    assert len(planned(scan, books).tasks) == 1
    books = Books()
    shutil.rmtree(scan.parent.parent / "out")
    books = books_after(planned(scan, Books()), "done")
    (scan.parent.parent / "out" / "a.mha").unlink()
    assert len(planned(scan, books).tasks) == 1


def test_a_page_that_is_gone_is_a_reason_to_run_again_where_pages_are_wanted(scan: Path) -> None:
    books = books_after(planned(scan, Books()), "done")
    (page,) = (scan.parent.parent / "out" / "report").rglob("*.html")
    page.unlink()
    assert len(planned(scan, books).tasks) == 1
    assert not planned(scan, books, wishes=Wishes(pages=False)).tasks


def test_failures_that_lie_in_the_input_are_only_tried_again_on_demand_and_others_always(scan: Path) -> None:
    for error, again in (
        ("UnreadableError", 0),
        ("GeometryError", 0),
        ("DeadlyJobError", 0),
        ("OutputError", 1),
        ("EngineError", 1),
    ):
        books = books_after(planned(scan, Books()), "failed", error)
        assert len(planned(scan, books).tasks) == again
        assert len(planned(scan, books, wishes=Wishes(retry_failed=True)).tasks) == 1
    books.latest["a.mha"] |= {"versions": {"saint": "0.0.1"}, "error": {"class": "UnreadableError"}}
    assert len(planned(scan, books).tasks) == 1


def test_files_that_no_batch_wrote_are_not_replaced_unless_asked(scan: Path) -> None:
    target = scan.parent.parent / "out" / "a.mha"
    target.parent.mkdir()
    target.touch()
    assert planned(scan, Books()).refused[0]["error"]["class"] == "UsageError"
    assert len(planned(scan, Books(), wishes=Wishes(overwrite=True)).tasks) == 1
    begun = Books()
    begun.add({"target": "a.mha", "status": "begun", "key": "k"})
    assert len(planned(scan, begun).tasks) == 1


def test_dicom_of_what_is_not_dicom_is_a_failure_before_anything_runs(scan: Path) -> None:
    plan = planned(scan, Books(), form="dicom")
    assert not plan.tasks
    assert "DICOM" in plan.refused[0]["error"]["message"]


def test_a_plan_needs_no_books(tmp_path: Path) -> None:
    assert ledger.read(tmp_path / "nowhere") == Books()


@pytest.mark.parametrize("made_by", ["fast", "base"])
def test_auto_keeps_what_either_of_its_models_made(scan: Path, made_by: str) -> None:
    books = books_after(planned(scan, Books(), replace(FAST, engine=Engine(made_by))), "done")
    assert not planned(scan, books, replace(FAST, engine=Engine("auto"))).tasks


def test_what_auto_made_is_kept_for_the_model_that_made_it_alone(scan: Path) -> None:
    (task,) = planned(scan, Books(), replace(FAST, engine=Engine("auto"))).tasks
    assert task.job.engine.model == "auto"
    books = books_after(planned(scan, Books(), replace(FAST, engine=Engine("auto"))), "done")
    made = books.latest[task.target]
    made["key"] = key_of(task.entry, shipped.sha256("fast"))  # as the worker records it
    assert not planned(scan, books, replace(FAST, engine=Engine("auto"))).tasks
    assert not planned(scan, books, FAST).tasks
    assert planned(scan, books, replace(FAST, engine=Engine("base"))).tasks


def test_auto_keeps_nothing_that_other_weights_made(scan: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(b"weights")
    books = books_after(planned(scan, Books(), replace(FAST, engine=Engine(str(own)))), "done")
    assert planned(scan, books, replace(FAST, engine=Engine("auto"))).tasks


def test_auto_does_not_take_the_failure_of_one_model_for_its_own(scan: Path) -> None:
    books = books_after(planned(scan, Books(), replace(FAST, engine=Engine("base"))), "failed", "DeadlyJobError")
    assert planned(scan, books, replace(FAST, engine=Engine("auto"))).tasks


def test_two_results_never_lead_to_one_file_by_links_in_the_output_folder(scan: Path) -> None:
    home = scan.parents[1] / "out"
    for name in ("p", "q"):
        write_volume(fabricate.volume(), scan.parent / name / "ct.nii")
    (home / "p").mkdir(parents=True)
    (home / "q").symlink_to("p")
    plan = planned(scan, Books())
    assert {task.target for task in plan.tasks} == {"a.mha", "p/ct.mha"}
    (refused,) = plan.refused
    assert "q/ct.mha: leads to the result p/ct.mha" in refused["error"]["message"]
    assert refused["error"]["class"] == "UsageError"


def test_a_result_never_replaces_a_scan_that_a_link_in_the_output_folder_leads_to(scan: Path) -> None:
    home, other = scan.parents[1] / "out", scan.parent / "deep" / "ct.mha"
    write_volume(fabricate.volume(), other)
    home.mkdir()
    (home / "deep").symlink_to(other.parent)
    plan = planned(scan, Books(), wishes=Wishes(overwrite=True))
    assert [task.target for task in plan.tasks] == ["a.mha"]
    assert f"leads to the input {other}" in plan.refused[0]["error"]["message"]


def test_results_that_were_made_hard_links_of_each_other_are_results_still(scan: Path) -> None:
    shutil.copy(scan, scan.with_name("b.nii"))
    home, books = scan.parents[1] / "out", Books()
    for task in planned(scan, books).tasks:
        books.add({**task.entry, "status": "done", "error": None})
    home.mkdir()
    (home / "a.mha").write_text("result")
    os.link(home / "a.mha", home / "b.mha")
    plan = planned(scan, books, wishes=Wishes(pages=False))
    assert (len(plan.kept), plan.refused) == (2, [])


def test_a_scan_that_changed_since_it_was_planned_is_not_computed_and_tried_again_by_the_next_run(scan: Path) -> None:
    from saint_cli.batch import work  # with torch's version

    (task,) = planned(scan, Books()).tasks
    write_volume(fabricate.volume((24, 20, 7)), scan, overwrite=True)
    record = work._outcome(task, Seat(1))
    assert record["error"]["class"] == "SourceChangedError"
    assert record["error"]["message"] == f"{scan}: changed since it was found; run the same command again"
    assert not task.job.target.exists()
    books = Books()
    books.add(record)
    assert len(planned(scan, books).tasks) == 1
