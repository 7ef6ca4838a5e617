"""A tree at a URL is found as the same tree is found here."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabricate
import pytest
from pydicom import uid

from saint_cli.batch import remote_cache
from saint_cli.batch.manifest import ManifestState
from saint_cli.batch.output_names import name_outputs
from saint_cli.batch.plan import OutputStore, Plan, RerunPolicy, plan_jobs
from saint_cli.batch.search import Findings, SearchRules
from saint_cli.batch.state_files import LOCK
from saint_cli.batch.workflow import BatchRequest, discover
from saint_cli.errors import RemoteError, UsageError
from saint_cli.io import write_volume
from saint_cli.io.remote import transfer
from saint_cli.io.remote.transfer import RemoteSource
from saint_cli.jobs import GridRequest, ModelConfig
from saint_cli.options.job import JobSettings

FAST = JobSettings(grid=GridRequest(factor=2), model_config=ModelConfig("fast"))


def request(
    state_dir: Path, *inputs: Path | str, settings: JobSettings = FAST, results: str | None = None, form: str = "mha"
) -> BatchRequest:
    """What the user asked for, its results in a folder."""
    return BatchRequest(
        inputs,
        SearchRules(lambda row: settings, state_dir, results=results),
        RerunPolicy(),
        settings.model_config,
        form,
    )


def discover_scans(state_dir: Path, *inputs: Path | str, **more: Any) -> Findings:
    return discover(request(state_dir, *inputs, **more), lambda count: None)


def planned(findings: Findings, state_dir: Path) -> Plan:
    return plan_jobs(
        OutputStore(state_dir), findings, name_outputs(findings.scans, "{path}", "mha"), ManifestState(), RerunPolicy()
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files of all formats, two DICOM series in one folder and one in its own, results, a broken file, and others."""
    folder = tmp_path / "study"
    write_volume(fabricate.volume(), folder / "p0" / "ct.nii.gz")
    write_volume(fabricate.volume(), folder / "p1" / "x.mha")
    first, second = fabricate.slices(), fabricate.slices(modality="MR")
    fabricate.save([*first, *second], folder / "p2" / "both")
    fabricate.save(fabricate.slices(7, shape=(9, 9), modality="MR"), folder / "p2" / "own" / "deep")
    fabricate.save(fabricate.slices(1), folder / "p3" / "localizer")
    (folder / "broken.nii").write_text("not an image")
    (folder / "README").write_text("about")
    write_volume(fabricate.volume(), folder / "x4" / "p0" / "ct.mha")
    for results in (folder / "x4", folder / "x4" / "older"):
        (results / LOCK).parent.mkdir(parents=True)
        (results / LOCK).touch()
    (folder / "p0" / ".hidden.nii").touch()
    return folder


def describe(findings: Findings) -> list[tuple[Any, ...]]:
    """What must be the same wherever a tree lies."""
    return sorted(
        (
            s.path,
            s.tag,
            s.settings.series or "",
            s.shape or (),
            s.spacing_mm or (),
            s.slice_ratio,
            type(s.error).__name__,
        )
        for s in findings.scans
    )


def test_a_tree_at_a_url_is_found_as_the_same_tree_here(tree: Path, tmp_path: Path) -> None:
    here, there = discover_scans(tmp_path / "out", tree), discover_scans(tmp_path / "out", tree.as_uri())
    assert len(here.scans) == 6
    assert describe(there) == describe(here)
    assert sorted(there.skipped) == sorted(here.skipped)
    assert there.ignored == here.ignored
    assert there.ignored["folder with results of another batch (x4)"] == 1
    assert name_outputs(sorted(there.scans, key=lambda s: s.tag), "{path}", "mha") == name_outputs(
        sorted(here.scans, key=lambda s: s.tag), "{path}", "mha"
    )


def test_each_scan_fetches_its_own_files_alone(tree: Path, tmp_path: Path) -> None:
    scans = {scan.path: scan.source for scan in discover_scans(tmp_path / "out", tree.as_uri()).scans}
    for path, count in (("p0/ct", 1), ("p2/own/deep", 7)):
        source = scans[path]
        assert isinstance(source, RemoteSource)
        assert len(source.items) == count
    assert len(scans["p2/both"].items) == 6


def test_a_rerun_reads_nothing_but_listings(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state_dir = tmp_path / "out"
    first = discover_scans(state_dir, tree.as_uri())
    first.remote_cache.save()
    read: list[str] = []
    honest = transfer.read_heads

    def counted(origin: transfer.RemoteSource, items: Any, size: int) -> list[bytes]:
        read.extend(item.name for item in items)
        return honest(origin, items, size)

    monkeypatch.setattr(transfer, "read_heads", counted)
    again = discover_scans(state_dir, tree.as_uri())
    assert (describe(again), again.skipped, again.ignored) == (describe(first), first.skipped, first.ignored)
    keys = [[task.record.key for task in planned(f, state_dir).tasks] for f in (first, again)]
    assert (read, keys[0]) == ([], keys[1])
    os.utime(tree / "p1" / "x.mha", (1, 1))
    changed = [task.record.key for task in planned(discover_scans(state_dir, tree.as_uri()), state_dir).tasks]
    assert read == ["study/p1/x.mha"]
    assert len(set(changed) - set(keys[0])) == 1


def test_a_network_that_fails_once_is_no_fault_of_a_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series = [data for _ in range(2) for data in fabricate.slices(shape=(256, 256))]  # longer than what is read first
    for index, data in enumerate(series):
        data.SOPInstanceUID = uid.generate_uid(entropy_srcs=[str(index)])
    url, fetch = f"file://{fabricate.save(series, tmp_path / 'twice')}", transfer.fetch

    def fail(source: RemoteSource, folder: Path) -> None:
        raise RemoteError(f"{source.public_url}: connection reset")

    monkeypatch.setattr(transfer, "fetch", fail)
    findings = discover_scans(tmp_path / "state", url)
    findings.remote_cache.save()
    assert [type(scan.error) for scan in findings.scans] == [RemoteError]
    monkeypatch.setattr(transfer, "fetch", fetch)
    assert [scan.error for scan in discover_scans(tmp_path / "state", url).scans] == [None]


def test_single_files_patterns_and_several_folders_are_named_as_paths_are(tree: Path, tmp_path: Path) -> None:
    url = tree.as_uri()
    assert [s.path for s in discover_scans(tmp_path / "out", f"{url}/p0/ct.nii.gz").scans] == ["ct"]
    assert [s.path for s in discover_scans(tmp_path / "out", f"{url}/p[01]/*").scans] == ["ct", "x"]
    assert [s.path for s in discover_scans(tmp_path / "out", f"{url}/p0", f"{url}/p1").scans] == ["p0/ct", "p1/x"]
    with pytest.raises(UsageError, match="nothing matches"):
        discover_scans(tmp_path / "out", f"{url}/p*/none*")
    with pytest.raises(RemoteError, match="no such file"):
        discover_scans(tmp_path / "out", f"{url}/none")


def test_a_name_with_the_signs_of_a_pattern_is_found_by_itself(tree: Path, tmp_path: Path) -> None:
    (tree / "p1").rename(tree / "p[1]")
    assert [s.path for s in discover_scans(tmp_path / "out", f"{tree.as_uri()}/p[1]/x.mha").scans] == ["x"]


@pytest.mark.parametrize(
    "left", ["{", "[]", '{"stacks": 3}', '{"error": "Gone", "message": ""}', '{"stacks": [{"new": 1}]}']
)
def test_damaged_notes_and_those_of_another_saint_are_made_anew(tree: Path, tmp_path: Path, left: str) -> None:
    url, state_dir = f"{tree.as_uri()}/p1", tmp_path / "out"
    first = discover_scans(state_dir, url)
    first.remote_cache.save()
    (note,) = (state_dir / ".saint" / "seen").iterdir()
    note.write_text(left)
    assert describe(discover_scans(state_dir, url)) == describe(first)


def test_rows_of_a_table_may_be_urls_and_a_missing_one_stops_no_other(tree: Path, tmp_path: Path) -> None:
    table = tmp_path / "scans.csv"
    table.write_text(f"source,name\n{tree.as_uri()}/p0/ct.nii.gz,mine\n{tree.as_uri()}/none.nii,\n")
    scans = discover_scans(tmp_path / "out", table).scans
    assert [(s.path, type(s.error).__name__) for s in scans] == [("mine", "NoneType"), ("none", "RemoteError")]
    assert scans[1].source_name == f"{tree.as_uri()}/none.nii"


def test_results_at_a_url_are_never_inputs(tree: Path, tmp_path: Path) -> None:
    url = tree.as_uri()
    assert "p1/x" not in [s.path for s in discover_scans(tmp_path / "state", url, results=f"{url}/p1").scans]
    with pytest.raises(UsageError, match="never inputs"):
        discover_scans(tmp_path / "state", f"{url}/p1", results=url)


def test_a_dicom_series_is_not_written_to_a_url(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--to dicom"):
        discover_scans(tmp_path / "state", tree, results=tmp_path.as_uri(), form="dicom")


def test_even_runs_are_found_where_asked_for(tmp_path: Path) -> None:
    series = fabricate.slices(12)
    del series[5]
    fabricate.save(series, tmp_path / "in" / "gap")
    settings = replace(FAST, split_runs=True)
    here, there = (
        discover_scans(tmp_path / "out", place, settings=settings)
        for place in (tmp_path / "in", (tmp_path / "in").as_uri())
    )
    assert len(here.scans) == 2
    assert describe(there) == describe(here)


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
    state_dir = tmp_path / "state"
    first = discover_scans(state_dir, f"file://{tree / 'p0'}")
    first.remote_cache.save()
    calls = list[Any]()
    plain = remote_cache.describe_remote
    monkeypatch.setattr(
        remote_cache, "describe_remote", lambda *given, **more: calls.append(given) or plain(*given, **more)
    )
    assert discover_scans(state_dir, f"file://{tree / 'p0'}").scans == first.scans
    assert not calls
    (kept_records,) = state_dir.rglob("*.json")
    kept_records.write_bytes(bend(kept_records.read_bytes()))
    assert discover_scans(state_dir, f"file://{tree / 'p0'}").scans == first.scans
    assert len(calls) == 1
