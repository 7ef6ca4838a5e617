"""How saint info groups the stacks of a DICOM folder, and names them."""

import json
import re
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import fabricate
import pytest
from cli.info_runs import TO, called, one_line
from cli.runs import run
from pydicom.dataset import Dataset
from scan_passes import FIRST, SAME, SECOND, put, rising, scan_pass

from saint_cli.errors import GeometryError, UsageError
from saint_cli.io import read_volume


def test_a_single_slice_is_called_one(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(1), tmp_path / "one")
    shown = run("info", folder).stdout
    assert "single slice" in shown
    assert "uniform" not in shown
    assert "cannot be upsampled" in shown
    assert json.loads(run("info", "--json", folder).stdout)[0]["stacks"][0]["uniform"] is None


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_the_end_of_a_uid_stays_in_one_piece_and_can_be_given_to_series(
    columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    series, other = fabricate.slices(), fabricate.slices(4)
    for data in other:
        data.SeriesInstanceUID = f"1.2.3.{data.SeriesInstanceUID[-20:]}"
        data.SOPInstanceUID = extended(data.SOPInstanceUID, 1)
    fabricate.save(series + other, tmp_path / "series")
    ends = re.findall(r"UID …(\S+)", one_line(run("info", tmp_path / "series").stdout))
    assert len(set(ends)) == 2
    assert {read_volume(tmp_path / "series", series=end).shape[2] for end in ends} == {4, 6}


def test_a_series_without_uid_has_no_end_of_one(tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series:
        del data.SeriesInstanceUID
    shown = one_line(run("info", fabricate.save(series, tmp_path / "series")).stdout)
    assert "CT" in shown
    assert "UID" not in shown


def extended(uid: str, number: int) -> str:
    """Another UID that ends on a number; none has more than 64 characters."""
    return f"{uid[:55]}.{number}"


def volumes_of_one_series(count: int) -> list[Dataset]:
    """A series that visits every position ``count`` times, at another EchoTime each."""
    series = []
    for k in range(count):
        for data in fabricate.slices(4, modality="MR"):
            data.EchoTime, data.InstanceNumber = 10.0 * (k + 1), 4 * k + data.InstanceNumber
            data.SOPInstanceUID = extended(data.SOPInstanceUID, k)
            series.append(data)
    return called(series, "T2 mapping", 7)


def test_volumes_that_are_alike_are_one_block_that_says_how_they_differ(tmp_path: Path) -> None:
    folder = fabricate.save(volumes_of_one_series(10), tmp_path / "series")
    shown = run("info", folder).stdout
    for words in (
        "10 DICOM volumes",
        f' 1{TO}10  MR DICOM, SeriesNumber 7 "T2 mapping", volumes 1{TO}10',
        "1=10, 2=20",
        "10=100",
    ):
        assert words in shown
    assert shown.count("would produce") == 1
    assert f"`saint upsample --series N` (N = 1{TO}10)" in shown
    assert "`saint upsample --series 1 --volume all` takes the 10 volumes together" in shown
    assert len(shown.splitlines()) <= 10
    assert len(json.loads(run("info", "--json", folder).stdout)[0]["stacks"]) == 10


@pytest.mark.parametrize("what", ["phase map", "slice missing", "apart"])
def test_all_volumes_are_offered_together_only_where_volume_all_takes_them(what: str, tmp_path: Path) -> None:
    series = volumes_of_one_series(3)
    for data in series[8:]:
        data.ImageType = ["ORIGINAL", "PRIMARY", "P" if what == "phase map" else "M"]
        data.ImagePositionPatient[0] += 3.0 if what == "apart" else 0.0
    folder = fabricate.save(series[: 11 if what == "slice missing" else 12], tmp_path / "series")
    refused = run("upsample", folder, "--volume", "all", "-o", tmp_path / "x.nii.gz")
    assert refused.exit_code == GeometryError.exit_code
    assert "--volume all needs volumes of one size and place that can all be upsampled" in one_line(refused.stderr)
    shown = one_line(run("info", folder).stdout)
    assert "--volume all" not in shown
    stacks = json.loads(run("info", "--json", folder).stdout)[0]["stacks"]
    assert [stack["series_volumes"] for stack in stacks] == [3, 3, 3]
    (problem,) = {stack["series_problem"] for stack in stacks}
    assert f"{problem}; --volume all needs" in one_line(refused.stderr)
    assert shown.count("The 3 volumes cannot be taken together: ") == 1
    assert f"The 3 volumes cannot be taken together: {problem}" in shown
    asked = one_line(run("upsample", folder, "-o", tmp_path / "x.nii.gz").stderr)
    assert "choose one with --volume: " in asked


@pytest.mark.parametrize("flag", ["--irregular", "--split-runs"])
def test_all_volumes_are_not_offered_together_with_options_that_volume_all_refuses(flag: str, tmp_path: Path) -> None:
    series = volumes_of_one_series(2)
    if flag == "--irregular":
        del series[6], series[2]
    folder = fabricate.save(series, tmp_path / "series")
    refused = run("upsample", folder, "--volume", "all", flag, "-o", tmp_path / "x.nii.gz")
    assert refused.exit_code == UsageError.exit_code
    shown = one_line(run("info", folder, flag).stdout)
    assert "2 DICOM volumes" in shown
    assert "takes the 2 volumes together" not in shown
    stacks = json.loads(run("info", "--json", folder, flag).stdout)[0]["stacks"]
    (problem,) = {stack["series_problem"] for stack in stacks}
    assert f"{problem}" in one_line(refused.stderr)
    assert f"The 2 volumes cannot be taken together: {problem}" in shown


def test_why_volumes_do_not_go_together_is_not_said_where_none_can_be_upsampled(tmp_path: Path) -> None:
    series = volumes_of_one_series(2)
    del series[6], series[2]
    shown = run("info", fabricate.save(series, tmp_path / "series")).stdout
    assert shown.count("slices are missing") == 1
    assert "taken together" not in shown


@pytest.mark.parametrize("flags", [["--irregular"], ["--merge", "--irregular"]])
def test_the_command_for_an_uneven_stack_among_several_names_it(flags: list[str], tmp_path: Path) -> None:
    series, other = fabricate.slices(), fabricate.slices()
    del other[3]
    for data in other:
        data.SeriesInstanceUID, data.SOPInstanceUID = (
            extended(data.SeriesInstanceUID, 2),
            extended(data.SOPInstanceUID, 2),
        )
    folder = fabricate.save(series + other, tmp_path / "series")
    (uneven,) = (
        stack["number"]
        for stack in json.loads(run("info", "--json", folder, *flags).stdout)[0]["stacks"]
        if stack["slice_positions"]
    )
    command = f"saint upsample {' '.join(flags)} --series {uneven}"
    assert f"`{command}` interpolates each gap" in one_line(run("info", folder, *flags).stdout)
    assert read_volume(folder, series=str(uneven), irregular=True).header.slice_positions


def test_uneven_volumes_of_one_series_are_named_by_their_numbers(tmp_path: Path) -> None:
    series = volumes_of_one_series(2)
    del series[6], series[2]
    shown = one_line(run("info", "--irregular", fabricate.save(series, tmp_path / "series")).stdout)
    assert f"`saint upsample --irregular --series N` (N = 1{TO}2) interpolates each gap" in shown


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_both_ways_to_take_an_uneven_stack_are_refused_as_upsample_refuses_them(
    form: list[str], tmp_path: Path
) -> None:
    series = fabricate.slices()
    del series[3]
    folder = fabricate.save(series, tmp_path / "series")
    flags = ["--split-runs", "--irregular", *form]
    shown, refused = run("info", folder, *flags), run("upsample", folder, "-o", tmp_path / "x.nii.gz", *flags)
    assert shown.exit_code == refused.exit_code == UsageError.exit_code
    assert (shown.stdout, shown.stderr) == (refused.stdout, refused.stderr)
    assert "--irregular takes an uneven stack whole" in one_line(shown.stderr)


def test_a_volume_that_differs_from_its_neighbours_has_a_block_of_its_own(tmp_path: Path) -> None:
    series = volumes_of_one_series(3)
    for data in series[4:8]:
        data.SliceThickness = 4.0
    shown = run("info", fabricate.save(series, tmp_path / "series")).stdout
    heads = [line.split()[0] for line in shown.splitlines() if "MR DICOM" in line]
    assert heads == ["1", "2", "3"]
    assert shown.count("--volume all") == 1
    assert "`saint upsample --series 1 --volume all` takes the 3 volumes together" in shown


@pytest.mark.parametrize("order", ["AcquisitionTime", "InstanceNumber"])
def test_what_passes_differ_in_is_said_by_their_warning_alone(order: str, tmp_path: Path) -> None:
    first, second = (
        scan_pass(SAME, value, rising("AcquisitionTime", start) if order == "AcquisitionTime" else put())
        for value, start in ((FIRST, 43200), (SECOND, 43260))
    )
    shown = run("info", fabricate.save([*first, *second], tmp_path / "series")).stdout
    what = "AcquisitionTime" if order == "AcquisitionTime" else "the order of InstanceNumber only"
    assert f"the slices are 2 volumes, separated by {what}" in shown
    assert "distinguished by" not in shown


def test_what_is_said_of_several_blocks_is_said_once_with_their_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    for number, count in ((1, 1), (2, 6), (3, 1), (4, 5)):
        series = called(fabricate.slices(count, modality="MR"), f"series {number}", number)
        for data in series:
            data.SeriesInstanceUID = extended(data.SeriesInstanceUID, number)
            data.SOPInstanceUID = extended(data.SOPInstanceUID, number)
            data.SpacingBetweenSlices = 2.0
        fabricate.save(series, folder)
    shown = run("info", folder).stdout
    assert shown.count("cannot be upsampled") == 1
    assert "cannot be upsampled (1, 3): nothing to interpolate" in shown
    assert shown.count("warning") == 1
    assert "warning (2, 4): SpacingBetweenSlices says 2 mm" in shown


def test_a_series_is_shown_by_its_number_and_description_made_harmless(tmp_path: Path) -> None:
    series = fabricate.slices()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom would rather not write this
        for data in series:
            data.SpecificCharacterSet = "ISO_IR 192"
        folder = fabricate.save(called(series, "a\x1b[31mb\n\u202e" + "c" * 90, 12), tmp_path / "series")
    shown = run("info", folder).stdout
    assert 'CT DICOM, SeriesNumber 12 "a?[31mb' in shown
    (stack,) = json.loads(run("info", "--json", folder).stdout)[0]["stacks"]
    assert stack["series_number"] == 12
    assert stack["series_description"].isprintable()
    assert len(stack["series_description"]) == 64
    assert "\x1b" not in shown


def test_the_protocol_stands_for_a_missing_description(tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series:
        del data.SeriesDescription
        data.ProtocolName = "Knee"
    assert 'SeriesNumber 4 "Knee"' in run("info", fabricate.save(series, tmp_path / "series")).stdout


def patients(tree: Path, counts: Sequence[int]) -> Path:
    """A folder of patients, each with a series of so many slices in a folder of its own."""
    for patient, count in enumerate(counts, 1):
        series = fabricate.slices(count)
        for data in series:
            data.SeriesInstanceUID = extended(data.SeriesInstanceUID, patient)
            data.SOPInstanceUID = extended(data.SOPInstanceUID, patient)
        fabricate.save(series, tree / f"patient{patient}" / "thorax")
    return tree


def test_the_folder_of_each_series_is_said_where_series_lie_in_several(tmp_path: Path) -> None:
    tree = patients(tmp_path / "tree", (6, 6, 7))
    shown = run("info", tree).stdout
    assert "in folders 1=patient1/thorax, 2=patient2/thorax" in shown
    assert "in folder patient3/thorax" in shown
    assert "in folder" not in run("info", tree / "patient3").stdout
    (found,) = json.loads(run("info", "--json", tree).stdout)
    assert [stack["folder"] for stack in found["stacks"]] == [f"patient{k}/thorax" for k in (1, 2, 3)]


def test_the_folder_of_a_series_is_relative_to_what_was_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = patients(tmp_path / "tree", (6,))
    monkeypatch.chdir(tree)
    for path, folder in (("../tree", "patient1/thorax"), ("patient1/thorax", "."), ("patient1/thorax/0000.dcm", ".")):
        (found,) = json.loads(run("info", "--json", path).stdout)
        assert [stack["folder"] for stack in found["stacks"]] == [folder]


def test_a_series_whose_files_lie_in_several_folders_is_in_the_one_around_them(tmp_path: Path) -> None:
    series = fabricate.slices()
    fabricate.save(series[:3], tmp_path / "tree" / "scan" / "a")
    fabricate.save(series[3:], tmp_path / "tree" / "scan" / "b")
    (found,) = json.loads(run("info", "--json", tmp_path / "tree").stdout)
    assert [stack["folder"] for stack in found["stacks"]] == ["scan"]


def test_a_series_in_a_zip_file_is_in_no_folder(tmp_path: Path) -> None:
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", patients(tmp_path / "tree", (6, 7)))
    (found,) = json.loads(run("info", "--json", packed).stdout)
    assert [stack["folder"] for stack in found["stacks"]] == ["", ""]
