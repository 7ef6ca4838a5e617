"""Names of files and folders that are being written, and what becomes of those whose writer was killed.

``.saint-TARGET-MARK-RANDOM.partial`` lies in the folder of its target; TARGET is a hash of its name, MARK tells the
process (``owners``). ``.old`` is what it is about to replace, ``.names`` a list of the names that are being changed.
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

from saint_cli import owners
from saint_cli.errors import UnreadableError
from saint_cli.files import open_regular
from saint_cli.io.entries import is_link, walk_folders
from saint_cli.io.text_files import can_be_path

NAME = re.compile(rf"\.saint-[0-9a-f]{{8}}-({owners.MARK})-[0-9a-f]{{8}}\.(partial|old|names)")

LONGEST_LIST = 1 << 26
"""Bytes of a list of names; a series of 100,000 slices takes a quarter."""


def name_for(target: Path, ending: str = "partial") -> str:
    """A new hidden name for the work of this process on a target."""
    return f".saint-{_hash(target.absolute().name)}-{owners.own_mark()}-{secrets.token_hex(4)}.{ending}"


def is_ours(name: str) -> bool:
    """Whether a name is of this kind, whoever made it."""
    return NAME.fullmatch(name) is not None


def is_left_of(name: str, target: Path, ending: str = "partial") -> bool:
    """Whether the name tells of a writer of ``target`` that ran on this machine and is gone."""
    start = f".saint-{_hash(target.absolute().name)}-"
    return name.startswith(start) and name.endswith(f".{ending}") and _is_left(name)


def remove_stale(folder: Path) -> None:
    """Remove from a folder what writers left that ran on this machine and are gone (killed, power lost).

    Names that such a writer was about to change are changed back first, so that nothing it made stands without the
    rest. What it was about to replace stays until a new one stands (:func:`remove_replaced`), and so does what cannot
    be removed. Other machines may share the folder: whether their writers live cannot be known here.
    """
    with suppress(OSError):
        left = [name for name in os.listdir(folder) if name.startswith(".saint-") and _is_left(name)]  # noqa: PTH208
        _remove_all(Path(folder, name) for name in left if not name.endswith(".old"))


def remove_replaced(folder: Path, target: Path) -> None:
    """Remove what writers of ``target`` that are gone had put aside, now that a new one stands."""
    with suppress(OSError):
        for place in folder.iterdir():
            if is_left_of(place.name, target, "old"):
                _remove(place)


def remove_all_stale(root: Path) -> None:
    """Remove from a folder and all below it what writers of this machine left that are gone, replaced results too."""
    places: list[Path] = []

    def enter(path: str, name: str) -> bool:
        if is_ours(name):
            places.append(Path(path))
        return not is_ours(name) and not is_link(path)

    for folder, names in walk_folders(root, enter, lambda error: None):
        places += [Path(folder, name) for name in names if is_ours(name)]
    _remove_all(place for place in places if _is_left(place.name))


def _remove_all(places: Iterable[Path]) -> None:
    """Remove what is left; lists of names first, which tell where the rest belongs."""
    for place in sorted(places, key=lambda place: (not place.name.endswith(".names"), place)):
        if _is_own(place):
            if place.name.endswith(".names"):
                _undo(Renames.read(place))
            _remove(place)


def _undo(renames: "Renames") -> None:
    """Change back what a killed process had changed, and remove what it was about to place."""
    renames.undo()
    for before, _ in renames.new:
        if is_ours(before.name):
            _remove(before)


def _is_left(name: str) -> bool:
    """Whether the name tells of a writer that ran on this machine and is gone."""
    found = NAME.fullmatch(name)
    return found is not None and owners.is_gone(found[1])


def _is_own(place: Path) -> bool:
    """Whether this user made a file or folder; yes where users are not told apart."""
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
    """Names to change, all or none: first what is ``aside`` makes room, then what is new takes its place.

    Each is a pair of paths, before and after; ``known`` tells new files by what no other file at their name has.
    """

    aside: list[tuple[Path, Path]] = field(default_factory=list)
    new: list[tuple[Path, Path]] = field(default_factory=list)
    known: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Renames":
        """What a process wrote down before it changed names; empty where that is not whole, damaged, or made up.

        Whoever made it up, only files come into question that bear the mark of the list itself.
        """
        try:
            with open_regular(path) as file:
                found = json.loads(file.read(LONGEST_LIST))
            if not all(can_be_path(one) for name in ("aside", "new") for pair in found[name] for one in pair):
                return cls()
            pairs = {name: [(Path(a), Path(b)) for a, b in found[name]] for name in ("aside", "new")}
            temporary = [before for before, _ in pairs["new"]] + [after for _, after in pairs["aside"]]
            is_sound = all(_bears(one, path) or _bears(one.parent, path) for one in temporary)
            return cls(**pairs, known=dict(found["known"])) if is_sound else cls()
        except (OSError, ValueError, TypeError, KeyError, RecursionError, UnreadableError):
            return cls()

    def written(self) -> bytes:
        """The same for :meth:`read`, which may be in another working directory."""
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
        """Change names back that were changed before the last one was; what else took one meanwhile stays.

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


def _bears(place: Path, other: Path) -> bool:
    """Whether both names tell of the same writer."""
    found, same = NAME.fullmatch(place.name), NAME.fullmatch(other.name)
    return found is not None and same is not None and found[1] == same[1]


def _identity(path: Path) -> list[int]:
    about: Any = path.lstat()
    return [about.st_ino, about.st_mtime_ns if not path.is_dir() else 0]
