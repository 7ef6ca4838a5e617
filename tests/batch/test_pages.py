from pathlib import Path
from typing import Any

import pytest

from saint_cli.batch import pages


def record(target: str, status: str = "done", **more: Any) -> dict[str, Any]:
    error = None if status == "done" else {"class": "GeometryError", "message": "<2> slices", "exit_code": 4}
    error = error and error | {"message": f"/data/Doe/{target}: <2> slices"}
    plain = {
        "source": f"/data/Doe/{target}",
        "name": target.removesuffix(".nii.gz"),
        "target": target,
        "status": status,
        "error": error,
    }
    return {**plain, "shape_before": [9, 8, 3], "spacing_before_mm": [1.0, 1.0, 4.0], **more}


def test_the_list_links_to_pages_that_are_there_and_tells_why_others_are_not(tmp_path: Path) -> None:
    done = record("a/one.nii.gz", seconds=3.5, warnings=["odd"], shape_after=[9, 8, 9], spacing_after_mm=[1, 1, 1.0])
    done["page"] = "/out/report/a/one.html"
    for name in (pages.page_of(done["target"]), pages.thumbnail_of(done["target"])):
        path = tmp_path / "report" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    others = [record("two.nii.gz", "failed"), record("three.nii.gz", "skipped"), record("four.nii.gz")]
    index = pages.write(tmp_path, [done, *others])
    text = index.read_text(encoding="utf-8")
    assert index == tmp_path / "report" / "index.html"
    assert "./a/one.html" in text
    assert "./thumbnails/a/one.jpg" in text
    assert "GeometryError: two.nii.gz: &lt;2&gt; slices" in text
    assert "skipped: three.nii.gz: &lt;2&gt; slices" in text
    assert "four.html" not in text
    assert "Doe" not in text


@pytest.mark.parametrize(
    "later", [record("one.nii.gz", "failed"), record("one.nii.gz", page=None)], ids=["failure", "no page"]
)
def test_a_later_end_keeps_no_link_to_the_page_of_an_earlier_success(later: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "report" / pages.page_of("one.nii.gz")
    page.parent.mkdir()
    page.write_text("")
    assert "one.html" not in pages.write(tmp_path, [later]).read_text(encoding="utf-8")


def test_a_record_without_what_pages_may_do_without_is_listed(tmp_path: Path) -> None:
    whole = record("one.nii.gz", warnings=None)
    odd = [{name: value for name, value in whole.items() if name != "error"}, {**whole, "error": {}}]
    assert "one" in pages.write(tmp_path, odd).read_text(encoding="utf-8")
