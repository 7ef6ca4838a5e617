import gzip
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabricate
import nibabel as nib
import numpy as np
import pytest
from batch.found_scans import FACTOR_2, found_in, paths

from saint_cli import io
from saint_cli.batch.state_files import LOCK
from saint_cli.errors import GeometryError, UsageError
from saint_cli.io import write_volume
from saint_cli.options.job import JobSettings, make_settings


def test_all_formats_of_a_tree_are_found_under_its_own_names(tmp_path: Path) -> None:
    for name in ("a.nii", "b/c.nii.gz", "b/d.nrrd", "e/f.mha"):
        write_volume(fabricate.volume(), tmp_path / name)
    fabricate.save(fabricate.slices(), tmp_path / "p1" / "s1")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.nii").write_bytes(b"")
    found = found_in(tmp_path)
    assert paths(found) == ["a", "b/c", "b/d", "e/f", "p1/s1"]
    assert found.ignored == {"not an image": 1}
    assert {scan.slice_ratio for scan in found.scans} == {11 / 6}


def test_a_scan_says_where_its_pattern_found_it(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(), tmp_path / "in" / "p1" / "study")
    write_volume(fabricate.volume(), tmp_path / "in" / "p2" / "study" / "ct.nii")
    (tmp_path / "in" / "p3" / "study").mkdir(parents=True)
    (tmp_path / "in" / "p3" / "study" / "broken.nii").write_text("not an image")
    found = found_in(tmp_path / "in" / "*" / "study")
    assert sorted(scan.place for scan in found.scans) == ["p1/study", "p2/study", "p3/study"]


def test_a_folder_of_several_series_gives_a_scan_each_that_reads_that_series_alone(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    fabricate.save(fabricate.slices(6), folder)
    fabricate.save(fabricate.slices(4, modality="MR"), folder)
    found = found_in(tmp_path)
    assert paths(found) == ["study", "study"]
    assert len({scan.tag for scan in found.scans}) == 2
    shapes = {io.read_volume(scan.source, series=scan.settings.series).shape for scan in found.scans}
    assert shapes == {(16, 12, 6), (16, 12, 4)}


def test_series_in_folders_of_their_own_keep_these_names_beside_a_stray_slice_above(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(6), tmp_path / "in" / "p1" / "thick")
    fabricate.save(fabricate.slices(4, modality="MR"), tmp_path / "in" / "p1" / "mr")
    stray = fabricate.slices(1, orientation=fabricate.OBLIQUE)
    stray[0].SeriesInstanceUID += ".1"
    fabricate.save(stray, tmp_path / "in")
    found = found_in(tmp_path / "in")
    assert paths(found) == ["p1/mr", "p1/thick"]
    assert [reason for _, reason in found.skipped] == ["a single slice"]
    assert {scan.source.name for scan in found.scans} == {"mr", "thick"}


def test_names_hold_nothing_of_the_patient(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(6), tmp_path / "in")
    fabricate.save(fabricate.slices(4, modality="MR"), tmp_path / "in")
    assert "SECRET" not in repr(found_in(tmp_path / "in"))


def test_localizers_derived_images_and_label_maps_are_left_out_with_the_reason(tmp_path: Path) -> None:
    derived = fabricate.slices()
    for data in derived:
        data.ImageType = ["DERIVED", "SECONDARY", "MPR"]
    fabricate.save(derived, tmp_path / "mpr")
    scout = fabricate.slices(3, modality="MR")
    for data in scout:
        data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    fabricate.save(scout, tmp_path / "scout")
    labels = nib.Nifti1Image(np.zeros((8, 8, 4), np.uint8), np.diag([1, 1, 5, 1]))
    labels.header.set_intent(1002)
    nib.save(labels, tmp_path / "seg.nii")
    found = found_in(tmp_path)
    assert not found.scans
    reasons = dict(found.skipped)
    assert reasons["mpr"].startswith("a derived image")
    assert reasons["seg"].startswith("a label map")
    assert "localizer" in reasons["scout"]
    assert paths(found_in(tmp_path, include=frozenset({"derived", "label"}))) == ["mpr", "seg"]


def test_what_is_fine_enough_already_is_left_out(tmp_path: Path) -> None:
    write_volume(fabricate.volume(affine_lps=np.diag([1.0, 1.0, 1.05, 1.0])), tmp_path / "thin.nii")
    found = found_in(tmp_path, settings=JobSettings())
    assert not found.scans
    assert "isotropic" in found.skipped[0][1]


@pytest.mark.parametrize(
    ("grid", "thick", "thin"),
    [
        ({"spacing": 0.25}, "a factor of 20.0", ""),
        ({"factor": 4, "slab": "40"}, "slabs 40 mm thick", "slabs 40 mm thick"),
        ({"spacing": 100.0}, "the coarsest is", "the coarsest is"),
        ({"spacing": 5.0}, None, ""),
        ({"spacing": 1.0, "slab": "5"}, "", None),
    ],
)
def test_options_that_do_not_fit_a_scan_are_a_failure(
    tmp_path: Path, grid: Mapping[str, Any], thick: str | None, thin: str | None
) -> None:
    """None: skipped, with the reason; "": a scan to upsample."""
    for name, spacing in (("thick", 5.0), ("thin", 0.9)):
        affine = np.diag([0.8, 0.8, spacing, 1.0])
        write_volume(fabricate.volume((8, 8, 12), affine_lps=affine), tmp_path / f"{name}.nii")
    settings = make_settings({"axis": "z", **grid})
    found = found_in(tmp_path, settings=settings)
    for name, expected in (("thick", thick), ("thin", thin)):
        assert (name in dict(found.skipped)) is (expected is None)
        error = next((scan.error for scan in found.scans if scan.path == name), None)
        assert (error is None) is (not expected)
        assert (expected or "") in str(error)


@pytest.mark.parametrize(
    ("step", "thickness", "message"),
    [
        ((0.0, 0.0, 5.0), 5.0, None),
        ((0.0, 0.0, 5.0), 20.0, "slabs 20 mm thick and 5 mm apart"),
        ((0.0, 3.0, 4.0), 9.0, "slabs 9 mm thick and 4 mm apart"),
    ],
    ids=["fits", "too thick", "tilted"],
)
def test_slabs_that_a_header_makes_impossible_are_a_failure_before_the_run(
    tmp_path: Path, step: tuple[float, ...], thickness: float, message: str | None
) -> None:
    made = fabricate.slices(step=step)
    for data in made:
        data.SliceThickness = thickness
    folder, settings = fabricate.save(made, tmp_path / "scan"), make_settings({"factor": 2, "slab": "header"})
    (scan,) = found_in(tmp_path, settings=settings).scans
    if message is None:
        assert scan.error is None
        return
    assert message in str(scan.error)
    with pytest.raises(UsageError, match=message):
        settings.grid.make_grid(io.read_volume(folder))


@pytest.mark.parametrize(
    ("options", "is_skipped"),
    [({}, True), ({"axis": "z"}, True), ({"spacing": 0.25}, False), ({"in_plane": 0.2}, False), ({"slab": "5"}, False)],
)
def test_scans_too_coarse_for_the_default_grid_are_left_out_unless_a_distance_was_asked_for(
    tmp_path: Path, options: Mapping[str, Any], is_skipped: bool
) -> None:
    write_volume(fabricate.volume((8, 8, 12), affine_lps=np.diag([0.25, 0.25, 5.0, 1.0])), tmp_path / "wrist.nii")
    found = found_in(tmp_path, settings=make_settings(options))
    reasons = [*(reason for _, reason in found.skipped), *(str(scan.error) for scan in found.scans)]
    assert (len(found.skipped), len(found.scans)) == (is_skipped, not is_skipped)
    assert "is a factor of" in reasons[0]


def test_results_are_never_inputs(tmp_path: Path) -> None:
    write_volume(fabricate.volume(), tmp_path / "a.nii")
    write_volume(fabricate.volume(), tmp_path / "out" / "b.nii")
    assert paths(found_in(tmp_path)) == ["a"]
    with pytest.raises(UsageError, match="output folder"):
        found_in(tmp_path, tmp_path / "out" / "b.nii")


def test_results_are_never_inputs_by_other_names_either(tmp_path: Path) -> None:
    write_volume(fabricate.volume(), tmp_path / "a.nii")
    write_volume(fabricate.volume(), tmp_path / "out" / "b.nii")
    (tmp_path / "link").symlink_to("out")
    assert paths(found_in(tmp_path)) == ["a"]
    with pytest.raises(UsageError, match="output folder"):
        found_in(tmp_path, tmp_path / "link" / ".." / "out")


def test_results_of_another_batch_are_inputs_only_where_they_are_named(tmp_path: Path) -> None:
    write_volume(fabricate.volume(), tmp_path / "a.nii")
    write_volume(fabricate.volume(), tmp_path / "x4" / "a.nii")
    (tmp_path / "x4" / LOCK).parent.mkdir()
    (tmp_path / "x4" / LOCK).touch()
    found = found_in(tmp_path)
    assert paths(found) == ["a"]
    assert found.ignored == {"folder with results of another batch (x4)": 1}
    assert paths(found_in(tmp_path / "x4")) == ["a"]


def test_results_in_a_dicom_folder_are_no_inputs_either_where_derived_images_are(tmp_path: Path) -> None:
    study = fabricate.save(fabricate.slices(), tmp_path / "study")
    derived = fabricate.changed(fabricate.slices(7), lambda k, data: setattr(data, "ImageType", ["DERIVED", "X"]))
    for data in derived:
        data.SeriesInstanceUID = "1.2.3.3"
    fabricate.save(derived, study / "vendor")
    for k, data in enumerate(derived):
        data.SeriesInstanceUID, data.SOPInstanceUID = "1.2.3.4", f"1.2.3.4.{k}"
    fabricate.save(derived, study / "x4" / "ct")
    (study / "x4" / LOCK).parent.mkdir()
    (study / "x4" / LOCK).touch()
    fabricate.save(fabricate.changed(derived, lambda k, data: setattr(data, "SeriesInstanceUID", "1.5")), study / "out")
    found = found_in(study, include=frozenset({"derived"}))
    assert sorted(scan.source_name for scan in found.scans) == [str(study), str(study / "vendor")]
    assert found.skipped == []
    named = found_in(study / "x4", include=frozenset({"derived"}))
    assert [scan.source_name for scan in named.scans] == [str(study / "x4" / "ct")]


@pytest.mark.parametrize("name", ["pair", "KARD\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}YAK"])
def test_both_files_of_a_pair_are_one_scan_and_both_count(name: str, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(np.zeros((8, 8, 4), np.int16), np.diag([1, 1, 5, 1])), tmp_path / f"{name}.img")
    (scan,) = found_in(tmp_path).scans
    assert (scan.path, {file.name for file in scan.files}) == (name, {f"{name}.hdr", f"{name}.img"})


def test_a_zip_of_a_series_is_a_scan_that_depends_on_the_zip(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(), tmp_path / "s")
    shutil.make_archive(str(tmp_path / "in" / "study"), "zip", tmp_path / "s")
    (scan,) = found_in(tmp_path / "in").scans
    assert (scan.path, scan.files) == ("study", (tmp_path / "in" / "study.zip",))


def test_even_runs_of_a_series_with_a_gap_are_scans_where_asked_for(tmp_path: Path) -> None:
    gap = fabricate.slices(9)
    del gap[4]
    fabricate.save(gap, tmp_path / "in")
    found = found_in(tmp_path / "in", settings=replace(FACTOR_2, split_runs=True))
    assert [scan.shape for scan in found.scans] == [(16, 12, 4), (16, 12, 4)]
    assert all(scan.error is None for scan in found.scans)


def test_an_uneven_series_is_one_scan_where_that_is_asked_for(tmp_path: Path) -> None:
    gap = fabricate.slices(9)
    del gap[4]
    fabricate.save(gap, tmp_path / "in")
    (refused,) = found_in(tmp_path / "in").scans
    assert "--irregular" in str(refused.error) or "`irregular=True`" in str(refused.error)
    (scan,) = found_in(tmp_path / "in", settings=replace(FACTOR_2, irregular=True)).scans
    assert (scan.error, scan.shape, scan.slice_ratio) == (None, (16, 12, 8), 17 / 8)


def test_a_4d_file_is_a_failure_unless_a_table_names_its_volume(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 4, 3), np.int16), np.diag([1, 1, 5, 1])), tmp_path / "dynamic.nii")
    (scan,) = found_in(tmp_path).scans
    assert isinstance(scan.error, GeometryError)
    assert "4-D image (8 x 8 x 4 x 3); take all of its 3 volumes with --volume all, or one" in str(scan.error)
    (chosen,) = found_in(tmp_path, settings=replace(FACTOR_2, volume=2)).scans
    assert (chosen.error, chosen.shape, chosen.slice_ratio) == (None, (8, 8, 4), 7 / 4)


def test_gzipped_slices_are_one_scan(tmp_path: Path) -> None:
    for file in fabricate.save(fabricate.slices(), tmp_path / "plain").iterdir():
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    assert paths(found_in(tmp_path / "in")) == ["in"]
