"""Anything that reading an input or writing a file may raise becomes a failure of that file, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saint_cli.errors import SaintError, UnreadableError, locate_error
from saint_cli.io.skipped_files import shorten_name


@contextmanager
def convert_exceptions(source: str | Path) -> Iterator[None]:
    """Turn whatever is raised inside into a ``SaintError`` that names ``source``, a path or a URL.

    A ``SaintError`` passes, and so does what ends a program. Damage makes libraries raise whatever their parsers
    stumble over, with texts that may quote the file; of these only the type and the place are shown.

    Raises:
        UnreadableError: the source cannot be read.
        SaintError: there is not enough memory for it.
    """
    try:
        yield
    except SaintError:
        raise
    except Exception as error:
        raise _convert_exception(source, error) from None


def _convert_exception(source: str | Path, error: Exception) -> SaintError:
    """The failure of a source whose reading raised an exception."""
    if isinstance(error, MemoryError):
        return SaintError(f"{source}: not enough memory to read it; it is damaged, or this machine is too small")
    if isinstance(error, RecursionError):
        return UnreadableError(f"{source}: nested too deeply to be read; it is damaged, or no image")
    if isinstance(error, OSError) and error.strerror:
        other = str(error.filename or source)
        where = "" if other == str(source) else f"{shorten_name(other)}: "
        return UnreadableError(f"{source}: cannot be read ({where}{error.strerror})")
    return UnreadableError(
        f"{source}: cannot be read ({type(error).__name__} in {locate_error(error)}); if other programs can, "
        "please report this"
    )


def explain_os_error(path: Path, action: str, error: OSError) -> str:
    """``PATH: cannot be opened (Permission denied)``; ``action``: "opened", "read" or "written"."""
    return f"{path}: cannot be {action} ({error.strerror or error})"


@contextmanager
def convert_os_errors(path: Path, action: str, kind: type[SaintError] = UnreadableError) -> Iterator[None]:
    """Turn an ``OSError`` inside into one line.

    Raises:
        SaintError: of this kind, as :func:`explain_os_error` puts it.
    """
    try:
        yield
    except OSError as error:
        raise kind(explain_os_error(path, action, error)) from None
