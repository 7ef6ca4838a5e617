"""What saint info writes on terminals that are narrow or poor, and elsewhere."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import fabricate
import pytest
from cli.info_runs import called, several
from cli.runs import run

import saint_cli
from saint_cli.cli import console, progress_display
from saint_cli.io import write_volume


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
