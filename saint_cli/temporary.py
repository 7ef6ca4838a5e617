"""Temporary folders, all of one kind: they go away with their user, with the process, or with the next command.

``saint-MARK-RANDOM`` in TMPDIR holds a file ``owner`` with its own name, and the folder ``files``.
"""

import os
import re
import secrets
import shutil
import stat
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from saint_cli import owners

NAME = re.compile(rf"saint-({owners.MARK})-[0-9a-f]{{8}}")

OWNER, FILES = "owner", "files"


class TemporaryFolder:
    """A private folder, ``path``, that goes away with the object, with ``remove`` or with the process.

    within: another folder than that of ``TMPDIR``. names: what the files in it were called where they came from, by
    their names here.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, within: str | None = None) -> None:
        top = Path(tempfile.gettempdir() if within is None else within)
        room = top / f"saint-{owners.own_mark()}-{secrets.token_hex(4)}"
        room.mkdir(mode=0o700)
        self._finalizer = weakref.finalize(self, shutil.rmtree, room, ignore_errors=True)
        self.path, self.parent = room / FILES, top
        self.names: dict[str, str] = {}
        try:
            (room / OWNER).write_text(room.name, encoding="ascii")
            self.path.mkdir(mode=0o700)
        except OSError:
            self.remove()
            raise

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        self._finalizer()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()


def sweep() -> None:
    """Remove the temporary folders of this user's processes on this machine that were killed; whatever fails stays."""
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            found = NAME.fullmatch(entry.name)
            if found is not None and owners.is_gone(found[1]) and _is_own(Path(entry.path)):
                shutil.rmtree(entry.path, ignore_errors=True)


def _is_own(room: Path) -> bool:
    """Whether this user's process made a folder: it says so itself, or is empty since its maker was killed at once."""
    with suppress(OSError):
        about = room.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
            return False
        names = {entry.name for entry in room.iterdir()}
        if not names:
            return True
        mark = room / OWNER
        named = stat.S_ISREG(mark.lstat().st_mode) and mark.stat().st_size <= len(room.name)
        return named and names <= {OWNER, FILES} and room.name.startswith(mark.read_text(encoding="ascii"))
    return False
