"""The list of all scans in a real browser: sorting, filtering, links."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import pytest
from browser import css, keys
from PIL import Image
from report.scans import EVIL

from saint_cli.report.index_page import IndexRow, write_index

NAMES = ("scan10.nii", "scan9.nii", "Scan1.nii", EVIL, "broken.nii")


@pytest.fixture
def listed(chromium: Any, tmp_path: Path) -> Iterator[Any]:
    """The driver with a list of five scans in front."""
    Image.new("L", (8, 6), 200).save(tmp_path / "a & b.png")
    rows = [
        IndexRow(
            name, f"{name}.html", "a & b.png", (9, 9, 9), (9, 9, 9 * (i + 2)), (1.0, 1.0, gap), (1.0,) * 3, seconds
        )
        for i, (name, gap, seconds) in enumerate(
            zip(NAMES[:4], (5.0, 10.0, 2.5, 3.0), (100.0, 9.5, 20.0, 3.0), strict=True)
        )
    ]
    write_index(
        tmp_path / "index.html",
        [*rows, IndexRow("broken.nii", failure="one slice cannot be used", warnings=("w",))],
    )
    chromium.get((tmp_path / "index.html").as_uri())
    yield chromium
    assert browser.complaints(chromium) == []
    assert all(url.startswith(tmp_path.as_uri()) for url in browser.requests(chromium))


def order(driver: Any) -> list[int]:
    return [NAMES.index(cell.text) for cell in driver.find_elements("css selector", "tbody td.name")]


def head(driver: Any, word: str) -> Any:
    return next(h for h in driver.find_elements("css selector", "th[data-key]") if h.text.startswith(word))


@pytest.mark.parametrize(
    ("column", "ascending"),
    [
        ("Scan", [3, 4, 2, 1, 0]),
        ("Seconds", [3, 1, 2, 0, 4]),
        ("Spacing", [2, 3, 0, 1, 4]),
        ("Voxels", [0, 1, 2, 3, 4]),
        ("Warnings", [0, 1, 2, 3, 4]),
    ],
)
def test_columns_sort_both_ways_by_text_or_number(listed: Any, column: str, ascending: list[int]) -> None:
    head(listed, column).find_element("css selector", "button").click()
    assert order(listed) == ascending
    assert head(listed, column).get_attribute("aria-sort") == "ascending"
    head(listed, column).find_element("css selector", "button").send_keys("\ue007")  # Enter
    assert head(listed, column).get_attribute("aria-sort") == "descending"
    known = [i for i in ascending if i != 4 or column in ("Scan", "Warnings")]
    if column != "Warnings":  # where four rows are equal, their order says nothing
        assert order(listed) == known[::-1] + [i for i in ascending if i not in known]
    else:
        assert order(listed)[0] == 4
    assert len(listed.find_elements("css selector", "[aria-sort]")) == 1


def test_a_list_fits_the_window(listed: Any) -> None:
    assert listed.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("width", [800, 1400])
def test_long_names_and_failures_fit_narrow_windows_too(chromium: Any, tmp_path: Path, width: int) -> None:
    name = "hospital_a/patient_000001/1.2.840.113619.2.55.3.604688119.969.1268071029.5"
    shapes, spacings = ((512, 512, 60), (512, 512, 1415)), ((0.977, 0.977, 5.0), (0.977, 0.977, 0.977))
    done = IndexRow(name, "p.html", "t.jpg", *shapes, *spacings, 13725.5, ("slices overlap by half a millimetre",))
    failed = IndexRow(name, failure="slices are 5 mm apart but 10 mm between z = 28 and z = 38 mm")
    Image.new("L", (160, 120), 200).save(tmp_path / "t.jpg")
    write_index(tmp_path / "index.html", [done, failed])
    before = chromium.get_window_size()
    chromium.set_window_size(width, 900)
    chromium.get((tmp_path / "index.html").as_uri())
    css(chromium, "summary").click()
    size = chromium.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    chromium.set_window_size(before["width"], before["height"])
    assert size[0] <= size[1] <= width
    assert browser.complaints(chromium) == []
    assert all(url.startswith(tmp_path.as_uri()) for url in browser.requests(chromium))


def test_what_is_typed_filters_the_list(listed: Any) -> None:
    keys(listed, "#filter", "cannot BE")
    shown = [row.text for row in listed.find_elements("css selector", "tbody tr") if row.is_displayed()]
    assert len(shown) == 1
    assert "one slice" in shown[0]
    assert css(listed, "#shown").text == "1 of 5"


def test_thumbnails_are_loaded_and_links_lead_to_the_pages(listed: Any) -> None:
    assert listed.execute_script("return [...document.images].every((i) => i.complete && i.naturalWidth === 8)")
    link = listed.find_elements("css selector", "tbody a")[3].get_attribute("href")
    assert link.startswith("file:")
    assert "%3Cscript%3E" in link


def test_ten_thousand_scans_can_be_sorted(chromium: Any, tmp_path: Path) -> None:
    rows = [IndexRow(f"{i}.nii", shape_after=(1, 1, i + 1), seconds=float(i * 7919 % 10_007)) for i in range(10_000)]
    write_index(tmp_path / "index.html", rows)
    chromium.get((tmp_path / "index.html").as_uri())
    head(chromium, "Seconds").find_element("css selector", "button").click()
    script = "return [...document.querySelector('tbody').rows].map((r) => Number(r.cells[3].textContent))"
    seconds = chromium.execute_script(script)
    assert seconds == sorted(seconds)
    assert len(seconds) == 10_000


ODD_NAMES = [
    "M\udcfcller",
    "\udcff\udcfe",
    "a\nb",
    "a#b?c%41d",
    "javascript:alert(1)",
    "data:text",
    "file:x",
    "//host",
    "a\"b'c<d>&amp;",
    "blanks  end ",
    "\\back\tslash",
    "短い\N{BRAIN}u\u0308",
    "n" * 250,
    "..x/.y",
]


def test_links_lead_to_pages_of_any_name(chromium: Any, tmp_path: Path) -> None:
    rows = []
    for number, name in enumerate(ODD_NAMES):
        path = tmp_path / "report" / f"{name}.html".lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<!doctype html><title>page {number}</title>")
        rows.append(IndexRow(name, f"{name}.html".lstrip("/")))
    write_index(tmp_path / "report" / "index.html", rows)
    chromium.get((tmp_path / "report" / "index.html").as_uri())
    links = [link.get_attribute("href") for link in chromium.find_elements("css selector", "tbody a")]
    assert len(links) == len(ODD_NAMES)
    for number, link in enumerate(links):
        chromium.get(link)
        assert chromium.title == f"page {number}", ODD_NAMES[number]
    browser.complaints(chromium)
