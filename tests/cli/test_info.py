"""``saint info`` and the frame every command runs in."""

import json
from pathlib import Path

import fabricate
import numpy as np
import pytest
import SimpleITK as sitk
from cli.info_runs import TO, called, one_line, scan, several
from cli.runs import run

from saint_cli.io import write_volume


def test_a_volume_is_shown_with_what_it_can_become(tmp_path: Path) -> None:
    result = run("info", scan(tmp_path))
    assert result.exit_code == 0, result.stderr
    for words in ("24 x 20 x 6", "0.8 x 0.8 x 5", "5 mm along z", "uniform", "int16", "6"):
        assert words in result.stdout
    assert result.stderr == ""


def test_json_is_an_array_with_one_object_per_path_in_order(tmp_path: Path) -> None:
    series = fabricate.save(fabricate.slices(step=(0.0, 1.2, 4.8)), tmp_path / "series")
    (series / "notes.txt").write_text("no scan")
    result = run("info", "--json", scan(tmp_path), tmp_path / "nowhere", series)
    first, second, third = json.loads(result.stdout)
    assert first["stacks"][0]["shape"] == [24, 20, 6]
    assert first["stacks"][0]["suggested_factor"] == 6
    assert (second["exit_code"], second["stacks"]) == (3, [])
    assert third["skipped"] == {"not DICOM": 1}
    assert third["stacks"][0]["tilt_degrees"] == pytest.approx(14.036, abs=1e-3)
    assert result.exit_code == 3


def test_the_exit_code_is_that_of_the_first_failure_after_showing_the_others(tmp_path: Path) -> None:
    series = fabricate.slices()
    del series[2]
    gap = fabricate.save(series, tmp_path / "gap")
    result = run("info", gap, tmp_path / "nowhere", scan(tmp_path))
    assert result.exit_code == 4
    assert "cannot be upsampled: slices are missing" in result.stdout
    assert "24 x 20 x 6" in result.stdout
    assert result.stderr.startswith("saint: ")
    assert len(result.stderr.splitlines()) == 1


def test_one_usable_stack_is_success(tmp_path: Path) -> None:
    good, bad = fabricate.slices(), fabricate.slices(modality="MR")
    del bad[2]
    folder = fabricate.save(good + bad, tmp_path / "series")
    result = run("info", folder)
    assert result.exit_code == 0
    assert "cannot be upsampled" in result.stdout


def test_a_tilted_stack_is_reported_along_the_table_and_along_the_normal(tmp_path: Path) -> None:
    series = fabricate.slices(step=(0.0, 1.2, 4.8))
    for one in series:
        one.SpacingBetweenSlices = 4.948
    text = " ".join(run("info", fabricate.save(series, tmp_path / "series")).stdout.split())
    assert "kept as acquired, 4.948 mm along the table, 4.8 mm along the normal" in text
    assert "SpacingBetweenSlices says" not in text


def test_a_stack_of_too_few_slices_for_isotropic_voxels_is_said_to_need_a_wish_and_why(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(4, step=(0.0, 0.0, 0.61)), tmp_path / "series")
    shown = " ".join(run("info", folder).stdout.split())
    assert "`saint upsample` needs `--factor` or `--spacing`: isotropic voxels would give no more slices" in shown
    result = run("upsample", folder, "-o", tmp_path / "out.nii")
    assert "4 slices 0.61 mm apart become 4 at 0.5 mm, no more than there are" in " ".join(result.output.split())


def test_a_nearly_isotropic_stack_is_said_to_need_a_wish_and_upsample_says_so_too(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(4, step=(0.0, 0.0, 0.55)), tmp_path / "series")
    shown = run("info", folder).stdout
    assert "`saint upsample` needs `--factor` or `--spacing`" in shown
    assert "isotropic voxels would" not in shown
    refused = run("upsample", folder, "-o", tmp_path / "o.nii.gz", "-m", "fast")
    assert refused.exit_code == 2
    assert "give --factor, or a smaller --spacing" in " ".join(refused.stderr.split())


def test_no_patient_text_is_shown(tmp_path: Path) -> None:
    folder = fabricate.save(called(fabricate.slices(), "Thorax"), tmp_path / "series")
    for result in (run("info", folder), run("info", "--json", folder)):
        assert "SECRET" not in result.output


def test_patient_text_is_shown_where_asked(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "series")
    assert "PatientName: SECRET^NAME" in run("info", "--phi", folder).stdout
    (found,) = json.loads(run("info", "--phi", "--json", folder).stdout)
    assert found["stacks"][0]["patient"]["PatientID"] == "SECRET-ID"


@pytest.mark.parametrize(
    ("thickness", "words"), [(4.0, "gap 1 mm"), (6.5, "overlap 1.5 mm"), (5.0, "SliceThickness 5\n")]
)
def test_gap_order_and_default_result_of_a_stack_are_shown(thickness: float, words: str, tmp_path: Path) -> None:
    series = fabricate.slices(step=(0, 0, -5))
    for data in series:
        data.SliceThickness = thickness
    shown = run("info", fabricate.save(series, tmp_path / "series")).stdout
    for expected in (
        words,
        "InstanceNumber descending",
        "`saint upsample` would produce 16 x 12 x 51 at 0.5 x 0.75 x 0.5 mm",
    ):
        assert expected in shown


@pytest.mark.parametrize(("count", "thickness"), [(6, 5.0), (6, 6.5), (4, 5.0), (2, 6.5)])
def test_slices_that_overlap_or_are_few_get_a_line(count: int, thickness: float, tmp_path: Path) -> None:
    series = fabricate.slices(count)
    for data in series:
        data.SliceThickness = thickness
    shown = run("info", fabricate.save(series, tmp_path / "series")).stdout
    assert ("Slices overlap: neighbours share tissue" in shown) == (thickness > 5)
    assert (f"Only {count} slices: the networks see little" in shown) == (count < 5)


def nifti(path: Path, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Path:
    write_volume(fabricate.volume(shape, affine_lps=np.diag([*spacing, 1.0])), path)
    return path


def test_beyond_sixteen_to_one_the_finest_wishes_are_named(tmp_path: Path) -> None:
    shown = run("info", nifti(tmp_path / "wide.nii", (9, 8, 5), (0.3, 0.3, 6.0))).stdout
    assert "isotropic voxels would take a factor of 20" in shown
    assert "`--factor 16` or less, or `--spacing 0.375` or more" in shown
    out = ("-m", "fast", "-o", tmp_path / "out.nii")
    assert run("upsample", tmp_path / "wide.nii", "--spacing", "0.375", *out).exit_code == 0


@pytest.mark.parametrize(
    ("in_plane", "reported"),
    [(0.7, ["0.6 mm before the last acquired slice", "`--factor 6` ends exactly on it"]), (0.8, [])],
)
def test_a_last_slice_that_the_default_grid_misses_is_reported(
    in_plane: float, reported: list[str], tmp_path: Path
) -> None:
    shown = run("info", nifti(tmp_path / "scan.nii", (9, 8, 5), (in_plane, in_plane, 4.0))).stdout
    assert "`saint upsample` would produce" in shown
    assert ("before the last acquired" in shown) == bool(reported)
    for words in reported:
        assert words in shown


def test_a_4d_nifti_file_is_shown_with_all_facts_and_how_to_choose(tmp_path: Path) -> None:
    result = run("info", several(tmp_path / "dynamic.nii", 30))
    assert result.exit_code == 0
    for words in (
        "9 x 8 x 5 voxels, 30 volumes",
        "0.8 x 0.8 x 4 mm",
        f"`saint upsample --volume K` (K = 1{TO}30, or all) would",
    ):
        assert words in result.stdout
    (stack,) = json.loads(run("info", "--json", tmp_path / "dynamic.nii").stdout)[0]["stacks"]
    assert (stack["shape"], stack["volumes"], stack["suggested_factor"]) == ([9, 8, 5], 30, 5)


@pytest.mark.parametrize("name", ["dynamic.nrrd", "dynamic.mha"])
def test_other_4d_files_are_shown_with_all_facts_and_the_code_of_their_refusal(name: str, tmp_path: Path) -> None:
    image = sitk.Image([9, 8, 5, 3], sitk.sitkInt16)
    image.SetSpacing([0.8, 0.8, 4.0, 1.0])
    sitk.WriteImage(image, str(tmp_path / name))
    result = run("info", tmp_path / name)
    assert result.exit_code == 4
    for words in ("9 x 8 x 5 voxels, 3 volumes", "0.8 x 0.8 x 4 mm", "cannot be upsampled: 4-D image (9 x 8 x 5 x 3)"):
        assert words in result.stdout


def test_a_folder_of_files_is_a_line_for_each_beside_its_dicom(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    nifti(folder / "b.nii.gz", (9, 8, 5), (0.8, 0.8, 4.0))
    several(folder / "sub" / "c.nii", 3)
    write_volume(fabricate.volume(), folder / "a.nrrd")
    (folder / "broken.mha").write_bytes(b"")
    (folder / "._b.nii.gz").write_bytes(b"of a Mac")
    (folder / "notes.txt").write_text("no scan")
    fabricate.save(fabricate.slices(), folder / "series")
    result = run("info", folder)
    assert result.exit_code == 0
    assert "1 DICOM volume, 4 files" in result.stdout
    lines = [one_line(line) for line in result.stdout.splitlines()]
    for words in (
        "24x20x6 0.8x0.8x5 6 a.nrrd",
        "9x8x5 0.8x0.8x4 5 b.nii.gz",
        "- - - broken.mha: cannot be upsampled",
        "9x8x5x3 0.8x0.8x4 5 sub/c.nii: 4-D, --volume 1…3 or all",
        "cannot be upsampled (broken.mha): the file is empty; copy or export it again",
        "skipped files: 2 of other kinds",
    ):
        assert words in lines
    assert next(line.split()[-1] for line in lines if "0.8x0.8" in line) == "a.nrrd"


def test_a_folder_without_a_usable_volume_has_the_code_of_the_first_problem(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"no volume")
    result = run("info", tmp_path)
    assert result.exit_code == 3
    assert "not a NIfTI file, or damaged at its start" in result.stdout


def test_warnings_of_many_files_are_one_line(tmp_path: Path) -> None:
    for k in range(12):
        affine = np.diag([0.8, 0.8, 4.0 + 0.1 * k, 1.0])
        affine[1, 2] = 1.0
        write_volume(fabricate.volume((9, 8, 5), affine_lps=affine), tmp_path / f"{k:02d}.nii")
    reported = [line for line in run("info", tmp_path).stdout.splitlines() if "warning (" in line]
    assert len(reported) == 1
    assert "warning (00.nii, 01.nii, 02.nii and 9 more): Gantry tilt or shear 14.0°" in reported[0]


def test_data_outside_a_headers_folder_is_shown_with_leave(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    sitk.WriteImage(sitk.GetImageFromArray(fabricate.volume().voxels.transpose()), tmp_path / "in" / "a.mhd")
    (tmp_path / "in" / "a.raw").rename(tmp_path / "a.raw")
    (tmp_path / "in" / "a.raw").symlink_to("../a.raw")
    refused = run("info", tmp_path / "in" / "a.mhd")
    assert refused.exit_code == 3
    assert "outside the header's folder" in one_line(refused.stderr)
    assert "24 x 20 x 6" in run("info", "--outside-data", tmp_path / "in" / "a.mhd").stdout
    assert "cannot be upsampled" in run("info", tmp_path / "in").stdout
    assert "cannot be upsampled" not in run("info", "--outside-data", tmp_path / "in").stdout
