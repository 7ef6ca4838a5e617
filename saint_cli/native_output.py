"""What C and C++ libraries and other processes write on stderr by themselves, kept for one sentence about a failure."""

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

_ONE_AT_A_TIME = threading.RLock()
"""File descriptors are those of the whole process."""

STDERR = 2

LONGEST = 1 << 16
"""Bytes kept of what was written: its end."""

LONGEST_REASON = 300
"""Characters of a reason that are shown."""

RAISED = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Exit)\b.*")
"""The last line of a traceback."""


@contextmanager
def capture_stderr() -> Iterator[list[str]]:
    """Catch what is written on file descriptor 2; the list has its lines once the block has ended.

    ``sys.stderr`` writes on a copy of the descriptor meanwhile, so that what Python prints in other threads is seen
    at once. Without a stderr, nothing is caught.
    """
    lines: list[str] = []
    with _ONE_AT_A_TIME:
        try:
            real = os.dup(STDERR)
        except OSError:
            yield lines
            return
        with tempfile.TemporaryFile(buffering=0) as kept:
            before, copy = sys.stderr, _stream(real)
            try:
                os.dup2(kept.fileno(), STDERR)
                if _is_stderr(before):
                    sys.stderr = copy
                yield lines
            finally:
                if sys.stderr is copy:
                    sys.stderr = before
                os.dup2(real, STDERR)
                lines += last_lines(kept)


def _stream(descriptor: int) -> io.TextIOWrapper:
    """A text stream on a descriptor, like ``sys.stderr``; the descriptor is closed when nobody holds the stream."""
    encoding, errors = getattr(sys.stderr, "encoding", None), getattr(sys.stderr, "errors", None)
    raw = io.FileIO(descriptor, "w", closefd=False)
    stream = io.TextIOWrapper(cast("BinaryIO", raw), encoding or "utf-8", errors, write_through=True)
    weakref.finalize(stream, os.close, descriptor)
    return stream


def _is_stderr(stream: object) -> bool:
    """Whether a stream of Python's writes on descriptor 2; what it holds back is written out."""
    try:
        if not isinstance(stream, io.TextIOWrapper) or stream.fileno() != STDERR:
            return False
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


def last_lines(kept: IO[bytes]) -> list[str]:
    """The lines, not empty, of the last ``LONGEST`` bytes of a file."""
    size = kept.seek(0, os.SEEK_END)
    kept.seek(max(0, size - LONGEST))
    text = kept.read(LONGEST).decode("utf-8", "replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def first_error(lines: list[str], error: BaseException) -> str:
    """The first exception that another process wrote of, or else the one that came of it here; one line."""
    reason = next((line for line in lines if RAISED.fullmatch(line)), "")
    cause = error.__cause__ or error
    return (reason or str(cause) or type(cause).__name__)[:LONGEST_REASON]
