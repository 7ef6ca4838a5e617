"""``saint info`` and the frame every command runs in."""

import errno
import io
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import fabricate
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import typer
from pydicom.dataset import Dataset
from typer.testing import CliRunner, Result

import saint_cli
from saint_cli.cli import console, progress_display
from saint_cli.cli.app import SaintGroup, app
from saint_cli.errors import GeometryError
from saint_cli.io import read_volume, write_volume

TO = "\N{EN DASH}"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def one_line(text: str) -> str:
    return " ".join(text.split())


def scan(folder: Path) -> Path:
    write_volume(fabricate.volume(), folder / "scan.nii.gz")
    return folder / "scan.nii.gz"


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


def called(series: list[Dataset], description: str, number: int = 4) -> list[Dataset]:
    for data in series:
        data.SeriesDescription, data.SeriesNumber = description, number
    return series


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


def test_a_volume_that_differs_from_its_neighbours_has_a_block_of_its_own(tmp_path: Path) -> None:
    series = volumes_of_one_series(3)
    for data in series[4:8]:
        data.SliceThickness = 4.0
    shown = run("info", fabricate.save(series, tmp_path / "series")).stdout
    heads = [line.split()[0] for line in shown.splitlines() if "MR DICOM" in line]
    assert heads == ["1", "2", "3"]


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


def several(path: Path, count: int, spacing: tuple[float, float, float] = (0.8, 0.8, 4.0)) -> Path:
    """A NIfTI file of ``count`` volumes."""
    voxels = np.zeros((9, 8, 5, count), np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([*spacing, 1.0])), path)
    return path


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


@pytest.mark.parametrize("columns", [80, 160])
def test_no_line_is_wider_than_the_terminal(columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    folder = tmp_path / "study"
    tilted = called(
        fabricate.slices(step=(0.0, 1.2, 4.8)), "A series whose description takes the whole of the line to itself"
    )
    gap = fabricate.slices(modality="MR")
    del gap[2]
    fabricate.save(tilted + gap, folder)
    several(folder / "dynamic.nii", 12)
    monkeypatch.chdir(tmp_path)
    lines = run("info", "study").stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert not any(line.count("`") % 2 for line in lines)


def test_elsewhere_than_on_a_terminal_a_sentence_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    gap = fabricate.slices()
    del gap[2]
    shown = run("info", fabricate.save(gap, tmp_path / ("long name " * 12))).stdout
    assert any(
        "cannot be upsampled: slices are missing" in x and x.endswith("--split-runs") for x in shown.splitlines()
    )


def test_control_characters_of_file_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    name = tmp_path / "a\x1b[31mb\nc.nii"
    name.write_bytes(b"no scan")
    result = run("info", name)
    assert result.exit_code == 3
    assert "\x1b" not in result.output
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_the_commands(option: str) -> None:
    result = run(option)
    assert result.exit_code == 0
    assert "info" in result.stdout


def test_the_version_is_the_packages() -> None:
    assert run("--version").stdout == f"saint {saint_cli.__version__}\n"


@pytest.mark.parametrize("arguments", [("nonsense",), ("info",), ("info", "--nonsense")])
def test_wrong_usage_exits_with_two(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


FAILURES = [
    (GeometryError("slices are missing"), 4, "saint: slices are missing"),
    (KeyboardInterrupt(), 130, "saint: interrupted"),
    (OSError(errno.ENOSPC, "No space left on device", "out.nii"), 5, "saint: No space left on device: out.nii"),
    (MemoryError(), 1, "saint: not enough memory"),
]


@pytest.mark.parametrize(("failure", "code", "line"), FAILURES, ids=["saint", "ctrl-c", "disk full", "memory"])
def test_every_failure_is_one_line_and_an_exit_code(failure: BaseException, code: int, line: str) -> None:
    broken = typer.Typer(cls=SaintGroup)

    @broken.callback()
    def _group() -> None:
        pass

    @broken.command()
    def fails() -> None:
        raise failure

    result = CliRunner().invoke(broken, ["fails"])
    assert result.exit_code == code
    assert result.stderr.startswith(line)
    assert len(result.stderr.splitlines()) == 1


def test_a_reader_that_goes_away_ends_the_program_quietly(tmp_path: Path) -> None:
    paths = [str(scan(tmp_path))] * 40
    program = [sys.executable, "-m", "saint_cli", "info", *paths]
    root = Path(saint_cli.__file__).parents[1]
    with subprocess.Popen(program, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        errors = running.stderr.read()
    assert b"Traceback" not in errors


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("delay_s", "is_shown"), [(-1.0, True), (1000.0, False)])
def test_files_are_counted_on_a_terminal_when_they_take_long(
    delay_s: float, is_shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_display, "COUNT_DELAY_S", delay_s)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with progress_display.show_counter("files read") as show_count:
        show_count(1234)
    assert isinstance(sys.stderr, Terminal)
    assert ("files read: 1234" in sys.stderr.getvalue()) == is_shown


def test_nothing_is_counted_where_stderr_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_display, "COUNT_DELAY_S", -1.0)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_display.show_counter("files read") as show_count:
        show_count(1234)
    assert isinstance(sys.stderr, io.StringIO)
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize("room", [10, 24, 80])
def test_folding_keeps_words_options_and_numbers_with_their_mm_whole(room: int) -> None:
    text = "ends 0.53 mm before the last; `--factor 6 or more` ends exactly on it, 断层 at a_name_that_is_longer.nii"
    pieces = console.fold(text, room)
    assert " ".join(pieces) == text
    for whole in ("0.53 mm", "`--factor 6 or more`", "a_name_that_is_longer.nii"):
        assert any(whole in piece for piece in pieces)


ODD_NAMES = ["M\udcfcller.nrrd", "a\nb.mha", "a\x1b[31mb.nii", "\N{BRAIN}.nii.gz", "-rf.nrrd", "[bold]x[.mha"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii:strict"])
def test_names_that_a_terminal_cannot_show_are_shown_otherwise(tmp_path: Path, encoding: str) -> None:
    for name in ODD_NAMES:
        write_volume(fabricate.volume(), tmp_path / name)
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "LC_ALL": "C"}
    root = Path(saint_cli.__file__).parents[1]
    paths = [os.fsencode(tmp_path / name) for name in [*ODD_NAMES, "nowhere\udcff.nii"]]
    for option in ([], [b"--json"]):
        words = [sys.executable.encode(), b"-m", b"saint_cli", b"info", *option, b"--", *paths]
        done = subprocess.run(words, cwd=root, env=environment, capture_output=True, check=False)
        assert done.returncode == 3, done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert b"no such file" in done.stderr
        assert b"\x1b" not in done.stdout
    found = json.loads(done.stdout.decode("utf-8"))
    assert [Path(one["path"]).name for one in found] == [*ODD_NAMES, "nowhere\udcff.nii"]
    assert [one["exit_code"] for one in found] == [0] * len(ODD_NAMES) + [3]


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
