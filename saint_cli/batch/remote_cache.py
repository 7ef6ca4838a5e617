"""What was found at URLs before, so that a rerun lists folders but reads no header that it knows.

Descriptions lie beside the manifest, one file for each file or DICOM folder; they hold no patient text.
"""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_type_hints

from saint_cli import errors
from saint_cli.batch.json_values import digest, has_type, parse_object, restore_tuples
from saint_cli.batch.state_files import REMOTE_DESCRIPTIONS
from saint_cli.errors import GeometryError, SaintError, UnreadableError, UsageError
from saint_cli.io import DescribeOptions, Description, StackInfo, describe_remote
from saint_cli.io.atomic import open_atomic_file
from saint_cli.io.regular_files import open_regular
from saint_cli.io.remote.transfer import RemoteSource
from saint_cli.runtime.version import __version__

CACHED_ERRORS = (UsageError.__name__, UnreadableError.__name__, GeometryError.__name__)
"""Errors that the same files lead to again; others may pass."""

MAX_BYTES = 1 << 26
"""Of the largest description."""

FIELD_TYPES: dict[str, Any] = {
    "stacks": list[dict[str, Any]],
    "files": list[list[str]],
    "skipped": dict[str, int],
    "named": dict[str, list[str]],
}
"""What a description that is not an error holds."""


class RemoteCache:
    """Descriptions of earlier runs with the same state folder, and those made in this one."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / REMOTE_DESCRIPTIONS
        self._new: dict[str, dict[str, Any]] = {}

    def describe(self, source: RemoteSource, **how: bool) -> Description:
        """What ``io.describe_remote`` says of a URL, or said of it when the listing was the same.

        how: ``split_runs``, ``irregular`` and ``merge`` of ``io.DescribeOptions``.

        Raises:
            SaintError: the same, too.
        """
        files = sorted((file.name, file.size, file.stamp) for file in source.items)
        key = digest([__version__, sorted(how.items()), source.parent_url, source.main, files])[:32]
        document = self._read(key)
        if document is None:
            document = _describe(source, how)
            if "error" not in document or document["error"] in CACHED_ERRORS:
                self._new[key] = document
        return _from_json(document, source)

    def save(self) -> None:
        """Write down what this run found.

        Raises:
            OSError: the folder cannot be written.
        """
        for key, document in self._new.items():
            self._folder.mkdir(parents=True, exist_ok=True)
            with open_atomic_file(self._folder / f"{key}.json") as file:
                file.write(json.dumps(document).encode("ascii"))

    def _read(self, key: str) -> dict[str, Any] | None:
        if key in self._new:
            return self._new[key]
        try:
            with open_regular(self._folder / f"{key}.json") as file:
                document = parse_object(file.read(MAX_BYTES))
        except (OSError, ValueError, UnreadableError):
            return None
        return document if _is_sound(document) else None


def _is_sound(document: dict[str, Any]) -> bool:
    """Whether this version of saint would write the document; not if it is damaged, or of another version."""
    if "error" in document:
        return document["error"] in CACHED_ERRORS and isinstance(document.get("message"), str)
    if not all(has_type(document.get(name), kind) for name, kind in FIELD_TYPES.items()):
        return False
    kinds = get_type_hints(StackInfo)
    for stack in document["stacks"]:
        if stack.keys() != kinds.keys() or not all(has_type(stack[name], kind) for name, kind in kinds.items()):
            return False
    return len(document["stacks"]) == len(document["files"])


def _describe(source: RemoteSource, how: dict[str, bool]) -> dict[str, Any]:
    try:
        description = describe_remote(source, DescribeOptions(**how, only_dicom=True))
    except SaintError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {
        "stacks": [asdict(stack.without_text()) for stack in description.stacks],
        "skipped": description.skipped,
        "files": [[file.as_posix() for file in files] for files in description.files],
        "named": description.named,
    }


def _from_json(document: dict[str, Any], source: RemoteSource) -> Description:
    if "error" in document:
        raise getattr(errors, document["error"])(str(document["message"]))
    stacks = tuple(StackInfo(**restore_tuples(stack)) for stack in document["stacks"])
    files = tuple(tuple(map(Path, names)) for names in document["files"])
    return Description(Path(source.main), stacks, Counter(document["skipped"]), files, document["named"])
