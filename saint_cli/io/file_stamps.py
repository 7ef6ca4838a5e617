"""What tells whether a file changed between two looks at it, without reading it: size, and times of change.

The second time is that of any change to the file or its names, which no program can set.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from saint_cli.errors import SourceChangedError, UnreadableError

Stamp = tuple[int, int, int]
"""Bytes, then modification and change of status in nanoseconds."""


def take_stamp(path: Path) -> Stamp:
    """The stamp of a file.

    Raises:
        UnreadableError: it is gone, or may not be looked at.
    """
    try:
        about = path.stat()
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be opened ({error.strerror or error})") from None
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns


def check_stamps(stamps: Iterable[tuple[Path, Stamp]]) -> None:
    """Find out whether files are still what they were when their stamps were taken, before they were read.

    Raises:
        SourceChangedError: one is gone or was written to.
    """
    for path, stamp in stamps:
        try:
            now = take_stamp(path)
        except UnreadableError as error:
            raise SourceChangedError(f"{error}: it went away while it was read; run again once it is back") from None
        if now != stamp:
            raise SourceChangedError(f"{path}: changed while it was read; run again when nothing writes to it")


@contextmanager
def unchanged(paths: Iterable[Path]) -> Iterator[None]:
    """Read files inside; if one changes meanwhile, that is the error, whatever else the change led to.

    Raises:
        SourceChangedError: one was written to or went away.
    """
    stamps = [(path, take_stamp(path)) for path in paths]
    try:
        yield
    except UnreadableError:
        check_stamps(stamps)
        raise
    check_stamps(stamps)
