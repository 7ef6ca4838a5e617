"""Names of files and folders that are being written, and what becomes of those whose writer was killed.

``.saint-TARGET-HOST-PID-RANDOM.partial`` lies in the folder of its target; TARGET and HOST are hashes of their names.
"""

import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from pathlib import Path

NAME = re.compile(r"\.saint-[0-9a-f]{8}-[0-9a-f]{8}-(\d+)-[0-9a-f]{8}\.(?:partial|old)")
"""What is being written, and what is about to be replaced."""


def name_for(target: Path, ending: str = "partial") -> str:
    """A new hidden name for the work of this process on a target; ``old`` is the ending of what it replaces."""
    return f"{_start(target)}{os.getpid()}-{secrets.token_hex(4)}.{ending}"


def is_ours(name: str) -> bool:
    """Whether a name is of this kind, whoever made it."""
    return NAME.fullmatch(name) is not None


def remove_stale(folder: Path, target: Path, ending: str = "partial") -> None:
    """Remove from ``folder`` what writers of ``target`` left that ran on this host and are gone (killed, power lost).

    What cannot be removed stays. Other hosts may share the folder: whether their writers live cannot be known here.
    """
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return
    for name in names:
        if is_left_of(name, target, ending):
            _remove(folder / name)


def is_left_of(name: str, target: Path, ending: str = "partial") -> bool:
    """Whether the name tells of a writer of ``target`` that ran on this host and is gone."""
    return name.startswith(_start(target)) and name.endswith(ending) and _is_left(name)


def remove_all_stale(root: Path, old_s: float) -> None:
    """Remove below ``root`` what writers of this host left that are gone, and what nobody touched for ``old_s``."""
    for place in root.rglob(".saint-*"):
        if is_ours(place.name) and (_is_left(place.name) or time.time() - place.lstat().st_mtime > old_s):
            _remove(place)


def _is_left(name: str) -> bool:
    """Whether the name tells of a writer that ran on this host and is gone."""
    found = NAME.fullmatch(name)
    return found is not None and name.split("-")[2] == _hash(platform.node()) and not _is_alive(int(found[1]))


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        _unlink(place)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _start(target: Path) -> str:
    return f".saint-{_hash(target.absolute().name)}-{_hash(platform.node())}-"


def _hash(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:8]


def _is_alive(pid: int) -> bool:
    """Whether a process of this number runs on this host; yes where that cannot be asked."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
