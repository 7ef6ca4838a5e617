"""``saint info`` and the frame every command runs in."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import fabricate
import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

import saint_cli
from saint_cli import console
from saint_cli.cli import SaintGroup, app
from saint_cli.errors import GeometryError
from saint_cli.io import write_volume


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


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


def test_a_tilted_stack_is_told_along_the_table_and_along_the_normal(tmp_path: Path) -> None:
    series = fabricate.slices(step=(0.0, 1.2, 4.8))
    for one in series:
        one.SpacingBetweenSlices = 4.948
    text = " ".join(run("info", fabricate.save(series, tmp_path / "series")).stdout.split())
    assert "kept as acquired, 4.948 mm along the table, 4.8 mm along the normal" in text
    assert "SpacingBetweenSlices says" not in text


def test_a_nearly_isotropic_stack_is_said_to_need_a_wish_and_upsample_says_so_too(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(4, step=(0.0, 0.0, 0.55)), tmp_path / "series")
    shown = run("info", folder).stdout
    assert "upsample needs --factor or --spacing for it" in shown
    refused = run("upsample", folder, "-o", tmp_path / "o.nii.gz", "-m", "fast")
    assert refused.exit_code == 2
    assert "give --factor, or a smaller --spacing" in " ".join(refused.stderr.split())


def test_no_patient_text_is_shown(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "series")
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
    for expected in (words, "InstanceNumber descending", "upsample makes 16 x 12 x 51 at 0.5 x 0.75 x 0.5 mm"):
        assert expected in shown


def nifti(path: Path, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Path:
    write_volume(fabricate.volume(shape, affine_lps=np.diag([*spacing, 1.0])), path)
    return path


def test_beyond_sixteen_to_one_the_finest_wishes_are_named(tmp_path: Path) -> None:
    shown = run("info", nifti(tmp_path / "wide.nii", (9, 8, 5), (0.3, 0.3, 6.0))).stdout
    assert "isotropic voxels would take a factor of 20" in shown
    assert "--factor 16 or less, or --spacing 0.375 or more" in shown
    out = ("-m", "fast", "-o", tmp_path / "out.nii")
    assert run("upsample", tmp_path / "wide.nii", "--spacing", "0.375", *out).exit_code == 0


@pytest.mark.parametrize(("in_plane", "told"), [(0.7, ["0.6 mm before the last acquired", "--factor 6"]), (0.8, [])])
def test_a_last_slice_that_the_default_grid_misses_is_told(in_plane: float, told: list[str], tmp_path: Path) -> None:
    shown = run("info", nifti(tmp_path / "scan.nii", (9, 8, 5), (in_plane, in_plane, 4.0))).stdout
    assert "upsample makes" in shown
    assert ("before the last acquired" in shown) == bool(told)
    for words in told:
        assert words in shown


def test_a_single_slice_is_called_one(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(1), tmp_path / "one")
    shown = run("info", folder).stdout
    assert "single slice" in shown
    assert "uniform" not in shown
    assert json.loads(run("info", "--json", folder).stdout)[0]["stacks"][0]["uniform"] is None


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_the_end_of_a_uid_stays_in_one_piece_and_can_be_given_to_series(
    columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    series = fabricate.slices()
    shown = run("info", fabricate.save(series, tmp_path / "series")).stdout
    end = series[0].SeriesInstanceUID[-20:]
    assert any(end in line for line in shown.splitlines())


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
        told = running.stderr.read()
    assert b"Traceback" not in told


def test_printable_keeps_text_and_drops_controls() -> None:
    assert console.printable("Ä b\tc\nd\x07\udcff") == "Ä b c d??"
