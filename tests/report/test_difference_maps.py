from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saint_cli.errors import OutputError
from saint_cli.evaluation.metrics import PAPER
from saint_cli.report.difference_maps import (
    Comparison,
    Plane,
    _choose_planes,
    _largest_error,
    _picture,
    _psnr,
    write_difference_maps,
)

LPS = np.diag([0.8, 0.9, 2.0, 1.0])
"""x to the patient's left, y to the back, z to the head."""


def comparison(affine_lps: np.ndarray = LPS, shape: tuple[int, int, int] = (40, 36, 9)) -> Comparison:
    rng = np.random.default_rng(0)
    truth = rng.integers(-1000, 400, shape).astype(np.int16)
    worse = truth + np.where(np.arange(shape[2]) % 4, 30, 0).astype(np.int16)
    synthesised = [j for j in range(shape[2]) if j % 4]
    return Comparison("a title", truth, {"cubic": worse, "fast fused": truth}, synthesised, affine_lps, PAPER)


def flipped(*axes: int) -> np.ndarray:
    affine = LPS.copy()
    affine[:, list(axes)] *= -1
    return affine


@pytest.mark.parametrize("axes", [(), (0,), (1,), (2,), (0, 1, 2)])
def test_pictures_hang_the_same_whichever_way_the_voxels_run(axes: tuple[int, ...]) -> None:
    volume = np.arange(4 * 3 * 2).reshape(4, 3, 2)  # left, back and head are where indices are large
    stored = np.flip(volume, axes)
    affine = flipped(*axes) if axes else LPS
    at = [volume.shape[i] - 1 if i in axes else 0 for i in range(3)]
    axial = _picture(stored, affine, Plane("", 2, at[2]))
    np.testing.assert_array_equal(axial, volume[:, :, 0].T)  # front on top, left on the right
    coronal = _picture(stored, affine, Plane("", 1, at[1]))
    np.testing.assert_array_equal(coronal, volume[:, 0, ::-1].T)  # head on top
    sagittal = _picture(stored, affine, Plane("", 0, at[0]))
    np.testing.assert_array_equal(sagittal, volume[0, :, ::-1].T)  # front on the left


def test_planes_are_one_across_the_slices_and_the_synthesised_slice_farthest_from_acquired_ones() -> None:
    across, axial = _choose_planes(comparison())
    assert across.fixed in (0, 1)
    assert (axial.fixed, axial.index % 4) == (2, 2)


def test_psnr_in_titles_leaves_acquired_slices_out() -> None:
    wanted = 20 * np.log10(4000 / 30)
    found = comparison()
    for plane in _choose_planes(found):
        assert _psnr(found, found.restored["cubic"], plane) == pytest.approx(wanted)


@pytest.mark.parametrize("top", [0.7, 255.0, 20000.0])
def test_what_is_not_ct_is_drawn_and_scored_in_its_own_range(top: float) -> None:
    ct = comparison()
    shown = replace(
        ct,
        truth=(ct.truth + 1100.0) / 1600 * top,
        restored={name: (volume + 1100.0) / 1600 * top for name, volume in ct.restored.items()},
        protocol=PAPER.with_range(0, top),
    )
    planes = _choose_planes(shown)
    assert (shown.error_unit, shown.window) == (("% of the data range", top / 100), (0, top))
    assert _psnr(shown, shown.restored["cubic"], planes[0]) == pytest.approx(20 * np.log10(1600 / 30), abs=1e-3)
    assert _largest_error(shown, planes) == 2  # 30 of 1600, rounded up to whole percents
    assert (ct.error_unit, ct.window, _largest_error(ct, planes)) == (("HU", 1), (-1000, 500), 50)


@pytest.mark.parametrize("affine_lps", [LPS, LPS[:, [2, 0, 1, 3]], flipped(0, 2)], ids=["axial", "turned", "flipped"])
def test_a_figure_is_a_picture_as_wide_as_its_columns(affine_lps: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "maps.png"
    write_difference_maps(comparison(affine_lps), path)
    with Image.open(path) as image:
        assert image.width > 3 * 300
        assert len(image.convert("RGB").getcolors(1 << 24)) > 200


def test_one_synthesised_slice_is_enough(tmp_path: Path) -> None:
    write_difference_maps(comparison(shape=(20, 20, 2)), tmp_path / "maps.png")
    assert (tmp_path / "maps.png").exists()


def test_a_figure_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        write_difference_maps(comparison(), tmp_path / "file" / "maps.png")


def test_a_figure_that_appeared_meanwhile_stays_unless_it_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "maps.png"
    path.write_text("of another run")
    with pytest.raises(OutputError, match="appeared while"):
        write_difference_maps(comparison(), path, overwrite=False)
    assert path.read_text() == "of another run"
    write_difference_maps(comparison(), path, overwrite=True)
    assert path.stat().st_size > 1000


@pytest.mark.parametrize("name", ["a$b$c_{", "$\\frac$", "短い\N{BRAIN}\x1b[31m", "M\udcfcller", "%s {x} \\n"])
def test_names_in_a_figure_are_no_mathematics(tmp_path: Path, name: str) -> None:
    shown = comparison()
    renamed = replace(shown, title=name, restored={name: shown.truth})
    write_difference_maps(renamed, tmp_path / "maps.png")
    assert (tmp_path / "maps.png").stat().st_size > 0
