"""Labels in a batch: a column and a pattern, a changed label map runs again, a missing one fails its scan alone."""

import json
from pathlib import Path
from typing import Any

import fabricate
import numpy as np
import pytest
from cli.runs import run
from label_scans import label_array, save_labels, save_scan

from saint_cli.batch.job_records import JobRecord, JobStatus
from saint_cli.batch.label_files import fingerprint_labels, locate_labels, resolve_cell
from saint_cli.errors import UsageError
from saint_cli.io import read_labels, read_volume

OPTIONS = ("--factor", "2", "-m", "fast", "--workers", "1", "--threads", "1", "--no-pages")


def plan(*arguments: object) -> dict[str, Any]:
    """What a batch would do."""
    result = run("batch", *arguments, *OPTIONS, "--dry-run", "--json")
    document: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == document["exit_code"] == (8 if document["failed"] else 0)
    return document


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Scans a/one and b/two with their label maps in a tree of their own."""
    for name in ("a/one", "b/two"):
        (tmp_path / "scans" / name).parent.mkdir(parents=True)
        (tmp_path / "segs" / name).parent.mkdir(parents=True)
        save_scan(tmp_path / "scans" / f"{name}.nii.gz")
        save_labels(tmp_path / "segs" / f"{name}_seg.nii.gz")
    return tmp_path


def test_a_pattern_names_the_labels_of_every_scan_and_a_rerun_redoes_those_that_changed(tree: Path) -> None:
    words = (tree / "scans", tree / "out", "--labels", f"{tree}/segs/{{path}}_seg.nii.gz")
    result = run("batch", *words, *OPTIONS)
    assert result.exit_code == 0, result.output
    for name in ("a/one", "b/two"):
        labels = read_labels(tree / "out" / f"{name}_labels.nii.gz").labels
        np.testing.assert_array_equal(labels[..., ::2], label_array())
    record = json.loads((tree / "out" / "manifest.jsonl").read_text().splitlines()[0])
    assert record["labels_target"] == "a/one_labels.nii.gz"
    assert [one["number"] for one in record["label_volumes"]] == [1, 3]
    assert len(plan(*words)["jobs"]) == 0
    changed = label_array()
    changed[changed == 3] = 2
    (tree / "segs/b/two_seg.nii.gz").unlink()
    save_labels(tree / "segs/b/two_seg.nii.gz", changed)
    assert [one["target"] for one in plan(*words)["jobs"]] == ["b/two.nii.gz"]
    (tree / "out/a/one_labels.nii.gz").unlink()
    assert len(plan(*words)["jobs"]) == 2
    assert len(plan(tree / "scans", tree / "out")["jobs"]) == 2


def test_a_series_with_empty_labels_is_done_without_them_and_not_computed_again(tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="highdicom is not installed (extra seg)")
    scan = read_volume(fabricate.save(fabricate.slices(), tmp_path / "scans" / "one"))
    empty = save_labels(tmp_path / "empty.nii.gz", np.zeros(scan.shape, np.uint8), scan.affine_lps)
    words = (tmp_path / "scans", tmp_path / "out", "--labels", empty, "--to", "dicom")
    result = run("batch", *words, *OPTIONS)
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "out" / "manifest.jsonl").read_text().splitlines()[0])
    assert record["status"] == "done"
    assert "is not written" in " ".join(record["warnings"])
    assert (tmp_path / "out" / record["target"]).is_dir()
    assert len(plan(*words)["jobs"]) == 0


def test_a_column_names_labels_relative_to_the_table_and_rows_may_have_none(tree: Path) -> None:
    table = tree / "scans.csv"
    table.write_text("source,Labels,segments\nscans/a/one.nii.gz,segs/a/one_seg.nii.gz,3\nscans/b/two.nii.gz,,\n")
    result = run("batch", table, tree / "out", *OPTIONS)
    assert result.exit_code == 0, result.output
    assert set(np.unique(read_labels(tree / "out/one_labels.nii.gz").labels)) == {0, 3}
    assert not (tree / "out/two_labels.nii.gz").exists()


def test_a_scan_without_its_labels_fails_alone_and_is_named(tree: Path) -> None:
    (tree / "segs/a/one_seg.nii.gz").unlink()
    words = (tree / "scans", tree / "out", "--labels", f"{tree}/segs/{{path}}_seg.nii.gz")
    document = plan(*words)
    assert [one["target"] for one in document["jobs"]] == ["b/two.nii.gz"]
    text = json.dumps(document)
    assert "one_seg.nii.gz: no such file or folder; it should be the label map of a/one" in text


def test_a_file_that_no_job_wrote_is_not_replaced_by_labels(tree: Path) -> None:
    (tree / "out" / "a").mkdir(parents=True)
    (tree / "out/a/one_labels.nii.gz").write_text("mine")
    document = plan(tree / "scans", tree / "out", "--labels", f"{tree}/segs/{{path}}_seg.nii.gz")
    assert [one["target"] for one in document["jobs"]] == ["b/two.nii.gz"]
    assert "one_labels.nii.gz: exists, but no job of this batch wrote it" in json.dumps(document)


@pytest.mark.parametrize(
    ("template", "place"),
    [("L/{path}.nii", "L/study/scan.nii"), ("{folder}/{name}_s.mha", "study/scan_s.mha"), ("one.nii", "one.nii")],
)
def test_fields_stand_for_the_parts_of_a_scans_path(
    template: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate_labels(template, "study/scan") == tmp_path / place


@pytest.mark.parametrize("template", ["{other}", "{", "{0}", "{path.x}"])
def test_other_fields_are_refused(template: str) -> None:
    with pytest.raises(UsageError, match=r"write fields as \{path\}, \{folder\}, \{name\}"):
        locate_labels(template, "study/scan")


def test_missing_labels_are_named_and_the_page_of_the_batch_shows_no_folder_of_theirs(tree: Path) -> None:
    missing = tree / "SECRET" / "b" / "two.nii"
    save_labels(tree / "SECRET" / "a" / "one.nii")
    result = run("batch", tree / "scans", tree / "out", "--labels", f"{tree}/SECRET/{{path}}.nii", *OPTIONS[:-1])
    assert result.exit_code == 8
    assert f"{missing}: no such file or folder; it should be the label map of b/two" in result.output.replace("\n", "")
    page = (tree / "out" / "report" / "index.html").read_text()
    assert "two.nii: no such file or folder" in page
    assert "SECRET" not in page


def test_braces_in_a_table_are_no_fields(tmp_path: Path) -> None:
    cells = resolve_cell({"labels": "a{b}.nii", "factor": "2"}, tmp_path)
    assert cells["factor"] == "2"
    assert locate_labels(cells["labels"], "scan") == tmp_path / "a{b}.nii"


def test_a_url_in_a_table_is_refused_with_its_row(tree: Path) -> None:
    table = tree / "scans.csv"
    table.write_text("source,labels\nscans/a/one.nii.gz,s3://bucket/seg.nii.gz\n")
    result = run("batch", table, tree / "out", *OPTIONS)
    assert result.exit_code == 2
    assert "row 2: s3://bucket/seg.nii.gz: a label map must be a file or folder on this machine" in " ".join(
        result.output.split()
    )


def test_the_fingerprint_of_labels_in_a_folder_knows_every_file(tmp_path: Path) -> None:
    (tmp_path / "seg").mkdir()
    (tmp_path / "seg" / "one.dcm").write_text("1")
    found = [fingerprint_labels(tmp_path / "seg")]
    for name, text in (("one.dcm", "12"), ("two.dcm", "2")):  # the first leaves the folder itself as it was
        (tmp_path / "seg" / name).write_text(text)
        found.append(fingerprint_labels(tmp_path / "seg"))
    assert len(set(found)) == 3


def test_a_record_whose_labels_lie_outside_of_the_folder_is_damaged() -> None:
    record = JobRecord("a.nii", "k", JobStatus.DONE, "a", "a.nii", "fast", {}, labels_target="../b.nii")
    with pytest.raises(ValueError, match="labels_target"):
        JobRecord.from_line(record.to_line())
