"""Files and folders that appear under their names complete or not at all, alone or together with others."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from saint_cli.errors import OutputError, TargetExistsError
from saint_cli.io import partial_names as names
from saint_cli.io.error_conversion import explain_os_error
from saint_cli.io.partial_names import Renames

MOUNTS = Path("/proc/self/mountinfo")
"""Where Linux lists mount points; ``os.path.ismount`` misses those of the file system that they lie in."""


@dataclass
class _Output:
    """What is written under the hidden name ``partial``, for ``target``.

    is_fixed: the target is a folder that is filled, not replaced. old: where the former content goes.
    made: new folders above it.
    """

    target: Path
    partial: Path
    overwrite: bool = True
    is_fixed: bool = False
    old: Path | None = None
    made: list[Path] = field(default_factory=list)

    def renames(self) -> Renames:
        """The renames once it is complete.

        Raises:
            OSError: the content of the target cannot be listed.
            TargetExistsError: a folder that is to be filled is not empty, or a file is there that must not be replaced.
        """
        if self.old is None and not self.overwrite and os.path.lexists(self.target):
            raise TargetExistsError(
                f"{self.target}: appeared while the result was computed; choose another name or pass `overwrite=True`"
            )
        if not self.is_fixed:
            aside = [] if self.old is None or not os.path.lexists(self.target) else [(self.target, self.old)]
            return Renames(aside if self.overwrite else [], [(self.partial, self.target)])
        assert self.old is not None
        content = list_content(self.target)
        if content and not self.overwrite:
            raise TargetExistsError(f"{self.target}: is no longer empty; choose another folder")
        if content:
            self.old.mkdir()
        aside = [(file, self.old / file.name) for file in content]
        return Renames(aside, [(file, self.target / file.name) for file in list_content(self.partial)])

    def finish(self) -> None:
        """Remove what was replaced, and what killed runs had put aside."""
        if self.old is not None:
            shutil.rmtree(self.old, ignore_errors=True)
            names.remove_replaced(self.old.parent, self.target)
        if self.is_fixed:
            shutil.rmtree(self.partial, ignore_errors=True)

    def discard(self) -> None:
        """Remove what was written, and the new folders."""
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
"""Complete outputs that wait for others, to take their names together."""


@contextmanager
def commit_together() -> Iterator[None]:
    """Files written inside take their names when the block ends, in the order of writing; or none does.

    What a kill in between leaves is undone by the next run that writes beside the last of them.

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
        _commit(waiting)
    except BaseException:
        for output in reversed(waiting):
            output.discard()
        raise


def commit_now(path: Path) -> None:
    """Let one of the waiting outputs take its name before the others.

    Raises:
        OutputError: it cannot.
    """
    waiting = _WAITING.get() or []
    for output in [output for output in waiting if output.target == path]:
        _commit([output])
        waiting.remove(output)


@contextmanager
def open_atomic_file(path: Path, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """A new file beside ``path`` that takes its name once written and flushed to disk, and is removed on failure.

    Missing folders above it are made. A link at ``path`` is replaced, not what it leads to. Without ``overwrite``
    nothing is replaced.

    Raises:
        OSError: it cannot be written.
        OutputError: it cannot take its name.
    """
    output = _Output(path, _partial_path(path), overwrite)
    try:
        _make_folder(output)
        with output.partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _commit_or_wait(output)
    except BaseException:
        output.discard()
        raise


@contextmanager
def open_atomic_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A new folder beside ``path`` that takes its name once its files are written, and is removed on failure.

    What was at ``path`` (an empty folder, or with ``overwrite`` any) is gone only when the new one stands. A folder
    that cannot be replaced (:func:`is_irreplaceable`) gets the files instead: they are written in a hidden folder
    inside it and renamed when the last one is complete.

    Raises:
        OutputError: it cannot be written, or ``path`` holds something in the meantime.
    """
    if is_irreplaceable(path):
        partial, old = (path / names.make_partial_name(path, ending) for ending in ("partial", "old"))
        output = _Output(path, partial, overwrite, is_fixed=True, old=old)
    else:
        output = _Output(path, _partial_path(path), overwrite, old=_partial_path(path, "old"))
    try:
        _make_folder(output)
        output.partial.mkdir()
        yield output.partial
        _commit_or_wait(output)
    except OSError as error:
        output.discard()
        raise OutputError(explain_os_error(path, "written", error)) from None
    except BaseException:
        output.discard()
        raise


def is_irreplaceable(path: Path) -> bool:
    """Whether an existing folder cannot be replaced, only filled.

    So it is with ``.``, a mount point, in a read-only parent, or where another process writes in it, perhaps of another
    machine.
    """
    if not path.is_dir():
        return False
    if path.name in ("", "..") or _is_mount(path) or not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        return True
    with suppress(OSError):  # as its writer will say
        return any(names.is_partial_name(entry.name) for entry in path.iterdir())
    return False


def list_content(folder: Path) -> list[Path]:
    """What a folder holds besides hidden files of saint's writers.

    Raises:
        OSError: it cannot be listed.
    """
    return sorted(entry for entry in folder.iterdir() if not names.is_partial_name(entry.name))


def _commit_or_wait(output: _Output) -> None:
    """Give an output its name now, or with others."""
    waiting = _WAITING.get()
    if waiting is None:
        _commit([output])
    else:
        waiting.append(output)


def _commit(outputs: list[_Output]) -> None:
    """Give outputs their names in order; on failure none has one, and what was replaced is back.

    Where that takes several renames, a journal of them is on disk meanwhile, so that they can be undone after a kill.
    """
    if not outputs:
        return
    target, journal = outputs[-1].target, None
    renames = Renames()
    try:
        for output in outputs:
            own = output.renames()
            renames.aside += own.aside
            renames.new += own.new
        if len(renames.aside) + len(renames.new) > 1:
            journal = _write_journal(renames, outputs[-1])
        renames.apply()
    except BaseException as error:
        if renames.new and renames.is_done:  # interrupted after the last change
            _finish(outputs)
            raise
        kept = _roll_back(renames)
        if isinstance(error, OSError):
            raise OutputError(f"{explain_os_error(target, 'written', error)}{kept}") from None
        raise
    else:
        _finish(outputs)
    finally:
        if journal is not None:
            with suppress(OSError):  # a journal of finished renames does no harm
                journal.unlink(missing_ok=True)


def _finish(outputs: list[_Output]) -> None:
    for output in outputs:
        output.finish()


def _write_journal(renames: Renames, last: _Output) -> Path:
    """Write what is about to be renamed to a file beside the output that comes last."""
    path = last.partial.parent / names.make_partial_name(last.target, "names")
    try:
        with path.open("xb") as file:
            file.write(renames.encode())
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _roll_back(renames: Renames) -> str:
    """Undo renames; where that fails, say where the former content is."""
    with suppress(OSError):
        renames.undo()
    kept = [after for _, after in renames.aside if os.path.lexists(after)]
    if not kept:
        return ""
    return f"; what was there is kept in {kept[0].parent if names.is_partial_name(kept[0].parent.name) else kept[0]}"


def _make_folder(output: _Output) -> None:
    """Make the folder that an output is written in, and remove what killed runs left there."""
    folder, missing = output.partial.parent, list[Path]()
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        output.made.append(folder)
    names.remove_stale(output.partial.parent)


def _partial_path(path: Path, ending: str = "partial") -> Path:
    return path.absolute().parent / names.make_partial_name(path, ending)


def _is_mount(path: Path) -> bool:
    if os.path.ismount(path):
        return True
    try:
        lines = MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return False
    points = (re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split(" ")[4]) for line in lines)
    return os.path.realpath(path) in set(points)
