"""Stacks whose slices are missing or uneven, read whole and written on a regular grid."""

from dataclasses import replace
from pathlib import Path

import fabricate
import numpy as np
import pytest
from pydicom.dataset import Dataset

from saint_cli import geometry
from saint_cli.errors import GeometryError, UsageError
from saint_cli.evaluation import interpolators
from saint_cli.io import check_result, describe, read_volume, write_volume
from saint_cli.method import resampling
from saint_cli.volume import Derivation, Volume

GAPS = [3.0, 6.0, 3.0, 4.5, 3.0]


def placed(gaps: list[float], tilt: float = 0.0) -> list[Dataset]:
    """A series with these distances between its slices, mm."""
    series = fabricate.slices(len(gaps) + 1)
    for data, height in zip(series, np.cumsum([30.0, *gaps]), strict=True):
        data.ImagePositionPatient = [-10, 20 + tilt * float(height - 30), float(height)]
    return series


def refine(volume: Volume, target: float) -> Volume:
    """The volume on its regular grid, linearly."""
    grid = geometry.grid_of_uneven(volume.header.slice_positions, 2, volume.affine_lps, target)
    voxels = np.rint(interpolators.interpolate_linear(volume.voxels, grid)).astype(volume.voxels.dtype)
    header = replace(volume.header, derivation=Derivation(grid, "linear", "0" * 64), slice_positions=())
    return Volume(voxels, grid.refine(volume.affine_lps), header)


def test_an_uneven_stack_is_read_whole_whatever_the_order_of_files(tmp_path: Path) -> None:
    series = placed(GAPS)
    volume = read_volume(fabricate.save(series, tmp_path / "s", shuffle=4), irregular=True)
    assert volume.header.slice_positions == pytest.approx((0, 1, 3, 4, 5.5, 6.5))
    np.testing.assert_array_equal(volume.voxels, fabricate.hounsfield(series))
    assert volume.spacing_mm == pytest.approx((0.5, 0.75, 3.0))
    assert any("gaps of 3 to 6 mm, commonest 3 mm" in text for text in volume.header.warnings)


def test_without_the_option_it_is_refused_and_both_ways_out_are_named(tmp_path: Path) -> None:
    folder = fabricate.save(placed([5.0, 5.0, 10.0, 5.0, 5.0]), tmp_path / "s")
    with pytest.raises(GeometryError, match=r"slices are missing: .*`irregular=True`, or take .*`split_runs=True`"):
        read_volume(folder)
    stack = describe(folder).stacks[0]
    assert stack.problem is not None
    assert "`irregular=True`" in stack.problem


def test_an_even_stack_is_the_same_with_the_option(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "s")
    one, other = read_volume(folder), read_volume(folder, irregular=True)
    assert other.header.slice_positions == ()
    np.testing.assert_array_equal(one.voxels, other.voxels)
    np.testing.assert_array_equal(one.affine_lps, other.affine_lps)
    assert one.header.warnings == other.header.warnings


def test_files_of_other_formats_have_no_uneven_slices(tmp_path: Path) -> None:
    path = tmp_path / "v.nii"
    write_volume(fabricate.volume(), path)
    with pytest.raises(UsageError, match="`irregular=True` is for DICOM"):
        read_volume(path, irregular=True)


def test_slices_at_one_position_stay_refused(tmp_path: Path) -> None:
    folder = fabricate.save(placed([5.0, 0.0, 10.0, 5.0]), tmp_path / "s")
    with pytest.raises(GeometryError, match="duplicated slices"):
        read_volume(folder, irregular=True)


def test_describe_names_the_places_of_an_uneven_stack(tmp_path: Path) -> None:
    stack = describe(fabricate.save(placed(GAPS), tmp_path / "s"), irregular=True).stacks[0]
    assert (stack.problem, stack.uniform) == (None, False)
    assert stack.slice_positions == pytest.approx((0, 1, 3, 4, 5.5, 6.5))


@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_acquired_slices_that_the_grid_meets_keep_pixels_and_place_and_others_lie_between(
    tilt: float, tmp_path: Path
) -> None:
    series = placed(GAPS, tilt)
    volume = refine(read_volume(fabricate.save(series, tmp_path / "s"), irregular=True), np.hypot(1, tilt))
    write_volume(volume, tmp_path / "out")
    written = fabricate.saved_series(tmp_path / "out")
    heights = [float(data.ImagePositionPatient[2]) for data in written]
    np.testing.assert_allclose(heights, 30 + np.arange(20), atol=1e-6)
    kept = {float(data.ImagePositionPatient[2]): data for data in written}
    met = [data for data in series if float(data.ImagePositionPatient[2]) in kept]
    assert len(met) == 4  # those at 46.5 and 49.5 mm lie between output slices
    for data in met:
        same = kept[float(data.ImagePositionPatient[2])]
        assert same.PixelData == data.PixelData
        assert same.ImagePositionPatient == data.ImagePositionPatient
        assert "kept acquired slice" in same.DerivationDescription
    assert "acquired slice spacing 3 to 6 mm" in written[1].DerivationDescription
    assert read_volume(tmp_path / "out").shape[2] == 20


def test_means_of_slices_are_a_derived_series_that_names_its_sources(tmp_path: Path) -> None:
    series = fabricate.slices(7)
    source = read_volume(fabricate.save(series, tmp_path / "s"))
    grid = geometry.grid_by_averaging(7, 2, 5.0, 15.0)
    check_result(source, grid, tmp_path / "out")
    write_volume(resampling.average_slices(source, grid), tmp_path / "out")
    first, second = fabricate.saved_series(tmp_path / "out")
    assert [float(one.ImagePositionPatient[2]) for one in (first, second)] == [35, 50]
    assert first.SliceThickness == 15
    assert first.SpacingBetweenSlices == 15
    references = [item.ReferencedSOPInstanceUID for item in second.SourceImageSequence]
    assert references == [data.SOPInstanceUID for data in series[3:6]]
    assert "mean of acquired slices 4 to 6" in second.DerivationDescription
    mean = np.mean([fabricate.pixels(data).astype(float) for data in series[:3]], axis=0)
    np.testing.assert_array_equal(fabricate.pixels(first), np.rint(mean))
    assert list(first.ImageType[:2]) == ["DERIVED", "SECONDARY"]


@pytest.mark.parametrize("pixel_mm", [0.25, 1.5, None])
def test_resampled_planes_say_their_own_size_place_and_spacing(pixel_mm: float | None, tmp_path: Path) -> None:
    series = fabricate.slices(3, step=(0, 1.0, 5.0))
    for data in series:
        data.GantryDetectorTilt, data.ReconstructionDiameter = "11.3", "100"
    source = read_volume(fabricate.save(series, tmp_path / "s"))
    grid = geometry.same_grid(3, 2)
    plane = geometry.make_plane_grid(source.affine_lps, source.shape, 2, untilt=True, pixel_mm=pixel_mm)
    assert plane is not None
    check_result(source, grid, tmp_path / "out", plane)
    result = resampling.resample_planes(resampling.average_slices(source, grid), plane)
    write_volume(result, tmp_path / "out")
    again = read_volume(tmp_path / "out")
    assert again.shape == result.shape
    np.testing.assert_allclose(again.affine_lps, result.affine_lps, atol=1e-9)
    np.testing.assert_array_equal(again.voxels, result.voxels)
    data = fabricate.saved_series(tmp_path / "out")[0]
    assert [float(v) for v in data.PixelSpacing] == ([0.75, 0.5] if pixel_mm is None else [pixel_mm, pixel_mm])
    assert (data.Rows, data.Columns) == result.shape[1::-1]
    assert "stand straight" in data.DerivationDescription
    assert pixel_mm is None or f"pixels resampled to {pixel_mm:g} mm" in data.DerivationDescription
    assert "acquired slice 1 resampled" in data.DerivationDescription
    assert not {"GantryDetectorTilt", "ReconstructionDiameter"} & set(data.dir())


def test_the_same_slices_on_other_grids_have_other_uids(tmp_path: Path) -> None:
    source = read_volume(fabricate.save(fabricate.slices(3), tmp_path / "s"))
    uids = set()
    for number, pixel_mm in enumerate((0.5, 1.0, 1.0001)):
        plane = geometry.make_plane_grid(source.affine_lps, source.shape, 2, untilt=False, pixel_mm=pixel_mm)
        same = resampling.average_slices(source, geometry.same_grid(3, 2))
        flat = replace(same, voxels=np.full_like(same.voxels, 7))
        write_volume(flat if plane is None else resampling.resample_planes(flat, plane), tmp_path / f"out{number}")
        uids.add(fabricate.saved_series(tmp_path / f"out{number}")[0].SeriesInstanceUID)
    assert len(uids) == 3
