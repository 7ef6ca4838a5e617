from pathlib import Path
from typing import Any

import pytest
from make_jobs import make_record

from saint_cli.batch import report_pages
from saint_cli.batch.job_records import JobFailure, JobRecord, JobStatus


def record(target: str, status: str = "done", **more: Any) -> JobRecord:
    source, name = f"/data/Doe/{target}", target.removesuffix(".nii.gz")
    error = None if status == "done" else JobFailure("GeometryError", f"{source}: <2> slices", 4)
    sizes = {"shape_before": (9, 8, 3), "spacing_before_mm": (1.0, 1.0, 4.0)}
    return make_record(target, JobStatus(status), source=source, name=name, error=error, **sizes, **more)


def test_the_list_links_to_pages_that_are_there_and_says_why_others_are_not(tmp_path: Path) -> None:
    sizes = {"shape_after": (9, 8, 9), "spacing_after_mm": (1.0, 1.0, 1.0)}
    done = record("a/one.nii.gz", seconds=3.5, warnings=("odd",), page="/out/report/a/one.html", **sizes)
    for name in (report_pages.page_path(done.target), report_pages.thumbnail_path(done.target)):
        path = tmp_path / "report" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    others = [record("two.nii.gz", "failed"), record("three.nii.gz", "skipped"), record("four.nii.gz")]
    index = report_pages.write_page_index(tmp_path, [done, *others], [("labels", "a label map")])
    text = index.read_text(encoding="utf-8")
    assert index == tmp_path / "report" / "index.html"
    assert "./a/one.html" in text
    assert "./thumbnails/a/one.jpg" in text
    assert "Failed</b><p>two.nii.gz: &lt;2&gt; slices" in text
    assert "Skipped<p>three.nii.gz: &lt;2&gt; slices" in text
    assert "Skipped<p>a label map</p>" in text
    assert "GeometryError" not in text
    assert "four.html" not in text
    assert "Doe" not in text


@pytest.mark.parametrize(
    "later", [record("one.nii.gz", "failed"), record("one.nii.gz", page=None)], ids=["failure", "no page"]
)
def test_a_later_end_keeps_no_link_to_the_page_of_an_earlier_success(later: JobRecord, tmp_path: Path) -> None:
    page = tmp_path / "report" / report_pages.page_path("one.nii.gz")
    page.parent.mkdir()
    page.write_text("")
    assert "one.html" not in report_pages.write_page_index(tmp_path, [later]).read_text(encoding="utf-8")


def test_a_record_without_what_pages_may_do_without_is_listed(tmp_path: Path) -> None:
    document = record("one.nii.gz", warnings=None).to_json()
    without_error = {name: value for name, value in document.items() if name != "error"}
    odd = [JobRecord.from_json(one) for one in (without_error, {**document, "error": {}})]
    assert "one" in report_pages.write_page_index(tmp_path, odd).read_text(encoding="utf-8")
