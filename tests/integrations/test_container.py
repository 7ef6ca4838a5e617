"""The container: its file, and that saint needs no home, no network and no folder but its output's."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import saint_cli

ROOT = Path(__file__).parents[2]
CONTAINER = ROOT / "integrations" / "container"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read_steps() -> list[tuple[str, str]]:
    """Each instruction of the Containerfile and its text, in their order."""
    lines = (CONTAINER / "Containerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


def steps_of(instruction: str) -> list[str]:
    return [text for name, text in read_steps() if name == instruction]


def last_stage() -> list[tuple[str, str]]:
    steps = read_steps()
    return steps[max(number for number, (name, _) in enumerate(steps) if name == "FROM") :]


def test_the_image_runs_as_a_user_who_is_not_root() -> None:
    users = [text for name, text in last_stage() if name == "USER"]
    assert users
    assert all(int(number) > 0 for number in users[-1].split(":"))  # a number, so that orchestrators can check it
    changes = [name for name, _ in last_stage()[last_stage().index(("USER", users[-1])) :]]
    assert "RUN" not in changes
    assert "COPY" not in changes


def test_the_entry_point_is_the_command() -> None:
    (entry_point,) = (text for name, text in last_stage() if name == "ENTRYPOINT")
    (folder,) = (text.split()[-1] for name, text in last_stage() if name == "COPY")
    assert entry_point == f'["{folder}/bin/saint"]'
    assert "saint" in PROJECT["scripts"]


def test_everything_that_is_copied_is_there_and_let_through() -> None:
    ignored = (CONTAINER / "Containerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    sources = [name for text in steps_of("COPY") if "--from" not in text for name in text.split()[:-1]]
    assert "*" in ignored
    assert "weights" in sources
    assert set(sources) == let_through
    assert all((ROOT / name).exists() for name in sources)


def test_no_step_brings_anything_from_an_address() -> None:
    text = (CONTAINER / "Containerfile").read_text(encoding="utf-8")
    assert "ADD" not in [name for name, _ in read_steps()]
    assert "://" not in text
    assert not re.search(r"curl|wget|password|secret|token", text, re.IGNORECASE)


def test_the_base_has_a_python_that_saint_supports() -> None:
    base = next(text for text in steps_of("ARG") if text.startswith("BASE="))
    found = re.fullmatch(r"BASE=python:3\.(\d+)-slim", base)
    assert found is not None
    assert int(found[1]) >= int(PROJECT["requires-python"].removeprefix(">=3."))
    assert all("${BASE}" in text for text in steps_of("FROM"))


def test_versions_are_pinned_and_extras_exist() -> None:
    installs = [text for text in steps_of("RUN") if "pip install" in text]
    assert len(installs) == 1
    assert "-c /src/constraints.txt" in installs[0]
    (extras,) = (text.removeprefix("EXTRAS=") for text in steps_of("ARG") if text.startswith("EXTRAS="))
    assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()


def test_the_labels_are_those_of_the_open_container_initiative() -> None:
    labels = dict(word.split("=", 1) for text in steps_of("LABEL") for word in shlex.split(text))
    prefix = "org.opencontainers.image."
    assert {name.removeprefix(prefix) for name in labels} >= {"title", "description", "version", "licenses", "source"}
    assert labels[f"{prefix}version"] == saint_cli.__version__
    assert labels[f"{prefix}licenses"] == PROJECT["license"]


def test_the_page_explains_every_build_argument() -> None:
    page = (ROOT / "docs" / "container.md").read_text(encoding="utf-8")
    assert all(f"`{text.partition('=')[0]}`" in page for text in steps_of("ARG"))


LOOPBACK = """
import fcntl, socket, struct
with socket.socket() as one:
    fcntl.ioctl(one, 0x8914, struct.pack("16sh", b"lo", 0x41))  # SIOCSIFFLAGS: up, running
"""

SEAL = """
set -e
mount --bind "$1" "$1"
cd "$1"
mount -o remount,bind,ro /
"$2" -c "$3"
shift 3
exec unshare --user --map-user=12345 --map-group=12345 "$@"
"""
"""A shell program: /, but for a folder, becomes read-only, the loopback goes up, and a command runs as nobody known."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small scan in a folder of its own."""
    voxels = np.random.default_rng(1).integers(-200, 200, (24, 20, 8)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 1.0, 4.0, 1.0])), tmp_path / "scan.nii")
    return tmp_path


@pytest.fixture
def sealed(folder: Path) -> list[str]:
    """The words before a command that give it a read-only root but for ``folder``, no network and an unknown user."""
    words = ["unshare", "--mount", "--net", "sh", "-c", SEAL, "sh", str(folder), sys.executable, LOOPBACK]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no leave to make name spaces")
    return words


COMMANDS = {
    "version": ["--version"],
    "info": ["info", "scan.nii"],
    "upsample": [
        "upsample",
        "scan.nii",
        "--factor",
        "2",
        "-o",
        "x2.nii.gz",
        "--report",
        "x2.html",
        "--preview",
        "x2.png",
    ],
    "batch": ["batch", "scan.nii", "out", "--factor", "2", "--workers", "1"],
    "evaluate": ["evaluate", "scan.nii", "--factor", "2", "--figure", "errors.png"],
}

COMPLAINTS = re.compile(r"[A-Z]\w*Warning|[Cc]ache|[Pp]ermission denied|[Rr]ead-only|Traceback")
"""What libraries say of places that they cannot write."""


def run_without_a_home(words: list[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """saint in an environment with nothing but what a container has."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "TMPDIR": str(folder),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        **more,
    }
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_saint_runs_as_an_unknown_user_with_a_read_only_root_and_no_network(
    command: list[str], folder: Path, sealed: list[str]
) -> None:
    done = run_without_a_home([*sealed, sys.executable, "-m", "saint_cli", *command], folder)
    assert done.returncode == 0, done.stderr
    assert not COMPLAINTS.search(done.stderr), done.stderr
    assert not list(folder.glob("saint-*"))


def test_the_seal_holds(folder: Path, sealed: list[str]) -> None:
    program = (
        "import os, pwd, socket\n"
        "assert os.getuid() == 12345\n"
        "assert not os.access('/', os.W_OK) and os.access('.', os.W_OK)\n"
        "try:\n    socket.create_connection(('192.0.2.1', 80), 1)\n"
        "except OSError:\n    print('alone')\n"
    )
    done = run_without_a_home([*sealed, sys.executable, "-c", program], folder)
    assert done.stdout == "alone\n", done.stderr


def test_saint_runs_without_a_home(folder: Path) -> None:
    done = run_without_a_home([sys.executable, "-m", "saint_cli", *COMMANDS["upsample"]], folder)
    assert done.returncode == 0, done.stderr
    assert not COMPLAINTS.search(done.stderr), done.stderr
    assert (folder / "x2.html").stat().st_size > 0
