"""What C and C++ libraries and other processes write on stderr, captured for one sentence about a failure."""

import io
import os
import re
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO, cast

_lock = threading.RLock()
"""Descriptor 2 belongs to the whole process: one capture at a time."""

STDERR = 2

MAX_KEPT_BYTES = 1 << 16
"""Bytes kept of the captured output: its end."""

MAX_REASON = 300
"""Characters of a reason that are shown."""

EXCEPTION_LINE = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Exit)\b.*")
"""The last line of a traceback."""


@contextmanager
def capture_stderr() -> Iterator[list[str]]:
    """Capture what is written on file descriptor 2; the list gets its lines when the block ends.

    Meanwhile ``sys.stderr`` writes on a copy of the descriptor, so that Python's output from other threads appears at
    once. Without a stderr, nothing is captured.
    """
    lines: list[str] = []
    with _lock:
        try:
            real = os.dup(STDERR)
        except OSError:
            yield lines
            return
        with tempfile.TemporaryFile(buffering=0) as captured:
            before, copy = sys.stderr, _open_stream(real)
            try:
                os.dup2(captured.fileno(), STDERR)
                if _is_stderr(before):
                    sys.stderr = copy
                yield lines
            finally:
                if sys.stderr is copy:
                    sys.stderr = before
                os.dup2(real, STDERR)
                lines += read_last_lines(captured)


def _open_stream(descriptor: int) -> io.TextIOWrapper:
    """A text stream on a descriptor, like ``sys.stderr``; the descriptor is closed with the last reference to it."""
    encoding, errors = getattr(sys.stderr, "encoding", None), getattr(sys.stderr, "errors", None)
    raw = io.FileIO(descriptor, "w", closefd=False)
    stream = io.TextIOWrapper(cast("BinaryIO", raw), encoding or "utf-8", errors, write_through=True)
    weakref.finalize(stream, os.close, descriptor)
    return stream


def _is_stderr(stream: object) -> bool:
    """Whether a Python stream writes on descriptor 2; its buffer is flushed."""
    try:
        if not isinstance(stream, io.TextIOWrapper) or stream.fileno() != STDERR:
            return False
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


def read_last_lines(file: IO[bytes]) -> list[str]:
    """The lines that are not empty of the last ``MAX_KEPT_BYTES`` bytes of a file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - MAX_KEPT_BYTES))
    text = file.read(MAX_KEPT_BYTES).decode("utf-8", "replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def find_first_error(lines: list[str], error: BaseException) -> str:
    """The first exception in another process's output, else the one raised here; one line."""
    reason = next((line for line in lines if EXCEPTION_LINE.fullmatch(line)), "")
    cause = error.__cause__ or error
    return (reason or str(cause) or type(cause).__name__)[:MAX_REASON]
