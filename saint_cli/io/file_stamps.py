"""Whether a file changed meanwhile, without reading it: by its size, and by its times of change.

The second time is that of any change to the file or its names, which no program can set.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from saint_cli.errors import SourceChangedError, UnreadableError
from saint_cli.io.error_conversion import convert_os_errors

Stamp = tuple[int, int, int]
"""Bytes, then modification and change of status in nanoseconds."""


def take_stamp(path: Path) -> Stamp:
    """The stamp of a file.

    Raises:
        UnreadableError: it is gone, or access is denied.
    """
    with convert_os_errors(path, "opened"):
        status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def check_stamps(stamps: Iterable[tuple[Path, Stamp]]) -> None:
    """Refuse files that changed since their stamps were taken, before they were read.

    Raises:
        SourceChangedError: one is gone or was written to.
    """
    for path, stamp in stamps:
        try:
            now = take_stamp(path)
        except UnreadableError as error:
            raise SourceChangedError(f"{error}: it disappeared while it was read; run again once it is back") from None
        if now != stamp:
            raise SourceChangedError(f"{path}: changed while it was read; run again when nothing writes to it")


def source_changed_error(path: Path, change: str = "") -> SourceChangedError:
    """The error of a file that is no longer what was read; change: what is different, where that is known."""
    detail = f" ({change})" if change else ""
    return SourceChangedError(f"{path}: changed since it was read{detail}; run again when nothing writes to it")


@contextmanager
def require_unchanged(paths: Iterable[Path]) -> Iterator[None]:
    """Read files inside; if one changes meanwhile, that is the error, not what the change led to.

    Raises:
        SourceChangedError: one was written to or disappeared.
    """
    stamps = [(path, take_stamp(path)) for path in paths]
    try:
        yield
    except UnreadableError:
        check_stamps(stamps)
        raise
    check_stamps(stamps)
