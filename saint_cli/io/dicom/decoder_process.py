"""The process in which GDCM decodes: its start, the exchange with it, and its end."""

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

from saint_cli.io.dicom import gdcm_worker
from saint_cli.io.dicom.gdcm_worker import READY
from saint_cli.runtime.native_output import read_last_lines
from saint_cli.runtime.temporary import TemporaryFolder

ENVIRONMENT = {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
"""Added to that of the process, so that its memory depends little on the number of cores."""


class DecoderStartError(Exception):
    """Why the process could not be started; no fault of any file."""


class ProcessEndedError(Exception):
    """The process is gone or out of step; the text says why.

    is_late: it took more time than any frame needs. is_transient: the cause may lie outside the frame, as where the
    process was killed, or did not answer because others took the processor.
    """

    def __init__(self, reason: str, *, is_late: bool = False, is_transient: bool = False) -> None:
        super().__init__(reason)
        self.is_late, self.is_transient = is_late, is_transient


def build_worker_command(path: Path) -> list[str]:
    """The command that starts the process, which will decode the file ``path``.

    Raises:
        DecoderStartError: this is a program that was packed together with its interpreter.
    """
    from multiprocessing import spawn  # programs that embed Python name an interpreter there

    executable = os.fsdecode(spawn.get_executable() or "")
    if not executable or (getattr(sys, "frozen", False) and executable == sys.executable):
        raise DecoderStartError("no Python interpreter; name one with multiprocessing.set_executable")
    search_path = (str(entry) or os.curdir for entry in sys.path)
    return [executable, "-P", "-W", "ignore", gdcm_worker.__file__, str(path), *search_path]


@dataclass
class DecoderProcess:
    """The process, what it writes on stderr, and the file that it reads in a folder of its own."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    folder: TemporaryFolder
    path: Path
    is_used: bool = False

    def take_lines(self) -> list[str]:
        """What the process wrote since the last call."""
        lines = read_last_lines(self.errors)
        self.errors.seek(0)  # the process has the same place in the file
        self.errors.truncate()
        return lines

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
    with contextlib.ExitStack() as cleanup:
        try:
            folder = TemporaryFolder(_choose_folder())
            cleanup.callback(folder.remove)
            path = folder.path / "pixels.dcm"
            errors = cleanup.enter_context(tempfile.TemporaryFile(buffering=0))
            process = subprocess.Popen(
                build_worker_command(path),
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
        worker = DecoderProcess(process, errors, folder, path)
        cleanup.callback(worker.end)
        try:
            with limit_exchange(seconds, worker):
                if receive_bytes(worker, len(READY)) != READY:
                    raise ProcessEndedError("it is not a Python interpreter")
        except ProcessEndedError as ended:
            raise DecoderStartError((worker.take_lines() or [str(ended)])[-1][:160]) from None
        cleanup.pop_all()
    return worker


def receive_bytes(worker: DecoderProcess, size: int) -> bytearray:
    """The next ``size`` bytes that the process answers."""
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
def limit_exchange(seconds: float, worker: DecoderProcess, cpu_seconds: int = 0) -> Iterator[None]:
    """Kill the process after so many seconds, which ends any exchange with it; explain why an exchange ended.

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
            reason = f"the decoder took more than {seconds:.0f} s"
            raise ProcessEndedError(reason, is_late=True, is_transient=True) from None
        raise _explain_end(code, cpu_seconds) from None
    finally:
        timer.cancel()


def _explain_end(code: int, cpu_seconds: int) -> ProcessEndedError:
    """How a process ended, by its exit code."""
    if code >= 0:
        return ProcessEndedError(f"the decoder ended by itself, exit code {code if code < 256 else hex(code)}")
    name = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
    if name == "SIGXCPU":
        return ProcessEndedError(f"the decoder took more than {cpu_seconds} s of processor time", is_late=True)
    if name == "SIGKILL":
        return ProcessEndedError("the decoder was killed, perhaps for lack of memory", is_transient=True)
    return ProcessEndedError(f"the decoder crashed, {name}")


def _choose_folder() -> str | None:
    """A folder whose path is UTF-8, since any other makes GDCM end the process; None for the usual one."""
    usual = tempfile.gettempdir()
    try:
        usual.encode()
    except UnicodeEncodeError:
        return next((folder for folder in ("/tmp", "/var/tmp", "/dev/shm") if os.access(folder, os.W_OK)), usual)
    return None
