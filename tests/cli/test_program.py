"""The program as a whole: its commands, its version, and what any failure becomes."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from cli.info_runs import scan
from cli.runs import run
from typer.testing import CliRunner

import saint_cli
from saint_cli.cli.app import SaintGroup
from saint_cli.errors import GeometryError


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
