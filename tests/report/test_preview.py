from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report.scans import EVIL, between, pair

from saint_cli.report import plane_cuts, preview
from saint_cli.report.preview import PreviewRows
from saint_cli.report.windows import CT_WINDOWS


def shown() -> tuple[plane_cuts.Cut, ...]:
    return tuple(plane_cuts.make_cut(pair(), axis, (15, 15, 15)) for axis in (1, 0))


def opened(path: Path) -> np.ndarray:
    """A picture's grey levels [rows, columns]."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


@pytest.mark.parametrize("ending", [".png", ".jpg", ".JPEG"])
def test_the_preview_has_before_on_the_left_and_after_on_the_right(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"p{ending}"
    preview.write_preview((EVIL, "1 mm"), PreviewRows(shown()), CT_WINDOWS[2], path)
    image = opened(path).astype(float)
    first = shown()[0]
    top = 2 * preview.LINE
    for column, picture in enumerate((first.before, first.after)):
        left = preview.GAP + column * (preview.COLUMN_PIXELS + preview.GAP)
        height = round(picture.shape[0] * preview.COLUMN_PIXELS / picture.shape[1])
        middle = image[top + height // 2, left + preview.COLUMN_PIXELS // 2]
        assert middle == pytest.approx(CT_WINDOWS[2].to_grey(np.array(700.0)), abs=40)
        assert image[top + 4, left + 4] == pytest.approx(0, abs=12)


def test_the_bone_surface_adds_a_row(tmp_path: Path) -> None:
    bone = (np.zeros((50, 60), np.uint8), np.full((50, 60), 90, np.uint8))
    for name, surface in (("with", bone), ("without", None)):
        preview.write_preview(("a", "b"), PreviewRows(shown(), bone=surface), CT_WINDOWS[0], tmp_path / f"{name}.png")
    heights = {name: opened(tmp_path / f"{name}.png").shape[0] for name in ("with", "without")}
    assert heights["with"] - heights["without"] > 400


def test_a_synthesised_slice_adds_a_row_so_that_flat_stacks_show_something(tmp_path: Path) -> None:
    axial = np.full((60, 60), 700, np.float32)
    for name, rows in (("with", PreviewRows((), between(axial).pictures)), ("without", PreviewRows(()))):
        preview.write_preview(("a", "b"), rows, CT_WINDOWS[2], tmp_path / f"{name}.png")
    heights = {name: opened(tmp_path / f"{name}.png").shape[0] for name in ("with", "without")}
    assert heights["with"] - heights["without"] == preview.COLUMN_PIXELS + preview.LINE


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_the_thumbnail_is_small_and_shows_the_result(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"t{ending}"
    preview.write_thumbnail(shown()[0].after, CT_WINDOWS[2], path)
    image = opened(path)
    assert max(image.shape) == preview.THUMBNAIL_PIXELS
    assert path.stat().st_size < 30_000
    assert image[image.shape[0] // 2, image.shape[1] // 2] > 100
