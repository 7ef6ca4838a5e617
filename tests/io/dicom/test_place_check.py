"""A volume goes to DICOM only where it lies as its source's slices do: headers of these say where it lies."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fabricate
import numpy as np
import pytest
from fabricate import interpolated

from saint_cli import geometry
from saint_cli.errors import UsageError
from saint_cli.io import check_result, read_volume, write_error_map, write_labels, write_volume
from saint_cli.volume import Derivation, Volume
from saint_cli.volume.label_map import LabelMap

TILTED_STEP, COUNT = (2.4, -2.7, 4.2), 9
"""Of ``OBLIQUE`` slices: 5 mm along the normal and 1.5 mm along a column, more or less."""


def flipped(volume: Volume, axis: int) -> Volume:
    """The same voxels at the same places, in the other order along an axis."""
    affine = volume.affine_lps.copy()
    affine[:3, 3] += affine[:3, axis] * (volume.shape[axis] - 1)
    affine[:3, axis] *= -1
    return replace(volume, voxels=np.flip(volume.voxels, axis), affine_lps=affine)


def moved(volume: Volume, *shift_mm: float) -> Volume:
    affine = volume.affine_lps.copy()
    affine[:3, 3] += shift_mm
    return replace(volume, affine_lps=affine)


def stretched(volume: Volume, axis: int) -> Volume:
    return replace(volume, affine_lps=geometry.refine_axis(volume.affine_lps, axis, 0.5))


REFUSAL = r"no longer lies where its DICOM slices do \(.*\); name a file ending in \.nii\.gz"

MOVES: dict[str, Callable[[Volume], Volume]] = {
    "x reversed": lambda volume: flipped(volume, 0),
    "y reversed": lambda volume: flipped(volume, 1),
    "z reversed": lambda volume: flipped(volume, 2),
    "moved": lambda volume: moved(volume, 100, 0, 0),
    "moved by a third of a pixel": lambda volume: moved(volume, 0, 0.2, 0),
    "other slice distance": lambda volume: stretched(volume, 2),
    "other pixel spacing": lambda volume: stretched(volume, 1),
}


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("is_result", [False, True])
def test_a_volume_that_was_turned_or_moved_is_refused(name: str, is_result: bool, tmp_path: Path) -> None:
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "s"))
    elsewhere = MOVES[name](interpolated(volume, 2) if is_result else volume)
    with pytest.raises(UsageError, match=REFUSAL) as caught:
        write_volume(elsewhere, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    write_volume(elsewhere, tmp_path / "out.nii.gz")


@pytest.mark.parametrize("name", MOVES)
def test_a_volume_that_was_turned_or_moved_is_refused_before_anything_is_computed(name: str, tmp_path: Path) -> None:
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "s"))
    grid = geometry.grid_by_factor(6, 2, 2)
    check_result(volume, grid, tmp_path / "out")
    with pytest.raises(UsageError, match=REFUSAL):
        check_result(MOVES[name](volume), grid, tmp_path / "out")


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("is_result", [False, True])
def test_no_segmentation_refers_to_slices_that_lie_elsewhere(name: str, is_result: bool, tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="highdicom is not installed (extra seg)")
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "s"))
    elsewhere = MOVES[name](interpolated(volume, 2) if is_result else volume)
    labels = LabelMap(np.ones(elsewhere.shape, np.uint8), elsewhere.affine_lps)
    with pytest.raises(UsageError, match=REFUSAL):
        write_labels(labels, tmp_path / "seg.dcm", result=elsewhere)
    assert not (tmp_path / "seg.dcm").exists()


@pytest.mark.parametrize("name", MOVES)
def test_no_parametric_map_refers_to_slices_that_lie_elsewhere(name: str, tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="highdicom is not installed (extra parametric-map)")
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "s"))
    elsewhere = MOVES[name](interpolated(volume, 2))
    error = Volume(np.ones(elsewhere.shape, np.float32), elsewhere.affine_lps)
    with pytest.raises(UsageError, match=REFUSAL):
        write_error_map(error, elsewhere, tmp_path / "error.dcm")
    assert not (tmp_path / "error.dcm").exists()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("x reversed", "first or last slice 7.5 mm away; rows reversed"),
        ("z reversed", "first or last slice 25 mm away"),
        ("moved by a third of a pixel", "first or last slice 0.2 mm away"),
        ("other pixel spacing", "pixels 0.375 instead of 0.75 mm apart along columns"),
    ],
)
def test_the_refusal_says_what_lies_elsewhere(name: str, found: str, tmp_path: Path) -> None:
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "s"))
    with pytest.raises(UsageError, match=re.escape(f"({found})")):
        write_volume(MOVES[name](volume), tmp_path / "out")


def test_the_refusal_says_by_how_much_rows_and_columns_are_turned(tmp_path: Path) -> None:
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "s"))
    turned = np.eye(4)
    turned[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    affine = turned @ volume.affine_lps
    affine[:3, 3] = volume.affine_lps[:3, 3]
    with pytest.raises(UsageError, match=r"do \(rows turned by 36.9 degrees; columns turned by 36.9 degrees\)"):
        write_volume(replace(volume, affine_lps=affine), tmp_path / "out")


def by_factor(volume: Volume, factor: int = 2) -> geometry.SliceGrid:
    return geometry.grid_by_factor(COUNT, 2, factor)


GRIDS: dict[str, Callable[[Volume], geometry.SliceGrid]] = {
    "factor": by_factor,
    "spacing": lambda volume: geometry.grid_by_spacing(COUNT, 2, volume.spacing_mm[2], 1.3),
    "extrapolated": lambda volume: geometry.grid_by_factor(COUNT, 2, 3, extrapolate=True),
    "averaged": lambda volume: geometry.grid_by_averaging(COUNT, 2, volume.spacing_mm[2], volume.spacing_mm[2] * 2.5),
    "slabs": lambda volume: geometry.grid_of_slabs(by_factor(volume, 3), geometry.SlabProfile(1.3)),
    "uneven": lambda volume: geometry.grid_of_uneven(volume.header.slice_positions, 2, volume.affine_lps, 2.5),
    "same": lambda volume: geometry.same_grid(COUNT, 2),
}

PLANES = {"as acquired": None, "in-plane": (False, 1.0), "untilted": (True, None), "both": (True, 1.3)}


@pytest.mark.parametrize("grid_name", GRIDS)
@pytest.mark.parametrize("plane_name", PLANES)
def test_a_result_of_every_grid_comes_back_where_it_lies(grid_name: str, plane_name: str, tmp_path: Path) -> None:
    series, is_uneven = fabricate.slices(COUNT, orientation=fabricate.OBLIQUE, step=TILTED_STEP), grid_name == "uneven"
    if is_uneven:
        del series[3]
    volume = read_volume(fabricate.save(series, tmp_path / "s"), irregular=is_uneven)
    grid, options = GRIDS[grid_name](volume), PLANES[plane_name]
    plane = None
    if options is not None:
        shape, (untilt, pixel_mm) = grid.output_shape(volume.shape), options
        plane = geometry.make_plane_grid(grid.refine(volume.affine_lps), shape, 2, untilt=untilt, pixel_mm=pixel_mm)
    check_result(volume, grid, tmp_path / "out", plane)
    result = volume.placeholder_on(grid, plane)
    header = replace(result.header, derivation=Derivation(grid, "m", "ab" * 8, plane=plane))
    write_volume(replace(result, header=header), tmp_path / "out")
    again = read_volume(tmp_path / "out")
    corners = np.array([(0, 0, 0, 1), (*(n - 1 for n in result.shape), 1)]).T
    assert again.shape == result.shape
    np.testing.assert_allclose(again.affine_lps @ corners, result.affine_lps @ corners, atol=1e-4)
