"""The process in which GDCM decodes: started, asked, and ended with everything that it has."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from saint_cli.gdcm_worker import READY
from saint_cli.native_output import last_lines
from saint_cli.temporary import TemporaryFolder

BOOT = "import sys; sys.path[:] = sys.argv[2:]; from saint_cli.gdcm_worker import main; main(sys.argv[1])"
"""Finds modules where this process finds them, and none in the folder that it happens to be in."""

ENVIRONMENT = {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
"""Added to that of the process, so that its memory depends little on the number of cores."""


class DecoderStartError(Exception):
    """Why the process could not be started; no fault of any file."""


class ProcessEndedError(Exception):
    """The process is gone or out of step; the text says why."""

    may_pass = False


class ProcessKilledError(ProcessEndedError):
    """The process was killed from outside."""

    may_pass = True


class ProcessLateError(ProcessEndedError):
    """The process took more processor time than any frame needs."""


class ProcessSilentError(ProcessLateError):
    """The process did not answer, perhaps for others took the processor."""

    may_pass = True


def file_within(folder: TemporaryFolder) -> Path:
    """The file that a process with this folder reads."""
    return folder.path / "pixels.dcm"


def worker_command(path: Path) -> list[str]:
    """The command that starts the process, which will decode the file ``path``.

    Raises:
        DecoderStartError: this is a program that was packed together with its interpreter.
    """
    from multiprocessing import spawn  # programs that embed Python name an interpreter there

    executable = os.fsdecode(spawn.get_executable() or "")
    if not executable or (getattr(sys, "frozen", False) and executable == sys.executable):
        raise DecoderStartError("no Python interpreter; name one with multiprocessing.set_executable")
    return [executable, "-W", "ignore", "-c", BOOT, str(path), *(str(entry) or os.curdir for entry in sys.path)]


@dataclass
class DecoderProcess:
    """The process, what it writes on stderr, and the folder of the file that it reads."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    folder: TemporaryFolder
    is_used: bool = False

    @property
    def path(self) -> Path:
        """The file that the process reads."""
        return file_within(self.folder)

    def lines(self) -> list[str]:
        """What the process wrote since the last call."""
        found = last_lines(self.errors)
        self.errors.seek(0)  # the process has the same place in the file
        self.errors.truncate()
        return found

    def end(self) -> None:
        """End the process now, whatever it does, and remove its folder."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                assert pipe is not None
                pipe.close()
        self.process.wait()
        self.errors.close()
        self.folder.remove()


def start_process(seconds: float) -> DecoderProcess:
    """A process that is ready, after so many seconds at most.

    Raises:
        DecoderStartError: it cannot be started.
    """
    with contextlib.ExitStack() as made:
        try:
            folder = TemporaryFolder(_folder_for_gdcm())
            made.callback(folder.remove)
            errors = made.enter_context(tempfile.TemporaryFile(buffering=0))
            process = subprocess.Popen(
                worker_command(file_within(folder)),
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **ENVIRONMENT},
                start_new_session=True,  # Ctrl-C is for this process, which ends the other
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise DecoderStartError(error.strerror or type(error).__name__) from None
        worker = DecoderProcess(process, errors, folder)
        made.callback(worker.end)
        try:
            with answers_within(seconds, worker):
                if receive(worker, len(READY)) != READY:
                    raise ProcessEndedError("it is no Python interpreter")
        except ProcessEndedError as ended:
            raise DecoderStartError((worker.lines() or [str(ended)])[-1][:160]) from None
        made.pop_all()
    return worker


def receive(worker: DecoderProcess, size: int) -> bytearray:
    """So many bytes of what the process answers."""
    received = bytearray(size)
    view = memoryview(received)
    assert worker.process.stdout is not None
    while view:
        count = worker.process.stdout.readinto(view)  # type: ignore[attr-defined]  # unbuffered: a FileIO
        if not count:
            raise EOFError
        view = view[count:]
    return received


@contextlib.contextmanager
def answers_within(seconds: float, worker: DecoderProcess, cpu_seconds: int = 0) -> Iterator[None]:
    """Kill the process after so many seconds, which ends any exchange with it; tell why an exchange ended.

    Raises:
        ProcessEndedError: the process took too long, or is gone.
    """
    is_late = threading.Event()

    def kill() -> None:
        is_late.set()
        worker.process.kill()

    timer = threading.Timer(seconds, kill)
    timer.start()
    try:
        yield
    except (EOFError, OSError):
        timer.cancel()
        try:
            code = worker.process.wait(1)
        except subprocess.TimeoutExpired:
            raise ProcessEndedError("the decoder stopped answering") from None
        if is_late.is_set():
            raise ProcessSilentError(f"the decoder took more than {seconds:.0f} s") from None
        raise _end(code, cpu_seconds) from None
    finally:
        timer.cancel()


def _end(code: int, cpu_seconds: int) -> ProcessEndedError:
    """How a process ended, by its exit code."""
    if code >= 0:
        return ProcessEndedError(f"the decoder ended by itself, exit code {code if code < 256 else hex(code)}")
    name = next((one.name for one in signal.Signals if one == -code), f"signal {-code}")
    if name == "SIGXCPU":
        return ProcessLateError(f"the decoder took more than {cpu_seconds} s of processor time")
    if name == "SIGKILL":
        return ProcessKilledError("the decoder was killed, perhaps for lack of memory")
    return ProcessEndedError(f"the decoder crashed, {name}")


def _folder_for_gdcm() -> str | None:
    """Where to put a copy for GDCM, which ends the process over a path that is not UTF-8; None for the usual place."""
    usual = tempfile.gettempdir()
    try:
        usual.encode()
    except UnicodeEncodeError:
        return next((folder for folder in ("/tmp", "/var/tmp", "/dev/shm") if os.access(folder, os.W_OK)), usual)
    return None
