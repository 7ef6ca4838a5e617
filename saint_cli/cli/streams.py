"""stdin, stdout and stderr, if the caller closed them, or their disk is full, or nobody reads them."""

import io
import os
import sys
from contextlib import suppress
from typing import TextIO


def open_missing() -> None:
    """Open what the caller closed (``>&-``) to nowhere; else the next file would get its number, and the output."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115


def tolerate_narrow_encodings() -> None:
    """Replace characters that the terminal's encoding does not have, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def silence(stream: TextIO) -> None:
    """Discard the rest of a stream, with what it still holds: nobody reads it, or its disk is full."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def flush() -> bool:
    """Write what stdout and stderr hold; whether all of it could be written."""
    is_complete = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # ValueError: it is closed
            silence(stream)
            is_complete = False
    return is_complete
