"""The one place where anything that reading an input may raise becomes a failure of that input."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saint_cli.errors import SaintError, UnreadableError, place_of
from saint_cli.io.skipped import short_name


@contextmanager
def convert_exceptions(source: str | Path) -> Iterator[None]:
    """Turn whatever is raised inside into a ``SaintError`` that names ``source``, a path or a URL.

    Every ``SaintError`` passes, and so does what ends a program. Damage makes libraries raise what their parsers
    stumble over, with texts that may quote the file; of these only the kind and the place are told.

    Raises:
        UnreadableError: the source cannot be read.
        SaintError: there is not enough memory for it.
    """
    try:
        yield
    except SaintError:
        raise
    except Exception as error:
        raise error_of(source, error) from None


def error_of(source: str | Path, error: Exception) -> SaintError:
    """What an exception that came of reading a source says of it."""
    if isinstance(error, MemoryError):
        return SaintError(f"{source}: not enough memory to read it; it is damaged, or this machine is too small")
    if isinstance(error, RecursionError):
        return UnreadableError(f"{source}: nested too deeply to be read; it is damaged, or no image")
    if isinstance(error, OSError) and error.strerror:
        other = str(error.filename or source)
        where = "" if other == str(source) else f"{short_name(other)}: "
        return UnreadableError(f"{source}: cannot be read ({where}{error.strerror})")
    return UnreadableError(
        f"{source}: cannot be read ({type(error).__name__} in {place_of(error)}); if other programs can, "
        "please report this"
    )
