import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from report.scans import EVIL

from saint_cli.report import index_page
from saint_cli.report.index_page import IndexRow, make_link, render_index, write_index

PICTURE = "data:image/png;base64," + "A" * 4000

DONE = IndexRow(
    "chest.nii.gz",
    "chest.html",
    "chest.jpg",
    (512, 512, 60),
    (512, 512, 400),
    (0.75, 0.75, 5.0),
    (0.75, 0.75, 0.75),
    3725.0,
    ("slices overlap",),
)

FAILED = IndexRow("broken", failure="slices are 10 mm apart between z = 28 and 38")

SKIPPED = IndexRow("label", skip_reason="a label map")


def test_rows_show_what_came_of_each_scan() -> None:
    text = render_index([DONE, FAILED, SKIPPED])
    assert '<a href="./chest.html">chest.nii.gz</a>' in text
    assert "0.75\N{MULTIPLICATION SIGN}0.75\N{MULTIPLICATION SIGN}5<br>→&nbsp;0.75" in text
    assert "slices overlap" in text
    done, failed, skipped = re.findall(r"<td class=words>(.*?)</td>", text)
    assert done == "Done"
    assert failed.endswith("Failed</b><p>slices are 10 mm apart between z = 28 and 38</p>")
    assert skipped == "Skipped<p>a label map</p>"


def test_totals_count_each_scan_once() -> None:
    totals = dict(index_page.count_totals([DONE, DONE, FAILED, SKIPPED]))
    assert totals == {
        "Scans": "4",
        "Done": "2",
        "With warnings": "2",
        "Failed": "1",
        "Skipped": "1",
        "Computing time": "2 h 04 min 10 s",
    }


def test_what_users_name_their_files_cannot_become_markup() -> None:
    text = render_index([IndexRow(EVIL, page=f"{EVIL}.html", thumbnail=EVIL, warnings=(EVIL,), failure=EVIL)])
    assert "<script>alert" not in text
    assert unescape(re.findall(r"<a href=[^>]*>(.*?)</a>", text)[0]) == EVIL


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("a b.html", "./a%20b.html"),
        ("javascript:alert(1)", "./javascript%3Aalert%281%29"),
        ("what?#.html", "./what%3F%23.html"),
        ("sub/../x.html", "./sub/../x.html"),
        ("data:text/html,x", "./data%3Atext/html%2Cx"),
        ("//host/x", ".///host/x"),
        ("M\udcfcller \N{BRAIN}.html", "./M%FCller%20%F0%9F%A7%A0.html"),
        (PICTURE, PICTURE),
    ],
)
def test_links_stay_relative_files(target: str, wanted: str) -> None:
    assert make_link(target) == wanted


def test_ten_thousand_scans_stay_below_five_megabytes(tmp_path: Path) -> None:
    rows = [replace(DONE, name=f"study_{i:05}/series_of_a_long_name.nii.gz") for i in range(10_000)]
    write_index(tmp_path / "index.html", rows)
    assert (tmp_path / "index.html").stat().st_size < 5_000_000
    assert (tmp_path / "index.html").read_text(encoding="utf-8").count('loading="lazy"') == 10_000


def test_pictures_inside_the_list_are_left_out_where_they_would_make_it_slow(tmp_path: Path) -> None:
    row = IndexRow("a", thumbnail=PICTURE)
    write_index(tmp_path / "few.html", [row] * 10)
    assert (tmp_path / "few.html").read_text(encoding="utf-8").count(PICTURE) == 10
    write_index(tmp_path / "many.html", [row] * 2000)
    assert PICTURE not in (tmp_path / "many.html").read_text(encoding="utf-8")


def test_an_empty_list_is_a_page_too() -> None:
    assert "<dd>0</dd>" in render_index([])
