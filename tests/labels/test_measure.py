"""Volumes of labels."""

import fabricate
import numpy as np
import pytest

from saint_cli.labels import LabelVolume, label_volumes
from saint_cli.volume.label_map import LabelMap, Segment


def test_volumes_are_counted_in_ml_by_number_and_name() -> None:
    before = np.zeros((10, 10, 10), np.int32)
    before[:5], before[5:7] = 3, 70000
    after = np.where(before == 3, 3, 0)
    after[9] = 4
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    found = label_volumes(LabelMap(before, affine, (Segment(3, "organ"),)), LabelMap(after, affine))
    rounded = [LabelVolume(v.number, v.name, round(v.before_ml, 9), round(v.after_ml, 9)) for v in found]
    assert rounded == [
        LabelVolume(3, "organ", 10.0, 10.0),
        LabelVolume(4, None, 0.0, 2.0),
        LabelVolume(70000, None, 4.0, 0.0),
    ]


def test_sheared_voxels_have_the_volume_of_their_box() -> None:
    labels = LabelMap(np.ones((10, 10, 10), np.uint8), fabricate.SHEARED_LPS)
    (found,) = label_volumes(labels, labels)
    assert found.before_ml == pytest.approx(abs(np.linalg.det(fabricate.SHEARED_LPS[:3, :3])))


@pytest.mark.parametrize("voxels", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 2), np.float32)])
def test_a_label_map_has_three_axes_and_whole_numbers(voxels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="three axes and whole numbers"):
        LabelMap(voxels, np.eye(4))
