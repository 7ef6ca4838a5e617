"""Files and folders that appear under their names whole, or not at all."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from saint_cli.errors import OutputError
from saint_cli.io import partial as names

MOUNTS = Path("/proc/self/mountinfo")
"""Where Linux lists mount points; ``os.path.ismount`` misses those of the file system that they lie in."""


@contextmanager
def complete_or_absent(path: Path) -> Iterator[BinaryIO]:
    """A new file beside ``path`` that takes its name once written and flushed to disk, and is removed on failure."""
    partial = _beside(path)
    names.remove_stale(partial.parent, path)
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

    What was at ``path`` (an empty folder, or with ``overwrite`` any) is gone only when the new one stands. A folder
    that cannot be replaced (:func:`is_fixed`) gets the files instead: they are written in a hidden folder inside it
    and renamed when the last one is complete.

    Raises:
        OutputError: it cannot be written, or ``path`` holds something in the meantime.
    """
    if is_fixed(path):
        with _complete_or_absent_inside(path, overwrite=overwrite) as inside:
            yield inside
        return
    partial, old = _beside(path), _beside(path, "old")
    names.remove_stale(partial.parent, path)
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
        names.remove_stale(partial.parent, path, "old")
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def is_fixed(path: Path) -> bool:
    """Whether an existing folder cannot be replaced, only filled: ``.``, a mount point, or in a read-only parent."""
    if not path.is_dir():
        return False
    return path.name in ("", "..") or _is_mount(path) or not os.access(path.absolute().parent, os.W_OK | os.X_OK)


def content(folder: Path) -> list[Path]:
    """What lies in a folder, save what saint hides there while it writes.

    Raises:
        OSError: it cannot be listed.
    """
    return sorted(entry for entry in folder.iterdir() if not names.is_ours(entry.name))


@contextmanager
def _complete_or_absent_inside(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """The same for a folder that stays: a kill while names are changed, which takes moments, leaves some of them."""
    partial, old = (path / names.name_for(path, ending) for ending in ("partial", "old"))
    names.remove_stale(path, path)
    try:
        partial.mkdir()
        yield partial
        old.mkdir()
        if overwrite:
            _move(content(path), old)
        if content(path):
            raise OutputError(f"{path}: is no longer empty; choose another folder")
        _move(content(partial), path, undo=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}){_refilled(path, old)}") from None
    except BaseException:
        _refilled(path, old)
        raise
    else:
        shutil.rmtree(old, ignore_errors=True)
        names.remove_stale(path, path, "old")
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _move(files: list[Path], folder: Path, *, undo: bool = False) -> None:
    """Move files into a folder; where that fails and ``undo`` is set, those already moved are removed."""
    moved: list[Path] = []
    try:
        for file in files:
            moved.append(folder / file.name)
            file.rename(moved[-1])
    except BaseException:
        for file in moved if undo else ():
            file.unlink(missing_ok=True)
        raise


def _refilled(path: Path, old: Path) -> str:
    """Put back what was in the folder; where that fails, words that tell where it is."""
    try:
        if old.exists():
            _move(content(old), path)
            old.rmdir()
    except OSError:
        return f"; what was there is kept in {old}"
    return ""


def _put_back(old: Path, path: Path) -> bool:
    """Give what was at ``path`` its name back; False where another has taken that, and ``old`` remains."""
    if old.exists() and not path.exists():
        old.rename(path)
    return not old.exists()


def _beside(path: Path, ending: str = "partial") -> Path:
    return path.absolute().parent / names.name_for(path, ending)


def _is_mount(path: Path) -> bool:
    if os.path.ismount(path):
        return True
    try:
        lines = MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return False
    points = (re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split(" ")[4]) for line in lines)
    return str(path.resolve()) in set(points)
