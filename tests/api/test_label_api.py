"""``saint_cli.convert_labels``: labels of a thick scan on the upsampled one and back, from paths and from memory."""

from pathlib import Path

import fabricate
import numpy as np
import pytest
from label_scans import SHAPE, label_array, label_map, save_labels, save_scan

import saint_cli
from saint_cli import geometry
from saint_cli.volume import Volume

GRID = geometry.grid_by_factor(SHAPE[2], 2, 4)


def fine_scan() -> Volume:
    thick = fabricate.volume(SHAPE)
    return Volume(np.repeat(thick.voxels, 4, 2)[..., : GRID.count], GRID.refine(thick.affine_lps), thick.header)


def test_labels_lie_on_the_upsampled_scan_and_come_back(tmp_path: Path) -> None:
    scan, seg = save_scan(tmp_path / "scan.nii.gz"), save_labels(tmp_path / "seg.nii.gz")
    saint_cli.write_volume(fine_scan(), tmp_path / "fine.nii.gz")
    stages = []
    fine = saint_cli.convert_labels(
        seg, tmp_path / "fine.nii.gz", guide=False, on_progress=lambda stage, *_: stages.append(stage)
    )
    assert fine.shape == (24, 20, 21)
    assert stages
    np.testing.assert_array_equal(fine.labels[..., ::4], label_array())
    back = saint_cli.convert_labels(fine, scan)
    np.testing.assert_array_equal(back.labels, label_array())
    saint_cli.write_labels(back, tmp_path / "back.mha")
    np.testing.assert_array_equal(saint_cli.read_labels(tmp_path / "back.mha").labels, label_array())


def test_a_label_map_in_memory_keeps_its_names_and_is_not_modified() -> None:
    labels = label_map()
    fine = saint_cli.convert_labels(labels, fine_scan())
    assert fine.segments == labels.segments
    np.testing.assert_array_equal(labels.labels, label_array())


def test_segments_and_label_maps_of_another_type_are_refused(tmp_path: Path) -> None:
    seg = save_labels(tmp_path / "seg.nii.gz")
    for segments in (1, None):
        with pytest.raises(saint_cli.UsageError, match=f"`segments={segments}` must be whole numbers"):
            saint_cli.convert_labels(seg, fine_scan(), segments=segments)  # type: ignore[arg-type]
    with pytest.raises(saint_cli.UsageError, match="a Volume is not a LabelMap"):
        saint_cli.write_labels(fine_scan(), tmp_path / "new.nrrd")  # type: ignore[arg-type]
    assert not (tmp_path / "new.nrrd").exists()


def test_labels_outside_of_the_scan_are_left_out_with_a_warning() -> None:
    scan = fine_scan()
    half = Volume(scan.voxels[:12], scan.affine_lps, scan.header)
    cut = np.count_nonzero(label_array()[12:])
    assert saint_cli.convert_labels(label_map(), scan).header.warnings == ()
    (warning,) = saint_cli.convert_labels(label_map(), half).header.warnings
    assert warning == f"{cut} labelled voxels lie outside of the scan and are left out"


def test_what_is_no_scan_or_no_labels_is_refused_by_its_type(tmp_path: Path) -> None:
    with pytest.raises(saint_cli.UsageError, match="ndarray: not a scan; pass a path or a Volume as `like`"):
        saint_cli.convert_labels(label_map(), np.zeros(SHAPE))  # type: ignore[arg-type]
    with pytest.raises(saint_cli.UsageError, match="ndarray: not labels; pass a path or a LabelMap"):
        saint_cli.convert_labels(label_array(), fine_scan())  # type: ignore[arg-type]
    with pytest.raises(saint_cli.UsageError, match="`segments` chooses among the labels of a file"):
        saint_cli.convert_labels(label_map(), fine_scan(), segments=(1,))
    with pytest.raises(saint_cli.UnreadableError):
        saint_cli.convert_labels(tmp_path / "no.nii", fine_scan())
    apart = Volume(fine_scan().voxels, np.diag([0.5, 0.8, 1.25, 1.0]))
    with pytest.raises(saint_cli.GeometryError, match="does not fit"):
        saint_cli.convert_labels(label_map(), apart)
