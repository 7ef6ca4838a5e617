import gzip
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabricate
import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset
from scan_passes import FIRST, SAME, put, scan_pass

from saint_cli import io
from saint_cli.batch.find import find_scans
from saint_cli.batch.inputs import Root, expand_inputs
from saint_cli.batch.search import Findings, SearchRules
from saint_cli.batch.state_files import LOCK
from saint_cli.cli.job_options import merge_row
from saint_cli.errors import GeometryError, UnreadableError, UsageError
from saint_cli.io import write_volume
from saint_cli.io.error_conversion import convert_exceptions
from saint_cli.jobs import GridRequest
from saint_cli.options.job import JobSettings, make_settings

FACTOR_2 = JobSettings(grid=GridRequest(factor=2))


def found_in(
    folder: Path, *more: Path, settings: JobSettings = FACTOR_2, include: frozenset[str] = frozenset()
) -> Findings:
    return find_scans(
        expand_inputs([folder, *more]), SearchRules(lambda row: settings, folder / "out", include), lambda count: None
    )


def paths(found: Findings) -> list[str]:
    return sorted(scan.path for scan in found.scans if scan.error is None)


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


def test_broken_scans_are_failures_by_name(tmp_path: Path) -> None:
    gap = fabricate.slices(8)
    del gap[3]
    fabricate.save(gap, tmp_path / "gap")
    (tmp_path / "text.nii.gz").write_text("not an image, whatever its name says")
    write_volume(fabricate.volume(), tmp_path / "short.nii")
    (tmp_path / "short.nii").write_bytes((tmp_path / "short.nii").read_bytes()[:-100])
    rgb = np.zeros((8, 8, 4), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    nib.save(nib.Nifti1Image(rgb, np.diag([1, 1, 5, 1])), tmp_path / "rgb.nii")
    errors = {scan.path: type(scan.error) for scan in found_in(tmp_path).scans}
    assert errors == {"gap": GeometryError, "text": UnreadableError, "short": UnreadableError, "rgb": UnreadableError}


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


def test_both_files_of_a_pair_are_one_scan_and_both_count(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(np.zeros((8, 8, 4), np.int16), np.diag([1, 1, 5, 1])), tmp_path / "pair.img")
    (scan,) = found_in(tmp_path).scans
    assert (scan.path, {file.name for file in scan.files}) == ("pair", {"pair.hdr", "pair.img"})


def test_a_row_of_a_table_chooses_series_and_name(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(6), tmp_path / "study")
    fabricate.save(fabricate.slices(4, modality="MR"), tmp_path / "study")
    rules = SearchRules(lambda row: replace(FACTOR_2, series=row["series"]), tmp_path / "out")
    found = find_scans([Root(tmp_path / "study", {"series": "2"}, "the_second")], rules, lambda count: None)
    assert [scan.path for scan in found.scans] == ["the_second"]


@pytest.mark.parametrize(
    ("row", "count", "message"),
    [
        ("7,", 0, "study: no series 7;"),
        (",3", 0, "study: no volume 3;"),
        ("2,2", 0, "study: no series 2, volume 2;"),
        ("2,1", 1, ""),
        (",1", 2, ""),
        ("2,all", 1, ""),
    ],
)
def test_a_row_that_names_no_series_or_volume_that_is_there_is_a_failure(
    tmp_path: Path, row: str, count: int, message: str
) -> None:
    fabricate.save(fabricate.slices(6), tmp_path / "study")
    fabricate.save(fabricate.slices(4, modality="MR"), tmp_path / "study")
    (tmp_path / "t.csv").write_text(f"source,series,volume\nstudy,{row}\n")
    rules = SearchRules(lambda cells: make_settings(merge_row({"factor": 2}, cells)), tmp_path / "out")
    found = find_scans(expand_inputs([tmp_path / "t.csv"]), rules, lambda count: None)
    assert len(paths(found)) == count
    assert [message in str(scan.error) for scan in found.scans if scan.error is not None] == [True] * bool(message)


@pytest.mark.parametrize("option", ["irregular", "split_runs", "merge"])
def test_a_row_with_an_option_of_dicom_for_another_file_is_a_failure(tmp_path: Path, option: str) -> None:
    for name in ("a.nii.gz", "folder/b.nii.gz"):
        write_volume(fabricate.volume(), tmp_path / name)
    column = option.replace("_", "-").upper()
    (tmp_path / "t.csv").write_text(f"source,{column}\na.nii.gz,true\na.nii.gz,false\na.nii.gz,\nfolder,true\n")
    rules = SearchRules(lambda cells: make_settings(merge_row({"factor": 2}, cells)), tmp_path / "out")
    refused, *others = find_scans(expand_inputs([tmp_path / "t.csv"]), rules, lambda count: None).scans
    assert isinstance(refused.error, UsageError)
    assert f"a.nii.gz: `{option}=True` is for DICOM" in str(refused.error)
    assert [(one.path, one.error) for one in others] == [("a", None), ("a", None), ("b", None)]


def test_a_row_whose_series_cannot_be_merged_is_a_failure(tmp_path: Path) -> None:
    oblique = fabricate.slices(4, orientation=fabricate.OBLIQUE)
    for index, data in enumerate(oblique):
        data.SOPInstanceUID += f".9{index}"
    fabricate.save(fabricate.slices(6), tmp_path / "study")
    fabricate.save(oblique, tmp_path / "study")
    (tmp_path / "t.csv").write_text("source,merge,volume\nstudy,true,\nstudy,false,\nstudy,true,2\n")
    typed = {"factor": 2, "merge": True}
    rules = SearchRules(lambda cells: make_settings(merge_row(typed, cells)), tmp_path / "out")
    found = find_scans(expand_inputs([tmp_path / "t.csv"]), rules, lambda count: None)
    refused, *others = found.scans
    assert "`merge=True`: slices of one series form 2 stacks (16 x 12 x " in str(refused.error)
    assert [one.error for one in others] == [None] * 3
    assert len(find_scans(expand_inputs([tmp_path / "study"]), rules, lambda count: None).scans) == 2


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


def test_files_beside_a_series_are_found_once(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(), tmp_path / "p")
    write_volume(fabricate.volume(), tmp_path / "p" / "a.nii")
    assert paths(found_in(tmp_path)) == ["p", "p/a"]


def zero_orientation(name: str) -> list[Dataset]:
    (data,) = fabricate.slices(1, modality=name)
    data.ImageOrientationPatient = [0.0] * 6
    return [data]


def test_one_bad_file_costs_no_scan_and_is_named(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(), tmp_path / "flat")
    fabricate.save(zero_orientation("MR"), tmp_path / "flat")
    found = found_in(tmp_path)
    assert paths(found) == ["flat"]
    ((reason, count),) = found.ignored.items()
    assert (count, reason) == (1, "with a direction of length zero in ImageOrientationPatient (0006.dcm)")


def test_a_folder_of_bad_files_alone_is_a_failure(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(), tmp_path / "good")
    fabricate.save(zero_orientation("MR"), tmp_path / "bad")
    (scan,) = [scan for scan in found_in(tmp_path).scans if scan.error is not None]
    assert (scan.path, type(scan.error)) == ("bad", UnreadableError)


def test_links_pipes_and_archives_are_no_scans_but_counted_and_links_named_as_images_are_failures(
    tmp_path: Path,
) -> None:
    fabricate.save(fabricate.slices(), tmp_path / "s")
    for folder in (tmp_path, tmp_path / "s"):
        (folder / "link").symlink_to(tmp_path / "nowhere")
        os.mkfifo(folder / "pipe")
    shutil.make_archive(str(tmp_path / "a"), "tar", tmp_path / "s", "0000.dcm")
    (tmp_path / "lost.nii").symlink_to(tmp_path / "nowhere.nii")
    found = found_in(tmp_path)
    assert paths(found) == ["s"]
    assert [scan.path for scan in found.scans if scan.error is not None] == ["lost.nii"]
    assert found.ignored == {
        "archive, not unpacked": 1,
        "broken link (link)": 2,
        "pipe, socket or device (pipe)": 2,
    }


def test_gzipped_slices_are_one_scan(tmp_path: Path) -> None:
    for file in fabricate.save(fabricate.slices(), tmp_path / "plain").iterdir():
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    assert paths(found_in(tmp_path / "in")) == ["in"]


def test_what_one_input_raises_is_its_failure_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.nii", "b.nii", "c/d.nii"):
        write_volume(fabricate.volume(), tmp_path / name)
    fabricate.save(fabricate.slices(), tmp_path / "s")
    plain = io.describe

    def describe(path: Path, **options: bool) -> io.Description:
        if path.name == "b.nii":
            with convert_exceptions(path):
                raise RecursionError
        return plain(path, **options)

    monkeypatch.setattr(io, "describe", describe)
    found = found_in(tmp_path)
    assert paths(found) == ["a", "c/d", "s"]
    assert {scan.path: type(scan.error) for scan in found.scans if scan.error is not None} == {"b": UnreadableError}


def test_names_too_long_for_any_file_in_a_header_are_a_failure_of_that_header(tmp_path: Path) -> None:
    header = "ObjectType = Image\nNDims = 3\nDimSize = 8 9 5\nElementType = MET_SHORT\nElementDataFile = "
    (tmp_path / "bad.mhd").write_text(f"{header}{'a' * 300}\n")
    write_volume(fabricate.volume(), tmp_path / "good.nii")
    found = found_in(tmp_path)
    assert paths(found) == ["good"]
    assert [scan.path for scan in found.scans if scan.error is not None] == ["bad"]


def test_one_hostile_file_of_a_series_costs_no_scan_and_is_counted(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "s")
    sound = (folder / "0000.dcm").read_bytes()
    sequence = b"\x00\x52\x29\x92SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    (folder / "nested.dcm").write_bytes(sound[: sound.index(b"\x08\x00\x16\x00")] + sequence * 5000)
    (folder / "circle.dcm").symlink_to("circle.dcm")
    os.mkfifo(folder / "pipe.dcm")
    found = found_in(tmp_path)
    assert paths(found) == ["s"]
    assert sum(found.ignored.values()) == 3
    assert all(name in str(found.ignored) for name in ("nested.dcm", "circle.dcm", "pipe.dcm"))


def test_what_a_row_of_a_table_cannot_have_is_reported_with_the_first_rows_and_their_count(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("source,factor\nok.nii,2\n" + "a.nii,two\n" * 50)

    def settings_of(row: Mapping[str, str]) -> JobSettings:
        return make_settings(merge_row({}, row))

    with pytest.raises(UsageError) as caught:
        find_scans(expand_inputs([tmp_path / "t.csv"]), SearchRules(settings_of, tmp_path / "out"), lambda count: None)
    assert str(caught.value).startswith("50 rows cannot be used: ")
    assert 't.csv, row 3: factor "two" is not a whole number' in str(caught.value)
    assert str(caught.value).endswith("and 47 more")


@pytest.mark.parametrize(
    ("column", "advice"),
    [("nmae", "did you mean name?"), ("Slice-Thicknes", "did you mean slice_thickness?"), ("patient", "--help lists")],
)
def test_a_column_that_is_none_is_refused_with_the_one_that_may_be_meant(column: str, advice: str) -> None:
    with pytest.raises(UsageError) as caught:
        merge_row({}, {column: "x"})
    assert f"'{column}' is not a column of a table of scans; " in str(caught.value)
    assert advice in str(caught.value)


@pytest.mark.parametrize("cell", ["false", "no"])
def test_a_row_without_isotropic_voxels_keeps_the_grid_of_the_command_line(cell: str) -> None:
    assert make_settings(merge_row({"factor": 4}, {"isotropic": cell})).grid == GridRequest(factor=4)


@pytest.mark.parametrize("name", ["~/a.nii", "x" * 300 + ".nii", "no/such.nii", "y/" * 3000])
def test_a_row_that_names_no_file_is_a_failure_of_that_row(tmp_path: Path, name: str) -> None:
    write_volume(fabricate.volume(), tmp_path / "good.nii")
    (tmp_path / "t.csv").write_text(f"source\n{name}\ngood.nii\n")
    found = find_scans(
        expand_inputs([tmp_path / "t.csv"]), SearchRules(lambda row: FACTOR_2, tmp_path / "out"), lambda count: None
    )
    assert [type(scan.error) for scan in found.scans] == [UnreadableError, type(None)]


def test_a_folder_that_cannot_be_listed_is_a_failure_where_it_was_named_and_else_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_volume(fabricate.volume(), tmp_path / "good.nii")
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(folder: str) -> object:
        if folder.endswith("closed"):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    def refuse_status(path: "str | Path", **rest: object) -> os.stat_result:
        if f"{os.sep}closed{os.sep}" in str(path):
            raise PermissionError(13, "Permission denied", path)
        return status(path, **rest)

    status = os.stat
    monkeypatch.setattr(os, "stat", refuse_status)
    monkeypatch.setattr(os, "scandir", refuse)  # root may list every folder
    found = found_in(tmp_path)
    assert (paths(found), dict(found.ignored)) == (
        ["good"],
        {"folder that cannot be listed, permission denied (closed)": 1},
    )
    (scan,) = found_in(tmp_path / "closed").scans
    assert "cannot be listed (Permission denied)" in str(scan.error)


ALL = replace(FACTOR_2, volume="all")


def test_all_volumes_of_a_file_are_one_scan(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 4, 3), np.int16), np.diag([1, 1, 5, 1])), tmp_path / "dynamic.nii")
    write_volume(fabricate.volume(), tmp_path / "plain.nii")
    dynamic, plain = found_in(tmp_path, settings=ALL).scans
    assert (dynamic.error, dynamic.shape, dynamic.volumes, dynamic.settings.volume) == (None, (8, 8, 4), 3, "all")
    assert (plain.error, plain.volumes, plain.settings.volume) == (None, 1, None)


def test_all_volumes_of_a_series_are_one_scan_that_depends_on_all_of_its_files(tmp_path: Path) -> None:
    for k, echo in enumerate(("5", "40", "90")):
        part = scan_pass(SAME, FIRST + 300 * k, put(EchoTime=echo), modality="MR")
        fabricate.save(part, tmp_path / "study" / ("" if k == 0 else f"echo{k}"))
    single = fabricate.slices(modality="CT")
    fabricate.save(single, tmp_path / "study" / "ct")
    ct, echoes = sorted(found_in(tmp_path, settings=ALL).scans, key=lambda scan: scan.volumes)
    assert (ct.volumes, ct.settings.volume, len(ct.files)) == (1, None, len(single))
    assert (echoes.volumes, echoes.settings.volume, len(echoes.files)) == (3, "all", 3 * len(SAME))
    series = io.list_volumes(echoes.source, series=echoes.settings.series)
    assert (series.count, series.marks[1].label) == (3, "EchoTime 40")
    assert [scan.volumes for scan in found_in(tmp_path).scans] == [1, 1, 1, 1]


def test_stacks_of_two_orientations_are_scans_of_their_own_beside_all_volumes(tmp_path: Path) -> None:
    turned = fabricate.slices(step=(2.4, -3.2, 3.0), orientation=fabricate.OBLIQUE)
    for k, data in enumerate(turned):
        data.SOPInstanceUID, data.InstanceNumber = f"1.2.3.{k + 1}", 50 + k
    fabricate.save([*fabricate.slices(), *turned], tmp_path / "in")
    scans = found_in(tmp_path, settings=ALL).scans
    assert [(scan.volumes, scan.settings.volume) for scan in scans] == [(1, None), (1, None)]
