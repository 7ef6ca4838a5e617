"""Files and folders that appear under their names whole, or not at all, alone or together with others."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from saint_cli.errors import OutputError
from saint_cli.io import partial as names
from saint_cli.io.partial import Renames

MOUNTS = Path("/proc/self/mountinfo")
"""Where Linux lists mount points; ``os.path.ismount`` misses those of the file system that they lie in."""


@dataclass
class _Output:
    """What is written under a hidden name, ``partial``, and where it belongs; ``made``: new folders above it."""

    target: Path
    partial: Path
    overwrite: bool = True
    is_fixed: bool = False
    old: Path | None = None
    made: list[Path] = field(default_factory=list)

    def renames(self) -> Renames:
        """The names to change once it is complete.

        Raises:
            OSError: what is at its name cannot be listed.
            OutputError: a folder that must stay is not empty.
        """
        if not self.is_fixed:
            aside = [] if self.old is None or not os.path.lexists(self.target) else [(self.target, self.old)]
            return Renames(aside if self.overwrite else [], [(self.partial, self.target)])
        assert self.old is not None
        there = content(self.target)
        if there and not self.overwrite:
            raise OutputError(f"{self.target}: is no longer empty; choose another folder")
        if there:
            self.old.mkdir()
        aside = [(file, self.old / file.name) for file in there]
        return Renames(aside, [(file, self.target / file.name) for file in content(self.partial)])

    def finish(self) -> None:
        """Remove what was replaced, and what runs that were killed had put aside."""
        if self.old is not None:
            shutil.rmtree(self.old, ignore_errors=True)
            names.remove_replaced(self.old.parent, self.target)
        if self.is_fixed:
            shutil.rmtree(self.partial, ignore_errors=True)

    def discard(self) -> None:
        """Remove what was written, and the folders that were made for it."""
        if self.old is None:
            with suppress(OSError):
                self.partial.unlink(missing_ok=True)
        else:
            shutil.rmtree(self.partial, ignore_errors=True)
            with suppress(OSError):
                self.old.rmdir()  # only if it is empty
        for folder in reversed(self.made):
            with suppress(OSError):
                folder.rmdir()


_WAITING: ContextVar[list[_Output] | None] = ContextVar("waiting", default=None)
"""Outputs that are complete and take their names together with others."""


@contextmanager
def together() -> Iterator[None]:
    """What is written inside takes its names when the block ends, in the order in which it was written; or none does.

    A kill while names are changed is set right by the next run that writes beside the last of them.

    Raises:
        OutputError: a name cannot be taken.
    """
    if _WAITING.get() is not None:
        yield
        return
    waiting: list[_Output] = []
    token = _WAITING.set(waiting)
    try:
        try:
            yield
        finally:
            _WAITING.reset(token)
        _take_names(waiting)
    except BaseException:
        for output in reversed(waiting):
            output.discard()
        raise


def take_name(path: Path) -> None:
    """Let one of the outputs that wait take its name before the others.

    Raises:
        OutputError: it cannot.
    """
    waiting = _WAITING.get() or []
    for output in [one for one in waiting if one.target == path]:
        _take_names([output])
        waiting.remove(output)


@contextmanager
def complete_or_absent(path: Path) -> Iterator[BinaryIO]:
    """A new file beside ``path`` that takes its name once written and flushed to disk, and is removed on failure.

    Missing folders above it are made. A link at ``path`` is replaced, not what it leads to.

    Raises:
        OSError: it cannot be written.
        OutputError: it cannot take its name.
    """
    output = _Output(path, _beside(path))
    try:
        _make_folder(output)
        with output.partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _complete(output)
    except BaseException:
        output.discard()
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
        partial, old = (path / names.name_for(path, ending) for ending in ("partial", "old"))
        output = _Output(path, partial, overwrite, is_fixed=True, old=old)
    else:
        output = _Output(path, _beside(path), overwrite, old=_beside(path, "old"))
    try:
        _make_folder(output)
        output.partial.mkdir()
        yield output.partial
        _complete(output)
    except OSError as error:
        output.discard()
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from None
    except BaseException:
        output.discard()
        raise


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


def _complete(output: _Output) -> None:
    """Give an output its name, or let it wait for others."""
    waiting = _WAITING.get()
    if waiting is None:
        _take_names([output])
    else:
        waiting.append(output)


def _take_names(outputs: list[_Output]) -> None:
    """Give outputs their names, the last one last; on failure none has one, and what was replaced is back.

    Where that takes more than one change, a list of them is on disk meanwhile, so that a kill can be set right.
    """
    if not outputs:
        return
    target, listed = outputs[-1].target, None
    renames = Renames()
    try:
        for output in outputs:
            one = output.renames()
            renames.aside += one.aside
            renames.new += one.new
        if len(renames.aside) + len(renames.new) > 1:
            listed = _written_list(renames, outputs[-1])
        renames.apply()
    except BaseException as error:
        if renames.new and renames.is_done:  # interrupted after the last change
            _finish(outputs)
            raise
        kept = _changed_back(renames)
        if isinstance(error, OSError):
            raise OutputError(f"{target}: cannot be written ({error.strerror or error}){kept}") from None
        raise
    else:
        _finish(outputs)
    finally:
        if listed is not None:
            with suppress(OSError):  # a list whose names are changed is nothing but a file too many
                listed.unlink(missing_ok=True)


def _finish(outputs: list[_Output]) -> None:
    for output in outputs:
        output.finish()


def _written_list(renames: Renames, last: _Output) -> Path:
    """The file that lists what is about to be renamed; it lies beside the output that comes last."""
    path = last.partial.parent / names.name_for(last.target, "names")
    try:
        with path.open("xb") as file:
            file.write(renames.written())
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _changed_back(renames: Renames) -> str:
    """Change names back; where that fails, words that tell where what was replaced is."""
    with suppress(OSError):
        renames.undo()
    kept = [after for _, after in renames.aside if os.path.lexists(after)]
    if not kept:
        return ""
    return f"; what was there is kept in {kept[0].parent if names.is_ours(kept[0].parent.name) else kept[0]}"


def _make_folder(output: _Output) -> None:
    """Make the folder that an output is written in, and remove from it what killed runs left there."""
    folder, missing = output.partial.parent, list[Path]()
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        output.made.append(folder)
    names.remove_stale(output.partial.parent)


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
    return os.path.realpath(path) in set(points)
