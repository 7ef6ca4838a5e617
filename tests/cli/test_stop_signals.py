"""Ctrl-C and SIGTERM from the first moment to the last, and streams that are closed, full or without a reader."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import saint_cli

ROOT = Path(saint_cli.__file__).parents[1]

BEGIN = """
import atexit, os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
from saint_cli import __main__ as program
"""
"""As Python begins, but that nothing of its own answers Ctrl-C."""

AT_IMPORT = (
    BEGIN
    + """
name, number, way = sys.argv[1], int(sys.argv[2]), sys.argv[3]
del sys.argv[1:4]
sent = []

class Amid:
    def __del__(self):
        os.kill(os.getpid(), number)

def send(event, arguments):
    if event == "import" and arguments[0] == name and not sent:
        sent.append(name)
        if way == "lost":
            Amid()
        elif way == "another error":
            try:
                os.kill(os.getpid(), number)
            except BaseException:
                raise ImportError("initialisation failed") from None
        else:
            os.kill(os.getpid(), number)

sys.addaudithook(send)
program.main()
"""
)


def saint(program: str, *arguments: object, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a program of Python in the place of ``saint``."""
    words = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, **options)


MOMENTS = [
    ("saint_cli.cli.app", "info", "nowhere"),
    ("typer", "info", "nowhere"),
    ("saint_cli.cli.upsample", "info", "nowhere"),
    ("saint_cli.cli.info_view", "info", "nowhere"),
    ("numpy", "info", "nowhere"),
    ("saint_cli.cli.terminal", "info", "nowhere"),
    ("rich", "--help"),
    ("torch", "evaluate", "nowhere"),
    ("torch.nn", "evaluate", "nowhere"),
]


@pytest.mark.parametrize("moment", MOMENTS, ids=[moment[0] for moment in MOMENTS])
def test_ctrl_c_at_any_import_is_one_line(moment: tuple[str, ...]) -> None:
    name, *arguments = moment
    done = saint(AT_IMPORT, name, int(signal.SIGINT), "plain", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "saint: interrupted\n")


@pytest.mark.parametrize("way", ["lost", "another error"])
def test_what_libraries_make_of_ctrl_c_is_still_ctrl_c(way: str) -> None:
    done = saint(AT_IMPORT, "torch.nn", int(signal.SIGINT), way, "evaluate", "nowhere")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "saint: interrupted\n")


@pytest.mark.parametrize("name", ["typer", "numpy"])
def test_ctrl_c_is_one_object_with_json(name: str) -> None:
    done = saint(AT_IMPORT, name, int(signal.SIGINT), "plain", "info", "--json", "nowhere")
    assert (done.returncode, done.stderr) == (130, "saint: interrupted\n")
    assert json.loads(done.stdout) == {"error": "interrupted", "error_class": "KeyboardInterrupt", "exit_code": 130}


@pytest.mark.parametrize("name", ["typer", "numpy"])
def test_sigterm_ends_quietly_with_its_own_code(name: str) -> None:
    done = saint(AT_IMPORT, name, int(signal.SIGTERM), "plain", "info", "nowhere")
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "")


def test_ctrl_c_waits_for_no_other_thread() -> None:
    program = BEGIN + (
        "import threading, time\n"
        "from saint_cli.cli import console\n"
        "threading.Thread(target=time.sleep, args=(100,)).start()\n"
        "console.print_json = lambda document: os.kill(os.getpid(), signal.SIGINT)\n"
        "program.main()"
    )
    done = saint(program, "info", "--json", "nowhere", timeout=60)
    assert (done.returncode, done.stderr) == (130, "saint: interrupted\n")


def test_ctrl_c_as_python_ends_is_one_line() -> None:
    program = BEGIN + "atexit.register(os.kill, os.getpid(), signal.SIGINT)\nprogram.main()"
    done = saint(program, "--version")
    assert (done.returncode, done.stderr) == (130, "saint: interrupted\n")


AS_WORKERS_START = (
    BEGIN
    + """
from distributed.process import AsyncProcess

start = AsyncProcess.start

async def send(process):
    await start(process)
    os.kill(os.getpid(), number)

AsyncProcess.start, number = send, int(sys.argv.pop(1))
program.main()
"""
)


@pytest.mark.parametrize(("number", "line"), [(signal.SIGINT, "saint: interrupted\n"), (signal.SIGTERM, "")])
def test_a_batch_that_is_stopped_while_its_workers_start_ends_without_a_traceback(
    tmp_path: Path, number: signal.Signals, line: str
) -> None:
    voxels = np.arange(256, dtype=np.int16).reshape(8, 8, 4)
    nib.save(nib.Nifti1Image(voxels, np.diag([1, 1, 4, 1])), tmp_path / "scan.nii")
    done = saint(AS_WORKERS_START, int(number), "batch", tmp_path / "scan.nii", tmp_path / "out", "--workers", 1)
    assert (done.returncode, done.stdout) == (128 + number, "")
    first, *rest = done.stderr.splitlines(keepends=True)
    assert first.startswith("1 job with model")
    assert "".join(rest) == line


def test_ctrl_c_twice_at_once_is_once() -> None:
    program = BEGIN + (
        "from saint_cli.cli import console\n"
        "line = console._print_line\n"
        "def twice(*words, **styles):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    line(*words, **styles)\n"
        "console._print_line = twice\n"
        "program.main()"
    )
    done = saint(program, "info", "nowhere")  # whose line is shown: once it raises, then it is skipped
    assert (done.returncode, done.stderr) == (130, "saint: interrupted\n")


def test_ctrl_c_that_the_parent_ignores_is_ignored() -> None:
    program = BEGIN.replace("SIG_DFL", "SIG_IGN") + "os.kill(os.getpid(), signal.SIGINT)\nprogram.main()"
    assert saint(program, "--version").returncode == 0
    program = AT_IMPORT.replace("SIG_DFL", "SIG_IGN")
    assert saint(program, "typer", int(signal.SIGINT), "plain", "--version").returncode == 0


@contextmanager
def held_back() -> Iterator[None]:
    """Ctrl-C waits, here and in processes that are started."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.parametrize("delay_ms", [5, 20, 40, 60, 90, 120, 160, 200, 250, 300, 400, 600])
def test_ctrl_c_after_any_time_is_one_line(delay_ms: int) -> None:
    words = [sys.executable, "-c", f"{BEGIN}program.main()", "info", "nowhere"]
    with held_back():
        running = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with suppress(subprocess.TimeoutExpired):
        running.wait(delay_ms / 1000)
    running.send_signal(signal.SIGINT)
    output, errors = running.communicate(timeout=60)
    done, stopped = "saint: nowhere: no such file or folder\n", "saint: interrupted\n"
    ends = {-2: ("", done), 130: (stopped, done + stopped), 3: (done,)}  # it may come when all has been printed
    assert output == ""
    assert errors in ends[running.returncode]


ENDS = [
    ("models --json >&-", 0, ""),
    ("models >&- 2>&- <&-", 0, ""),
    ("info nowhere 2>&-", 3, ""),
    ("info nowhere 2>/dev/full", 3, ""),
    ("nonsense 2>/dev/full", 2, ""),
    ("models >/dev/full", 5, "saint: standard output cannot be written (No space left on device)\n"),
    ("models --json >/dev/full", 5, "saint: standard output cannot be written (No space left on device)\n"),
    ("--version >/dev/full", 5, "saint: standard output cannot be written (No space left on device)\n"),
    ("--help >/dev/full", 5, "saint: No space left on device\n"),
    ("info --json nowhere >/dev/full 2>/dev/full", 5, ""),
    ("models --json | true; exit ${PIPESTATUS[0]}", 1, ""),
]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(("words", "code", "expected"), ENDS, ids=[words for words, _, _ in ENDS])
def test_streams_that_are_closed_or_full_are_one_line_or_silence(words: str, code: int, expected: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m saint_cli {words}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, expected)


def test_what_the_caller_closed_is_not_opened_for_a_file(tmp_path: Path) -> None:
    program = (
        "import os, sys\nfrom saint_cli.cli import streams\nstreams.open_missing()\n"
        "print('for nobody')\nsys.stdout.flush()\nopen(sys.argv[1], 'w').write(str(os.fstat(1).st_rdev))"
    )
    line = f'{sys.executable} -c "$1" "$2" >&-'
    subprocess.run(["bash", "-c", line, "x", program, str(tmp_path / "file")], cwd=ROOT, check=True)
    assert (tmp_path / "file").read_text() == str(Path(os.devnull).stat().st_rdev)
