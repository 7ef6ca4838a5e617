"""Temporary folders, removed with their object, with the process, or by the next command.

``saint-MARK-RANDOM`` in TMPDIR contains a file ``owner`` with the folder's name, and the folder ``files``.
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

from saint_cli.runtime import process_identity

NAME_PATTERN = re.compile(rf"saint-({process_identity.MARK_PATTERN})-[0-9a-f]{{8}}")

OWNER_FILE, FILES_FOLDER = "owner", "files"


class TemporaryFolder:
    """A private folder, ``path``, removed with the object, by ``remove`` or with the process.

    within: another parent than ``TMPDIR``. names: from names of files here to those at their source.

    Raises:
        OSError: it cannot be created.
    """

    def __init__(self, within: str | None = None) -> None:
        top = Path(tempfile.gettempdir() if within is None else within)
        folder = top / f"saint-{process_identity.own_mark()}-{secrets.token_hex(4)}"
        folder.mkdir(mode=0o700)
        self._finalizer = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.path, self.parent = folder / FILES_FOLDER, top
        self.names: dict[str, str] = {}
        try:
            (folder / OWNER_FILE).write_text(folder.name, encoding="ascii")
            self.path.mkdir(mode=0o700)
        except OSError:
            self.remove()
            raise

    def remove(self) -> None:
        """Remove the folder with its content."""
        self._finalizer()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()


def remove_abandoned() -> None:
    """Remove the temporary folders of this user's killed processes on this machine; failures are ignored."""
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            match = NAME_PATTERN.fullmatch(entry.name)
            if match is not None and process_identity.is_gone(match[1]) and _is_own(Path(entry.path)):
                shutil.rmtree(entry.path, ignore_errors=True)


def _is_own(folder: Path) -> bool:
    """Whether this user's process made a folder: its owner file says so, or it is empty as its process was killed."""
    with suppress(OSError):
        about = folder.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
            return False
        names = {entry.name for entry in folder.iterdir()}
        if not names:
            return True
        owner = folder / OWNER_FILE
        is_plain = stat.S_ISREG(owner.lstat().st_mode) and owner.stat().st_size <= len(folder.name)
        return is_plain and names <= {OWNER_FILE, FILES_FOLDER} and folder.name.startswith(owner.read_text("ascii"))
    return False
