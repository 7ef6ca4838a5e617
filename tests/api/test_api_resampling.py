"""Uneven, tilted and resampled scans in Python: what is kept, said and refused."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabricate
import numpy as np
import pytest
from label_scans import label_map

import saint_cli
from saint_cli.errors import GeometryError, UsageError

GAPS = (4.0, 4.0, 12.0, 4.0, 4.0)


def save_uneven(folder: Path) -> Path:
    series = fabricate.slices(len(GAPS) + 1)
    for data, height in zip(series, np.cumsum([30.0, *GAPS]), strict=True):
        data.ImagePositionPatient = [-10, 20, float(height)]
    return fabricate.save(series, folder)


@pytest.fixture
def uneven(tmp_path: Path) -> saint_cli.Volume:
    return saint_cli.read_volume(save_uneven(tmp_path / "gap"), irregular=True)


@pytest.mark.parametrize("name", ["x.nii", "x.nrrd", "x.mha", "x"])
def test_uneven_slices_are_not_written_as_even_ones(uneven: saint_cli.Volume, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"unevenly spaced.*pass the volume to `upsample` first"):
        saint_cli.write_volume(uneven, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_an_uneven_volume_is_upsampled_gap_by_gap_as_its_path_is(
    uneven: saint_cli.Volume, tmp_path: Path, tiny_model: dict[str, Any]
) -> None:
    by_path = saint_cli.upsample(tmp_path / "gap", 2, irregular=True, **tiny_model)
    assert by_path.spacing_mm[2] * (by_path.shape[2] - 1) == pytest.approx(sum(GAPS))
    for keywords in ({}, {"irregular": True}):
        np.testing.assert_array_equal(saint_cli.upsample(uneven, 2, **keywords, **tiny_model).voxels, by_path.voxels)
    saint_cli.write_volume(by_path, tmp_path / "even.nii")


def test_positions_of_other_slices_are_refused(uneven: saint_cli.Volume, tiny_model: dict[str, Any]) -> None:
    with pytest.raises(GeometryError, match=r"3 slices, but `header.slice_positions` gives the places of 6"):
        saint_cli.upsample(replace(uneven, voxels=uneven.voxels[..., ::2]), 2, **tiny_model)


def test_labels_are_not_brought_to_an_uneven_scan(uneven: saint_cli.Volume) -> None:
    with pytest.raises(GeometryError, match="unevenly spaced; labels need"):
        saint_cli.convert_labels(label_map(), uneven)


def describe(volume: Any, tiny_model: dict[str, Any], **keywords: Any) -> tuple[str, ...]:
    said: tuple[str, ...] = saint_cli.upsample(volume, **keywords, **tiny_model).header.warnings
    return said


def test_a_result_says_which_acquired_slices_it_does_not_hold(
    uneven: saint_cli.Volume, tmp_path: Path, tiny_model: dict[str, Any]
) -> None:
    thick = fabricate.volume((10, 12, 5))  # slices 5 mm apart
    (means,) = describe(thick, tiny_model, spacing_mm=10.0)
    assert "each slice is the mean of 2 acquired ones, of which none is kept; the last acquired slice fills" in means
    (resampled,) = describe(thick, tiny_model, factor=2, in_plane_mm=0.3)
    assert "slices were given pixels of 0.3 mm in their plane by resampling, so that no acquired slice is" in resampled
    assert describe(thick, tiny_model, factor=2) == ()
    (missed,) = set(describe(uneven, tiny_model, spacing_mm=3.2)) - set(uneven.header.warnings)
    assert missed == (
        "2 of 6 acquired slices lie on the new grid and are kept; not in the result: those 0, 8, 24, 28 mm from the "
        "first slice"
    )


def test_a_grid_that_a_scan_has_already_gives_a_copy_and_says_so() -> None:
    given = {"spacing_mm": 4.0, "in_plane_mm": 1.0}
    array = np.random.default_rng(0).normal(300, 90, (8, 8, 6)).astype(np.float32)
    with pytest.warns(UserWarning, match="lies on the wanted grid already, so the result is a copy of it"):
        result = saint_cli.upsample(array, **given, voxel_spacing_mm=(1, 1, 4), modality="MR")
    np.testing.assert_array_equal(result, array)
    assert not np.shares_memory(result, array)
    volume = saint_cli.Volume(array, np.diag([1.0, 1, 4, 1]))
    copy = saint_cli.upsample(volume, **given)
    assert not np.shares_memory(copy.voxels, array)
    assert "copy" in copy.header.warnings[-1]


@pytest.mark.parametrize("keywords", [{"spacing_mm": 10.0}, {"spacing_mm": 5.0, "in_plane_mm": 0.4}])
def test_memory_is_checked_for_results_without_networks_too(keywords: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^the result: its voxels alone need .* memory are allowed; allow more$"):
        saint_cli.upsample(fabricate.volume((10, 12, 5)), **keywords, max_memory=100)


def test_what_is_said_of_a_path_counts_for_one_of_its_volumes_too(tmp_path: Path, tiny_model: dict[str, Any]) -> None:
    """A modality decides which constants around the field of view are fill values."""
    scan, path = fabricate.volume((40, 40, 6)), tmp_path / "scan.nii"
    scan.voxels[np.hypot(*(np.mgrid[:40, :40] - 20)) > 17] = -1500
    saint_cli.write_volume(scan, path)
    whole, *others = (
        saint_cli.upsample(path, 2, modality="MR", **more, **tiny_model)
        for more in ({}, {"volume": 1}, {"volume": "all"})
    )
    for one in (others[0], others[1][0]):
        assert one.header.padding == whole.header.padding
        np.testing.assert_array_equal(one.voxels, whole.voxels)
    for more in ({}, {"volume": 1}, {"volume": "all"}):
        with pytest.raises(UsageError, match="`modality='PET'` must be 'CT' or 'MR'"):
            saint_cli.upsample(path, 2, modality="PET", **more, **tiny_model)
        with pytest.raises(UsageError, match=r"voxels alone need .*allow more$"):
            saint_cli.upsample(path, 2, max_memory=100, **more, **tiny_model)


def test_a_stack_that_was_untilted_is_not_said_to_be_tilted(tmp_path: Path, tiny_model: dict[str, Any]) -> None:
    folder = fabricate.save(fabricate.slices(5, step=(0, 1.5, 5)), tmp_path / "tilted")
    assert any("tilted and kept as acquired" in text for text in describe(folder, tiny_model, factor=2))
    after = describe(folder, tiny_model, factor=2, untilt=True)
    assert not any("tilted and kept as acquired" in text for text in after)
    assert any("slices were tilted by" in text for text in after)


def test_an_array_gets_the_same_sentences_as_warnings(tiny_model: dict[str, Any]) -> None:
    array = fabricate.volume((10, 12, 5)).voxels
    with pytest.warns(UserWarning, match="each slice is the mean of 2 acquired ones"):
        saint_cli.upsample(array, spacing_mm=10.0, voxel_spacing_mm=(0.7, 0.9, 5), modality="CT", **tiny_model)


def test_irregular_is_a_flag_with_and_without_a_volume(tmp_path: Path, tiny_model: dict[str, Any]) -> None:
    folder = save_uneven(tmp_path / "gap")
    for more in ({}, {"volume": 1}, {"volume": "all"}):
        with pytest.raises(UsageError, match="`irregular='yes'` must be True or False"):
            saint_cli.upsample(folder, 2, irregular="yes", **more, **tiny_model)


def test_slices_resampled_in_their_plane_count_as_memory(
    monkeypatch: pytest.MonkeyPatch, tiny_model: dict[str, Any]
) -> None:
    from saint_cli.method import memory_needs

    asked = []
    plan = memory_needs.with_memory_budget
    monkeypatch.setattr(memory_needs, "with_memory_budget", lambda *args: asked.append(args[5:]) or plan(*args))
    saint_cli.upsample(fabricate.volume((10, 12, 5)), 2, in_plane_mm=0.1, **tiny_model)
    assert asked[0][0] > 2


def test_means_over_slabs_that_are_off_are_a_warning_too(slab_weights: Path) -> None:
    """Slabs that end at what can be stored and overlap by nearly half: their means cannot be kept."""
    random = np.random.default_rng(0)
    array = np.where(random.random((20, 18, 6)) < 0.5, random.integers(0, 3, (20, 18, 6)), 65535).astype(np.uint16)
    given = {"voxel_spacing_mm": (1, 1, 5), "modality": "CT", "slab": 9.0, "model": str(slab_weights), "device": "cpu"}
    for make in (saint_cli.upsample, lambda *one, **more: saint_cli.restore(*one, **more).fused):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            make(array, 4, **given)
        assert sum("over slabs are up to" in str(one.message) for one in caught) == 1
        assert len({str(one.message) for one in caught}) == len(caught)
        assert {one.filename for one in caught} == {__file__}
