"""Labels on other pixels of their slices."""

import numpy as np

from saint_cli.geometry import make_plane_grid
from saint_cli.labels import resample_label_planes
from saint_cli.volume.label_map import LabelMap

CENTRES = ((14.0, 12.0), (13.5, 12.5), (14.3, 12.2), (13.1, 11.8), (14.6, 12.9))


def centroid_mm(labels: LabelMap) -> np.ndarray:
    voxel = np.append(np.argwhere(labels.labels == 1).mean(0), 1)
    return np.asarray((labels.affine_lps @ voxel)[:2])


def test_there_are_no_labels_outside_of_the_field_of_view() -> None:
    affine = np.diag([0.5, 0.5, 2.0, 1.0])
    affine[1, 2] = 0.5
    labels = LabelMap(np.ones((6, 5, 3), np.uint8), affine)
    plane = make_plane_grid(affine, labels.shape, 2, untilt=True, pixel_mm=None)
    assert plane is not None
    found = resample_label_planes(labels, plane).labels
    assert (found.shape, found.sum((0, 1)).tolist()) == ((6, 7, 3), [30, 30, 30])


def test_pixels_of_twice_the_size_favour_no_direction() -> None:
    affine, shifts = np.diag([0.5, 0.5, 2.0, 1.0]), []
    x, y, _ = np.indices((28, 24, 2))
    for a, b in CENTRES:
        disc = LabelMap((((x - a) ** 2 + (y - b) ** 2) < 49).astype(np.uint8), affine)
        plane = make_plane_grid(affine, disc.shape, 2, untilt=False, pixel_mm=1.0)
        assert plane is not None
        shifts.append(centroid_mm(resample_label_planes(disc, plane)) - centroid_mm(disc))
    assert np.abs(np.mean(shifts, 0)).max() < 0.08  # the upper pixel of equals gives -0.15 and -0.10
