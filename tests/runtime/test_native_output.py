"""Lines of native libraries are caught, and nothing else is."""

import os
import subprocess
import sys
import threading

import pytest

from saint_cli.runtime.native_output import capture_stderr, find_first_error


def test_what_is_written_on_the_descriptor_is_caught(capfd: pytest.CaptureFixture[str]) -> None:
    with capture_stderr() as lines:
        os.write(2, b"first\n\n  last \n")
    os.write(2, b"after")
    assert lines == ["first", "last"]
    assert capfd.readouterr().err == "after"


def test_only_the_end_of_very_much_is_kept() -> None:
    with capture_stderr() as lines:
        os.write(2, b"x" * (1 << 18) + b"\nend\n")
    assert lines[-1] == "end"
    assert sum(map(len, lines)) <= 1 << 16


def test_the_descriptor_is_restored_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), capture_stderr():
        raise ZeroDivisionError
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_blocks_inside_blocks_catch_their_own() -> None:
    with capture_stderr() as outer:
        os.write(2, b"a\n")
        with capture_stderr() as inner:
            os.write(2, b"b\n")
        os.write(2, b"c\n")
    assert (outer, inner) == (["a", "c"], ["b"])


PROGRAM = """
import os, sys, threading
from saint_cli.runtime.native_output import capture_stderr
def speak():
    print("of another thread", file=sys.stderr)
with capture_stderr() as lines:
    os.write(2, b"native\\n")
    thread = threading.Thread(target=speak)
    thread.start(); thread.join()
    held = sys.stderr
print("later", file=held)
assert lines == ["native"], lines
assert sys.stderr.fileno() == 2
"""


def test_what_python_prints_in_other_threads_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "of another thread\nlater\n")


def test_a_process_without_stderr_goes_on() -> None:
    program = "import os; os.close(2)\nfrom saint_cli.runtime.native_output import capture_stderr\n"
    program += "with capture_stderr() as lines: pass\nprint(lines)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n"


def test_threads_take_turns_and_leave_the_descriptor_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    caught: list[list[str]] = []

    def work(number: int) -> None:
        for _ in range(20):
            with capture_stderr() as lines:
                os.write(2, f"{number}\n".encode())
            caught.append(lines)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(caught) == sorted([[str(number)] for number in range(4)] * 20)
    assert capfd.readouterr().err == ""


TRACEBACK = b"""Traceback (most recent call last):
  File "x.py", line 1, in <module>
    raise ImportError("no such library")
ImportError: libfoo.so.1: cannot open shared object file
RuntimeError: a second one
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (TRACEBACK, "ImportError: libfoo.so.1: cannot open shared object file"),
        (b"OpenBLAS: pthread_create failed\n" + TRACEBACK, "ImportError: libfoo.so.1: cannot open shared object file"),
        (b"just noise\n", "here"),
        (b"", "here"),
        (b"torch.cuda.OutOfMemoryError: " + b"x" * 1000, None),
        (b"\xff\xfe MemoryError\nMemoryError\n", "MemoryError"),
    ],
    ids=["traceback", "noise before", "noise", "nothing", "long", "not UTF-8"],
)
def test_the_first_exception_in_the_output_is_the_reason(output: bytes, reason: str | None) -> None:
    reason_found = find_first_error(output.decode(errors="replace").splitlines(), RuntimeError("here"))
    assert "\n" not in reason_found
    assert len(reason_found) <= 300
    assert reason is None or reason_found == reason
