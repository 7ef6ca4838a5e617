"""Names of files and folders that are being written, and the removal of those whose writer was killed.

``.saint-TARGET-MARK-RANDOM.partial`` lies in the folder of its target; TARGET is a hash of its name, MARK identifies
the process (``runtime.process_identity``). ``.old`` is what it replaces, ``.names`` a journal of the renames.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from saint_cli.errors import UnreadableError
from saint_cli.io.folder_walk import is_link, walk_folders
from saint_cli.io.regular_files import open_regular
from saint_cli.io.text_files import can_be_path
from saint_cli.runtime import process_identity

NAME = re.compile(rf"\.saint-[0-9a-f]{{8}}-({process_identity.MARK_PATTERN})-[0-9a-f]{{8}}\.(partial|old|names)")

MAX_JOURNAL_BYTES = 1 << 26
"""Bytes of a list of names; a series of 100,000 slices takes a quarter."""


def make_partial_name(target: Path, ending: str = "partial") -> str:
    """A new hidden name for the work of this process on a target."""
    return f".saint-{_hash(target.absolute().name)}-{process_identity.own_mark()}-{secrets.token_hex(4)}.{ending}"


def is_partial_name(name: str) -> bool:
    """Whether a name is of this kind, whoever made it."""
    return NAME.fullmatch(name) is not None


def is_leftover_of(name: str, target: Path, ending: str = "partial") -> bool:
    """Whether the name is of a writer of ``target`` that ran on this machine and is gone."""
    start = f".saint-{_hash(target.absolute().name)}-"
    return name.startswith(start) and name.endswith(f".{ending}") and _is_leftover(name)


def remove_stale(folder: Path) -> None:
    """Remove from a folder what writers left that ran on this machine and are gone (killed, power lost).

    Renames that such a writer did not finish are undone first, so that no part of its results is left alone. What it
    was about to replace stays until a new result is there (:func:`remove_replaced`), and so does what is not removable.
    Other machines may share the folder: whether their writers live cannot be known here.
    """
    with suppress(OSError):
        left = [name for name in os.listdir(folder) if name.startswith(".saint-") and _is_leftover(name)]  # noqa: PTH208
        _remove_all(Path(folder, name) for name in left if not name.endswith(".old"))


def remove_replaced(folder: Path, target: Path) -> None:
    """Remove what writers of ``target`` that are gone had put aside, now that the target is there."""
    with suppress(OSError):
        for place in folder.iterdir():
            if is_leftover_of(place.name, target, "old"):
                _remove(place)


def remove_all_stale(root: Path) -> None:
    """Remove from a folder and all below it what writers of this machine left that are gone, replaced results too."""
    places: list[Path] = []

    def enter(path: str, name: str) -> bool:
        if is_partial_name(name):
            places.append(Path(path))
        return not is_partial_name(name) and not is_link(path)

    for folder, names in walk_folders(root, enter, lambda error: None):
        places += [Path(folder, name) for name in names if is_partial_name(name)]
    _remove_all(place for place in places if _is_leftover(place.name))


def _remove_all(places: Iterable[Path]) -> None:
    """Remove leftovers; journals first, which say where the rest belongs."""
    for place in sorted(places, key=lambda place: (not place.name.endswith(".names"), place)):
        if _is_own(place):
            if place.name.endswith(".names"):
                _undo(Renames.read(place))
            _remove(place)


def _undo(renames: "Renames") -> None:
    """Change back what a killed process had changed, and remove what it was about to place."""
    renames.undo()
    for before, _ in renames.new:
        if is_partial_name(before.name):
            _remove(before)


def _is_leftover(name: str) -> bool:
    """Whether the name is of a writer that ran on this machine and is gone."""
    match = NAME.fullmatch(name)
    return match is not None and process_identity.is_gone(match[1])


def _is_own(place: Path) -> bool:
    """Whether this user made a file or folder; True where the system has no users."""
    try:
        return not hasattr(os, "geteuid") or place.lstat().st_uid == os.geteuid()
    except OSError:
        return False


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        with suppress(OSError):
            place.unlink(missing_ok=True)


def _hash(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:8]


@dataclass
class Renames:
    """Renames, all or none: first those that put old files ``aside``, then those of ``new`` files.

    Each is a pair of paths, before and after; ``known`` has inode and time of each new file, to recognise it.
    """

    aside: list[tuple[Path, Path]] = field(default_factory=list)
    new: list[tuple[Path, Path]] = field(default_factory=list)
    known: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Renames":
        """Read a journal; empty where it is incomplete, damaged, or forged.

        Even a forged one can rename only files that bear its own mark.
        """
        try:
            with open_regular(path) as file:
                journal = json.loads(file.read(MAX_JOURNAL_BYTES))
            if not all(can_be_path(one) for name in ("aside", "new") for pair in journal[name] for one in pair):
                return cls()
            pairs = {name: [(Path(a), Path(b)) for a, b in journal[name]] for name in ("aside", "new")}
            temporary = [before for before, _ in pairs["new"]] + [after for _, after in pairs["aside"]]
            is_sound = all(_has_mark_of(one, path) or _has_mark_of(one.parent, path) for one in temporary)
            return cls(**pairs, known=dict(journal["known"])) if is_sound else cls()
        except (OSError, ValueError, TypeError, KeyError, RecursionError, UnreadableError):
            return cls()

    def encode(self) -> bytes:
        """The journal for :meth:`read`, which may run in another working directory."""
        self.known = {str(before.absolute()): _identity(before) for before, _ in self.new}
        pairs = {name: [[str(p.absolute()) for p in pair] for pair in getattr(self, name)] for name in ("aside", "new")}
        return json.dumps({**pairs, "known": self.known}).encode("ascii")

    def apply(self) -> None:
        """Change all names.

        Raises:
            OSError: one cannot be changed; those before it are.
        """
        for before, after in self.aside:
            before.rename(after)
        for before, after in self.new:
            before.rename(after)

    @property
    def is_done(self) -> bool:
        """Whether the last name was changed."""
        return not self.new or not os.path.lexists(self.new[-1][0])

    def undo(self) -> None:
        """Undo the renames unless the last one is done; files that others made meanwhile stay.

        Raises:
            OSError: one cannot be changed back.
        """
        if self.is_done:
            return
        for before, after in self.new[:-1]:
            if not os.path.lexists(before) and os.path.lexists(after) and self._is_known(before, after):
                after.rename(before)
        for before, after in reversed(self.aside):
            if os.path.lexists(after) and not os.path.lexists(before):
                after.rename(before)

    def _is_known(self, before: Path, after: Path) -> bool:
        return self.known.get(str(before.absolute())) == _identity(after)


def _has_mark_of(place: Path, other: Path) -> bool:
    """Whether both names are of the same writer."""
    one, same = NAME.fullmatch(place.name), NAME.fullmatch(other.name)
    return one is not None and same is not None and one[1] == same[1]


def _identity(path: Path) -> list[int]:
    status: Any = path.lstat()
    return [status.st_ino, status.st_mtime_ns if not path.is_dir() else 0]
