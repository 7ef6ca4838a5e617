"""What a path holds is described from headers: folders, files of several volumes, tilt, what a series is called."""

from pathlib import Path

import fabricate
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from saint_cli.errors import UnreadableError, UsageError
from saint_cli.io import describe, write_volume
from saint_cli.io.dicom.patient_text import PATIENT_TAGS, SERIES_TAGS, read_texts

SHEARED_Z = np.array([[0.8, 0, 0, 0], [0, 0.8, 1.2, 0], [0, 0, 4.8, 0], [0, 0, 0, 1.0]])
"""Slices 4.8 mm apart along their normal, each 1.2 mm beside the one before: a tilt of 14.04 degrees."""


def nrrd(path: Path, sizes: str, kinds: str, directions: str) -> Path:
    """A 4-D NRRD file of short integers."""
    count = int(np.prod([int(n) for n in sizes.split()]))
    fields = ("NRRD0004", "type: short", "dimension: 4", f"sizes: {sizes}", "space: left-posterior-superior")
    more = (f"space directions: {directions}", f"kinds: {kinds}", "encoding: raw", "endian: little", "", "")
    path.write_bytes("\n".join((*fields, *more)).encode() + np.arange(count, dtype="<i2").tobytes())
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nrrd", "a.mha"])
def test_the_tilt_of_a_file_is_reported_as_that_of_dicom(name: str, tmp_path: Path) -> None:
    write_volume(fabricate.volume((9, 8, 5), affine_lps=SHEARED_Z), tmp_path / name)
    (stack,) = describe(tmp_path / name).stacks
    assert stack.tilt_degrees == pytest.approx(14.036, abs=0.01)
    assert stack.shear_degrees == pytest.approx(0, abs=0.01)
    assert len(stack.warnings) == 1
    assert "14.0°" in stack.warnings[0]
    assert "4.948 mm along the step, 4.8 mm along the normal" in stack.warnings[0]


def test_in_plane_axes_that_are_not_perpendicular_are_reported(tmp_path: Path) -> None:
    affine = np.diag([0.8, 0.8, 4.8, 1.0])
    affine[0, 1] = 0.1
    write_volume(fabricate.volume((9, 8, 5), affine_lps=affine), tmp_path / "a.nii")
    (stack,) = describe(tmp_path / "a.nii").stacks
    assert stack.shear_degrees == pytest.approx(np.degrees(np.arctan(0.1 / 0.8)), abs=0.01)
    assert any("Shear 7.1° between the two in-plane axes" in text for text in stack.warnings)


def test_a_volume_that_is_not_sheared_has_no_such_warning(tmp_path: Path) -> None:
    write_volume(fabricate.volume(affine_lps=fabricate.OBLIQUE_LPS), tmp_path / "a.nii")
    assert describe(tmp_path / "a.nii").stacks[0].warnings == ()


FOUR_D = {
    "list last": ("6 5 4 3", "domain domain domain list", "(1,0,0) (0,1,0) (0,0,5) none"),
    "list first": ("3 6 5 4", "list domain domain domain", "none (1,0,0) (0,1,0) (0,0,5)"),
    "time last": ("6 5 4 3", "domain domain domain time", "(1,0,0) (0,1,0) (0,0,5) none"),
}


@pytest.mark.parametrize("kind", FOUR_D)
def test_volumes_along_any_axis_of_a_nrrd_file_are_counted_and_no_colours(kind: str, tmp_path: Path) -> None:
    (stack,) = describe(nrrd(tmp_path / "a.nrrd", *FOUR_D[kind])).stacks
    assert (stack.shape, stack.volumes, stack.spacing_mm) == ((6, 5, 4), 3, (1, 1, 5))
    assert stack.exit_code == 4
    assert stack.problem is not None
    assert "4-D image (6 x 5 x 4 x 3)" in stack.problem
    assert stack.warnings == ()


def test_a_colour_is_not_taken_for_volumes(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nrrd", "3 6 5 4", "RGB-color domain domain domain", "none (1,0,0) (0,1,0) (0,0,5)")
    with pytest.raises(UnreadableError, match="colour"):
        describe(path)
    sitk.WriteImage(sitk.Image([6, 5, 4], sitk.sitkVectorUInt8, 3), str(tmp_path / "b.mha"))
    with pytest.raises(UnreadableError, match="colour"):
        describe(tmp_path / "b.mha")


def test_a_4d_nifti_file_that_ends_early_is_described_with_a_warning(tmp_path: Path) -> None:
    voxels = np.zeros((9, 8, 5, 6), np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 1, 5, 1])), tmp_path / "a.nii")
    whole = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "a.nii").write_bytes(whole[: len(whole) // 2])
    (stack,) = describe(tmp_path / "a.nii").stacks
    assert (stack.volumes, stack.exit_code) == (6, 0)
    assert any("not all of its 6 volumes can be read" in text for text in stack.warnings)


def mixed(folder: Path) -> Path:
    """A DICOM series, a NIfTI file in a folder of its own, a pair, a broken file, a hidden one, and text."""
    fabricate.save(fabricate.slices(), folder / "series")
    (folder / "z").mkdir()
    write_volume(fabricate.volume(), folder / "z" / "a.nii.gz")
    pair = nib.Nifti1Pair(np.zeros((9, 8, 5), np.int16), np.diag([1.0, 1, 5, 1]))
    nib.save(pair, folder / "pair.img")
    (folder / "y.nrrd").write_bytes(b"NRRD0004\n")
    (folder / ".hidden").mkdir()
    write_volume(fabricate.volume(), folder / ".hidden" / "b.nii")
    (folder / "notes.txt").write_text("no scan")
    return folder


def test_a_folder_holds_its_dicom_stacks_and_then_its_files_by_path(tmp_path: Path) -> None:
    folder = mixed(tmp_path / "in")
    reported = describe(folder)
    assert [stack.format for stack in reported.stacks] == ["DICOM", "NIfTI", "NRRD", "NIfTI"]
    assert [stack.label for stack in reported.stacks[1:]] == ["pair.hdr", "y.nrrd", "z/a.nii.gz"]
    assert [stack.exit_code for stack in reported.stacks] == [0, 0, 3, 0]
    assert reported.skipped == {"not DICOM": 2}  # notes.txt and what is hidden
    assert [file.name for file in reported.files[1]] == ["pair.hdr", "pair.img"]
    assert reported.exit_code == 0


def test_dicom_alone_is_described_where_that_is_wanted(tmp_path: Path) -> None:
    reported = describe(mixed(tmp_path / "in"), only_dicom=True)
    assert [stack.format for stack in reported.stacks] == ["DICOM"]
    assert reported.skipped == {"not DICOM": 6}


def test_a_folder_without_any_volume_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no scan")
    with pytest.raises(UsageError, match="nothing to interpolate"):
        describe(tmp_path)


def test_progress_counts_every_file(tmp_path: Path) -> None:
    counts: list[int] = []
    describe(mixed(tmp_path / "in"), on_progress=counts.append)
    assert counts == sorted(counts)
    assert counts[-1] >= 12


@pytest.mark.parametrize("value", ["", "Kopf", "a\\b"])
def test_a_series_is_called_what_its_description_says(value: str, tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series:
        data.SeriesDescription = value
    (stack,) = describe(fabricate.save(series, tmp_path / "s")).stacks
    assert stack.series_description == (value or None)
    assert stack.series_number == 4
    assert stack.patient is None


def test_bytes_that_no_character_set_explains_do_not_hide_a_series(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "s")
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes().replace(b"SECRET DESCRIPTION", b"Gef\xe4\xdfe \xff\xfe\x80 2mm".ljust(18)))
    (stack,) = describe(folder).stacks
    assert stack.series_description is not None
    assert "2mm" in stack.series_description


def test_a_file_that_is_no_dicom_has_no_texts(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff" * 300)
    assert read_texts(tmp_path / "a", SERIES_TAGS) == {}
    assert read_texts(tmp_path / "nowhere", PATIENT_TAGS) == {}
