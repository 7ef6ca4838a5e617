"""What a case puts on disk: files of bytes, links, pipes and folders, under names that a file system takes."""

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CANARY = "CANARY-PATIENT"
"""Stands where a header names a patient; nothing that saint says or writes may repeat it."""

OUTSIDE = "OUTSIDE-THE-FOLDER"
"""What a file beside the folder of the input holds; no voxel may come from it."""

PIPE, FOLDER, LINK = "pipe", "folder", "link"


@dataclass(frozen=True)
class Special:
    """An entry that is no regular file: ``kind`` is one of ``PIPE``, ``FOLDER``, ``LINK``; ``target`` of a link."""

    kind: str
    target: str = ""


Entry = bytes | Special


@dataclass
class Sample:
    """Entries of a folder by their names in it, and which of them is given to saint ("" for the folder itself)."""

    entry: str
    files: dict[str, Entry] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        """Put the entries into a folder; returns the path that saint is given. Names that cannot be are left out."""
        for name, content in self.files.items():
            try:
                _put(folder / name, content)
            except (OSError, ValueError):
                self.changes.append(f"cannot be written: {ascii(name)[:60]}")
        return folder / self.entry if self.entry else folder

    def to_json(self) -> dict[str, Any]:
        """The sample for a file of failures; ``from_json`` gives it back."""
        return {
            "entry": self.entry,
            "changes": self.changes,
            "files": {name: _packed(content) for name, content in self.files.items()},
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Sample":
        """What ``to_json`` wrote."""
        files = {name: _unpacked(content) for name, content in document["files"].items()}
        return cls(document["entry"], files, list(document["changes"]))


def _put(path: Path, content: Entry) -> None:
    for parent in reversed(path.parents):  # not in one call, which is recursive, for they may be a thousand
        parent.mkdir(exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content.kind == PIPE:
        os.mkfifo(path)
    elif content.kind == LINK:
        path.symlink_to(content.target)
    else:
        path.mkdir(exist_ok=True)


def _packed(content: Entry) -> Any:
    if isinstance(content, bytes):
        return base64.b64encode(content).decode("ascii")
    return [content.kind, content.target]


def _unpacked(content: Any) -> Entry:
    return base64.b64decode(content) if isinstance(content, str) else Special(*content)
