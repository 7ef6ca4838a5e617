"""Pictures are drawn without a word where the home folder cannot be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DRAW = (
    "import os, sys, numpy as np\n"
    "fonts = len(sys.argv) > 1\n"
    "from saint_cli.report import encode, plotting\n"
    "encode.apply_colours(np.zeros((2, 2)), 1.0)\n"
    "if fonts: import matplotlib.font_manager\n"
    "print(os.environ.get(plotting.MATPLOTLIB_FOLDER, ''), os.environ.get(plotting.CACHE_FOLDER, ''))\n"
)


def drawn(home: str, *arguments: str, **more: str) -> tuple[list[str], str]:
    """The folders that drawing used, and what it said on stderr, with such a home folder."""
    names = ("HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    environment = {k: v for k, v in os.environ.items() if k not in names} | {"HOME": home} | more
    done = subprocess.run(
        [sys.executable, "-c", DRAW, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split(), done.stderr


@pytest.mark.parametrize("kind", ["a file in place of a folder", "a missing root", "a bad setting"])
def test_a_home_that_cannot_be_written_is_no_complaint_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    home = {"a file in place of a folder": tmp_path / "file", "a missing root": Path("/dev/null/home")}.get(kind)
    more = {"MPLCONFIGDIR": str(tmp_path / "file")} if kind == "a bad setting" else {}
    fonts = ["fonts"] if kind == "a missing root" else []  # listing them takes seconds
    folders, said = drawn(str(home or tmp_path), *fonts, **more)
    assert said == ""
    assert all("/saint-" in folder and not Path(folder).exists() for folder in folders)
    assert folders


def test_a_home_that_can_be_written_is_used(tmp_path: Path) -> None:
    (tmp_path / ".config").mkdir()
    folders, said = drawn(str(tmp_path))
    assert (folders, said) == ([], "")
    assert (tmp_path / ".cache" / "matplotlib").is_dir()
