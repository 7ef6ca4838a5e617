import fabricate
import numpy as np
import pytest

from saint_cli import geometry
from saint_cli.volume import Storage, Volume
from saint_cli.volume.label_map import LabelMap, Segment


def test_spacing_and_shape_follow_from_affine_and_voxels() -> None:
    volume = fabricate.volume((4, 5, 6), affine_lps=fabricate.OBLIQUE_LPS)
    assert volume.shape == (4, 5, 6)
    np.testing.assert_allclose(volume.spacing_mm, (0.8, 0.8, 5.0))


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 6, 1)])
def test_a_volume_has_three_axes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="three axes"):
        Volume(np.zeros(shape), np.eye(4))


def test_an_affine_is_a_float64_matrix() -> None:
    with pytest.raises(ValueError, match="affine_lps"):
        Volume(np.zeros((2, 2, 2)), np.eye(4, dtype=np.float32))


def test_a_warning_is_added_to_a_copy() -> None:
    volume = fabricate.volume()
    assert volume.with_warning("odd").header.warnings == ("odd",)
    assert volume.header.warnings == ()


def test_storage_without_scaling_is_identity() -> None:
    assert Storage(np.dtype("int16")).is_identity
    assert not Storage(np.dtype("int16"), 2.0).is_identity
    assert not Storage(np.dtype("int16"), 1.0, -1024.0).is_identity


def test_a_volume_is_printed_as_one_line_without_paths_and_voxels() -> None:
    assert repr(fabricate.volume((4, 5, 6))) == "Volume(4 x 5 x 6 int16, 0.8 x 0.8 x 5 mm, CT, NIfTI)"


def test_a_label_map_is_printed_as_one_line_without_names_and_voxels() -> None:
    labels = np.zeros((4, 5, 6), np.uint8)
    assert repr(LabelMap(labels, np.diag([0.8, 0.8, 5, 1]))) == ("LabelMap(4 x 5 x 6 uint8, 0.8 x 0.8 x 5 mm, NIfTI)")
    named = LabelMap(labels, np.diag([0.8, 0.8, 5, 1]), (Segment(1, "SECRET"),))
    assert repr(named) == "LabelMap(4 x 5 x 6 uint8, 0.8 x 0.8 x 5 mm, 1 segment, NIfTI)"


def test_a_placeholder_has_the_place_and_size_of_a_result_and_takes_no_memory() -> None:
    volume = fabricate.volume((4, 5, 6))
    grid = geometry.grid_by_factor(6, 2, 3)
    placeholder = volume.placeholder_on(grid)
    assert placeholder.shape == (4, 5, 16)
    assert placeholder.voxels.strides == (0, 0, 0)
    np.testing.assert_array_equal(placeholder.affine_lps, grid.refine(volume.affine_lps))
