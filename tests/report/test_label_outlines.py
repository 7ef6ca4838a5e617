"""Outlines of labels: inside their borders, in their colours; the table of volumes."""

from pathlib import Path
from typing import Any

import browser
import numpy as np
from label_scans import label_map
from report.scans import page, pair

from saint_cli.geometry import SliceGrid
from saint_cli.labels import label_volumes, refine_labels
from saint_cli.report import label_outlines, plane_cuts
from saint_cli.report import page as page_module
from saint_cli.report.anatomy import UprightVolume
from saint_cli.report.job_facts import LabelPair
from saint_cli.report.label_outlines import PALETTE, draw_outlines, find_centre, make_table
from saint_cli.volume.label_map import LabelMap, Segment

NAME = "liver <b>&amp;"


def refined(before: LabelMap | None = None) -> LabelPair:
    before = label_map(segments=(Segment(1, NAME, (250, 100, 100)),)) if before is None else before
    after = refine_labels(before, SliceGrid(2, before.shape[2], 0.25, (before.shape[2] - 1) * 4 + 1))
    return LabelPair(before, after, label_volumes(before, after))


def test_an_outline_lies_inside_its_label_and_nowhere_else() -> None:
    labels = np.zeros((30, 40), np.uint8)
    labels[10:20, 5:25], labels[12:18, 25:30] = 1, 4
    drawn = draw_outlines(labels, {1: (10, 20, 30), 4: (40, 50, 60)})
    times = drawn.shape[0] // labels.shape[0]
    assert drawn.shape == (30 * times, 40 * times, 4)
    large = labels.repeat(times, 0).repeat(times, 1)
    is_drawn = drawn[..., 3] > 0
    assert set(np.unique(large[is_drawn])) == {1, 4}
    assert {tuple(colour) for colour in drawn[is_drawn & (large == 4)]} == {(40, 50, 60, 255)}
    edge = times * 10
    assert is_drawn[edge, times * 6]
    assert not is_drawn[edge - 1, times * 6]
    assert not is_drawn[times * 15, times * 15]


def test_labels_have_the_colours_of_their_file_and_dark_ones_are_brightened() -> None:
    segments = (Segment(1, color_rgb=(250, 100, 100)), Segment(3, color_rgb=(20, 0, 0)))
    colours = label_outlines.choose_colours(refined(label_map(segments=segments)))
    assert colours[1] == (250, 100, 100)
    assert sum(colours[3]) >= 3 * label_outlines.LEAST_BRIGHTNESS
    assert label_outlines.choose_colours(refined(label_map(segments=())))[3] == PALETTE[2]


def test_the_table_lists_every_label_with_its_name_and_volumes() -> None:
    table = make_table(refined())
    assert [row.name for row in table.rows] == [f"1 {NAME}", "3"]
    assert all(float(row.before) > 0 and float(row.after) > 0 for row in table.rows)
    assert ".l1 { background: rgb(250 100 100); }" in table.rules
    assert not table.note


def test_of_very_many_labels_the_largest_are_listed_and_the_others_counted() -> None:
    labels = np.zeros((24, 20, 6), np.uint16)
    count = label_outlines.MAX_ROWS + 5
    labels[*np.unravel_index(np.arange(count), (24, 20)), 0] = np.arange(1, count + 1)
    labels[:, :, 3] = 9
    table = make_table(refined(label_map(labels)))
    assert len(table.rows) == label_outlines.MAX_ROWS
    assert "9" in [row.name for row in table.rows]
    assert "The 5 smallest labels" in table.note


def test_planes_are_placed_where_labels_are() -> None:
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[4, 5:9, 10] = 1
    assert find_centre(UprightVolume.from_voxels(labels, np.eye(4))) == (4, 6, 10)
    labels[...] = 1
    assert find_centre(UprightVolume.from_voxels(labels, np.eye(4))) == (9, 9, 9)
    assert find_centre(UprightVolume.from_voxels(labels * 0, np.eye(4))) is None


def content(**changes: object) -> page_module.PageContent:
    """A page with a label on the left half, before and after."""
    scan = pair()
    before, after = (UprightVolume.from_voxels((v.voxels > 0).astype(np.uint8), v.affine_lps) for v in
                     (scan.before, scan.after))  # fmt: skip
    scan = plane_cuts.ScanPair(scan.before, scan.after, scan.through_plane, scan.error_maps, (before, after))
    return page(scan=scan, labels=make_table(refined()), **changes)


def test_outlines_lie_on_the_same_pixels_as_the_voxels_they_enclose() -> None:
    for cut in content().cuts:
        assert cut.labels is not None
        for labels, picture in zip(cut.labels, (cut.before, cut.after), strict=True):
            assert labels.shape == picture.shape
            np.testing.assert_array_equal(labels == 1, picture > 0)


def test_a_page_without_labels_says_nothing_of_them() -> None:
    assert "abels" not in page_module.render_page(page()).split("<body>")[1].split("<script>")[0]


def test_a_page_names_labels_without_markup_of_theirs() -> None:
    text = page_module.render_page(content())
    assert "liver &lt;b&gt;&amp;amp;" in text
    assert NAME not in text
    assert text.count(' outlines"') == 4


def test_outlines_are_shown_and_hidden_by_click_and_by_key(chromium: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    page_module.write_page(content(), path)
    chromium.get(path.as_uri())
    outlines = chromium.find_elements("css selector", "img.outlines")
    assert len(outlines) == 4
    assert all(one.is_displayed() for one in outlines)
    chromium.find_element("css selector", "body").send_keys("l")
    assert not any(one.is_displayed() for one in outlines)
    chromium.find_element("css selector", "input[name=labels]").click()
    assert all(one.is_displayed() for one in outlines)
    swatch = chromium.find_element("css selector", ".swatch")
    assert swatch.value_of_css_property("background-color").startswith("rgb")
    assert browser.complaints(chromium) == []
