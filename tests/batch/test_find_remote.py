"""A tree at a URL is found as the same tree is found here."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabricate
import pytest

from saint_cli.batch import seen
from saint_cli.batch.find import Findings, Rules
from saint_cli.batch.ledger import Books
from saint_cli.batch.names import targets
from saint_cli.batch.plan import Plan, Shelf, Wishes, make_plan
from saint_cli.batch.whole import Order, look
from saint_cli.errors import RemoteError, UsageError
from saint_cli.io import remote, write_volume
from saint_cli.jobs import Engine, Grid, Job

FAST = Job(Path(), Path(), Grid(factor=2), Engine("fast"))


def order(home: Path, *inputs: Path | str, job: Job = FAST, results: str | None = None, form: str = "mha") -> Order:
    """What the user asked for, its results in a folder."""
    return Order(inputs, Rules(lambda row: job, home, results=results), Wishes(), job.engine, form)


def found(home: Path, *inputs: Path | str, **more: Any) -> Findings:
    return look(order(home, *inputs, **more), lambda count: None)


def planned(findings: Findings, home: Path) -> Plan:
    return make_plan(Shelf(home), findings, targets(findings.scans, "{path}", "mha"), Books(), Wishes())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files of all formats, two DICOM series in one folder and one in its own, a broken file, and others."""
    folder = tmp_path / "study"
    write_volume(fabricate.volume(), folder / "p0" / "ct.nii.gz")
    write_volume(fabricate.volume(), folder / "p1" / "x.mha")
    first, second = fabricate.slices(), fabricate.slices(modality="MR")
    fabricate.save([*first, *second], folder / "p2" / "both")
    fabricate.save(fabricate.slices(7, shape=(9, 9), modality="MR"), folder / "p2" / "own" / "deep")
    fabricate.save(fabricate.slices(1), folder / "p3" / "localizer")
    (folder / "broken.nii").write_text("not an image")
    (folder / "README").write_text("about")
    (folder / "p0" / ".hidden.nii").touch()
    return folder


def told(findings: Findings) -> list[tuple[Any, ...]]:
    """What must be the same wherever a tree lies."""
    return sorted(
        (s.path, s.tag, s.job.series or "", s.shape or (), s.spacing_mm or (), s.finer, type(s.error).__name__)
        for s in findings.scans
    )


def test_a_tree_at_a_url_is_found_as_the_same_tree_here(tree: Path, tmp_path: Path) -> None:
    here, there = found(tmp_path / "out", tree), found(tmp_path / "out", tree.as_uri())
    assert len(here.scans) == 6
    assert told(there) == told(here)
    assert sorted(there.skipped) == sorted(here.skipped)
    assert there.ignored == here.ignored
    assert targets(sorted(there.scans, key=lambda s: s.tag), "{path}", "mha") == targets(
        sorted(here.scans, key=lambda s: s.tag), "{path}", "mha"
    )


def test_each_scan_fetches_its_own_files_alone(tree: Path, tmp_path: Path) -> None:
    scans = {scan.path: scan.job.origin for scan in found(tmp_path / "out", tree.as_uri()).scans}
    for path, count in (("p0/ct", 1), ("p2/own/deep", 7)):
        origin = scans[path]
        assert origin is not None
        assert len(origin.items) == count
    assert all(len(origin.items) == 6 for path, origin in scans.items() if path == "p2/both" and origin)


def test_a_rerun_reads_nothing_but_listings(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "out"
    first = found(home, tree.as_uri())
    assert first.seen is not None
    first.seen.keep()
    read: list[str] = []
    honest = remote.heads

    def counted(origin: remote.Origin, items: Any, size: int) -> list[bytes]:
        read.extend(item.name for item in items)
        return honest(origin, items, size)

    monkeypatch.setattr(remote, "heads", counted)
    again = found(home, tree.as_uri())
    assert (told(again), again.skipped, again.ignored) == (told(first), first.skipped, first.ignored)
    keys = [[task.entry["key"] for task in planned(f, home).tasks] for f in (first, again)]
    assert (read, keys[0]) == ([], keys[1])
    os.utime(tree / "p1" / "x.mha", (1, 1))
    changed = [task.entry["key"] for task in planned(found(home, tree.as_uri()), home).tasks]
    assert read == ["study/p1/x.mha"]
    assert len(set(changed) - set(keys[0])) == 1


def test_single_files_patterns_and_several_folders_are_named_as_paths_are(tree: Path, tmp_path: Path) -> None:
    url = tree.as_uri()
    assert [s.path for s in found(tmp_path / "out", f"{url}/p0/ct.nii.gz").scans] == ["ct"]
    assert [s.path for s in found(tmp_path / "out", f"{url}/p[01]/*").scans] == ["ct", "x"]
    assert [s.path for s in found(tmp_path / "out", f"{url}/p0", f"{url}/p1").scans] == ["p0/ct", "p1/x"]
    with pytest.raises(UsageError, match="nothing matches"):
        found(tmp_path / "out", f"{url}/p*/none*")
    with pytest.raises(RemoteError, match="no such file"):
        found(tmp_path / "out", f"{url}/none")


def test_a_name_with_the_signs_of_a_pattern_is_found_by_itself(tree: Path, tmp_path: Path) -> None:
    (tree / "p1").rename(tree / "p[1]")
    assert [s.path for s in found(tmp_path / "out", f"{tree.as_uri()}/p[1]/x.mha").scans] == ["x"]


@pytest.mark.parametrize(
    "left", ["{", "[]", '{"stacks": 3}', '{"error": "Gone", "message": ""}', '{"stacks": [{"new": 1}]}']
)
def test_damaged_notes_and_those_of_another_saint_are_made_anew(tree: Path, tmp_path: Path, left: str) -> None:
    url, home = f"{tree.as_uri()}/p1", tmp_path / "out"
    first = found(home, url)
    assert first.seen is not None
    first.seen.keep()
    (note,) = (home / ".saint" / "seen").iterdir()
    note.write_text(left)
    assert told(found(home, url)) == told(first)


def test_rows_of_a_table_may_be_urls_and_a_missing_one_stops_no_other(tree: Path, tmp_path: Path) -> None:
    table = tmp_path / "scans.csv"
    table.write_text(f"source,name\n{tree.as_uri()}/p0/ct.nii.gz,mine\n{tree.as_uri()}/none.nii,\n")
    scans = found(tmp_path / "out", table).scans
    assert [(s.path, type(s.error).__name__) for s in scans] == [("mine", "NoneType"), ("none", "RemoteError")]
    assert scans[1].source == f"{tree.as_uri()}/none.nii"


def test_results_at_a_url_are_never_inputs(tree: Path, tmp_path: Path) -> None:
    url = tree.as_uri()
    assert "p1/x" not in [s.path for s in found(tmp_path / "books", url, results=f"{url}/p1").scans]
    with pytest.raises(UsageError, match="never inputs"):
        found(tmp_path / "books", f"{url}/p1", results=url)


def test_a_dicom_series_is_not_written_to_a_url(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--to dicom"):
        found(tmp_path / "books", tree, results=tmp_path.as_uri(), form="dicom")


def test_even_runs_are_found_where_asked_for(tmp_path: Path) -> None:
    series = fabricate.slices(12)
    del series[5]
    fabricate.save(series, tmp_path / "in" / "gap")
    job = replace(FAST, split_runs=True)
    here, there = (found(tmp_path / "out", place, job=job) for place in (tmp_path / "in", (tmp_path / "in").as_uri()))
    assert len(here.scans) == 2
    assert told(there) == told(here)


NESTED = b"[" * 100_000


@pytest.mark.parametrize(
    "bend",
    [
        lambda text: b"",
        lambda text: text[:-20],
        lambda text: NESTED,
        lambda text: b"[1]",
        lambda text: b'{"error": "SystemExit", "message": "x"}',
        lambda text: b'{"error": null, "message": "x"}',
        lambda text: text.replace(b'"shape": [', b'"shape": ["a", '),
        lambda text: text.replace(b'"number": 1', b'"number": "1"'),
        lambda text: text.replace(b'"label"', b'"other"'),
        lambda text: text.replace(b'"files": [', b'"files": [5, '),
    ],
    ids=["empty", "torn", "nested", "list", "error", "no error", "shape", "number", "field", "files"],
)
def test_a_damaged_description_of_an_earlier_run_is_made_again(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bend: Callable[[bytes], bytes]
) -> None:
    home = tmp_path / "state"
    first = found(home, f"file://{tree / 'p0'}")
    assert first.seen is not None
    first.seen.keep()
    calls = list[Any]()
    plain = seen.describe_remote
    monkeypatch.setattr(seen, "describe_remote", lambda *given, **more: calls.append(given) or plain(*given, **more))
    assert found(home, f"file://{tree / 'p0'}").scans == first.scans
    assert not calls
    (kept,) = home.rglob("*.json")
    kept.write_bytes(bend(kept.read_bytes()))
    assert found(home, f"file://{tree / 'p0'}").scans == first.scans
    assert len(calls) == 1
