"""stdin, stdout and stderr, whatever the caller made of them: closed, full, without a reader, in a narrow encoding."""

import io
import os
import sys
from contextlib import suppress
from typing import TextIO


def open_missing() -> None:
    """What the caller closed (``>&-``) goes nowhere, and not into the next file, which would get its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115


def tolerate_narrow_encodings() -> None:
    """Replace what the terminal's encoding cannot show, rather than fail on it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def silence(stream: TextIO) -> None:
    """Send the rest of a stream nowhere, what it still holds too: its reader has gone, or its disk is full."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def flush() -> bool:
    """Write what stdout and stderr hold, and whether all of it could be written; Python complains of the rest."""
    whole = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # ValueError: it is closed
            silence(stream)
            whole = False
    return whole
