"""Files and folders that appear under their names whole, or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from saint_cli.errors import OutputError


@contextmanager
def complete_or_absent(path: Path) -> Iterator[BinaryIO]:
    """A new file beside ``path`` that takes its name once written and flushed to disk, and is removed on failure."""
    partial = _beside(path)
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def complete_or_absent_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A new folder beside ``path`` that takes its name once its files are written, and is removed on failure.

    What was at ``path`` (an empty folder, or with ``overwrite`` any) is gone only when the new one stands.

    Raises:
        OutputError: it cannot be written, or ``path`` holds something in the meantime.
    """
    partial, old = _beside(path), _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        yield partial
        if overwrite and path.exists():
            path.rename(old)
        partial.rename(path)
    except OSError as error:
        kept = "" if _put_back(old, path) else f"; what was there is kept in {old}"
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}){kept}") from None
    except BaseException:
        _put_back(old, path)
        raise
    else:
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put_back(old: Path, path: Path) -> bool:
    """Give what was at ``path`` its name back; False where another has taken that, and ``old`` remains."""
    if old.exists() and not path.exists():
        old.rename(path)
    return not old.exists()


def _beside(path: Path) -> Path:
    return path.absolute().parent / f".saint-{os.getpid()}-{secrets.token_hex(4)}.partial"
