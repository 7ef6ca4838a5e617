"""What was found at URLs before: a rerun is told by listings alone, and reads no header that it knows.

Descriptions lie beside the manifest, one file for each file or DICOM folder; they hold no patient text.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_type_hints

import saint_cli
from saint_cli import errors
from saint_cli.batch.digest import digest
from saint_cli.batch.json_types import has_type, parse_object
from saint_cli.batch.ledger import HIDDEN
from saint_cli.errors import GeometryError, SaintError, UnreadableError, UsageError
from saint_cli.files import open_regular
from saint_cli.io import Description, StackInfo, describe_remote
from saint_cli.io.atomic import complete_or_absent
from saint_cli.io.remote import Origin

FOLDER = "seen"

LASTING = (None, UsageError.__name__, UnreadableError.__name__, GeometryError.__name__)
"""Errors that the same files lead to again; others may pass."""


LARGEST = 1 << 26
"""Bytes of the largest description."""

TYPES: dict[str, Any] = {
    "stacks": list[dict[str, Any]],
    "files": list[list[str]],
    "skipped": dict[str, int],
    "named": dict[str, list[str]],
}
"""What a description that is no error holds."""


class Seen:
    """Descriptions of earlier runs of a folder of results, and those made in this one."""

    def __init__(self, home: Path) -> None:
        self._folder = home / HIDDEN / FOLDER
        self._fresh: dict[str, dict[str, Any]] = {}

    def describe(self, origin: Origin, *, split_runs: bool, merge: bool = False) -> Description:
        """What lies at a URL, as ``io.describe_remote`` tells it, or told it when the listing was the same.

        Raises:
            SaintError: the same, too.
        """
        items = sorted((item.name, item.size, item.stamp) for item in origin.items)
        key = digest([saint_cli.__version__, split_runs, merge, origin.above, origin.main, items])[:32]
        known = self._known(key)
        if known is not None:
            return _description(known, origin)
        document = _described(origin, split_runs=split_runs, merge=merge)
        if document.get("error") in LASTING:
            self._fresh[key] = document
        return _description(document, origin)

    def keep(self) -> None:
        """Write down what this run found.

        Raises:
            OSError: the folder cannot be written.
        """
        for key, document in self._fresh.items():
            self._folder.mkdir(parents=True, exist_ok=True)
            with complete_or_absent(self._folder / f"{key}.json") as file:
                file.write(json.dumps(document).encode("ascii"))

    def _known(self, key: str) -> dict[str, Any] | None:
        if key in self._fresh:
            return self._fresh[key]
        try:
            with open_regular(self._folder / f"{key}.json") as file:
                found = parse_object(file.read(LARGEST))
        except (OSError, ValueError, UnreadableError):
            return None
        return found if _is_sound(found) else None


def _is_sound(document: dict[str, Any]) -> bool:
    """Whether a document is one that this saint would write; not one that is damaged, or of another saint."""
    if "error" in document:
        return document["error"] in LASTING[1:] and isinstance(document.get("message"), str)
    if not all(has_type(document.get(name), kind) for name, kind in TYPES.items()):
        return False
    stacks: list[dict[str, Any]] = document["stacks"]
    fields = get_type_hints(StackInfo)
    named = all(one.keys() == fields.keys() for one in stacks)
    typed = named and all(has_type(one[name], kind) for one in stacks for name, kind in fields.items())
    return typed and len(stacks) == len(document["files"])


def _described(origin: Origin, *, split_runs: bool, merge: bool) -> dict[str, Any]:
    try:
        told = describe_remote(origin, split_runs=split_runs, merge=merge, only_dicom=True)
    except SaintError as error:
        return {"error": type(error).__name__, "message": str(error)}
    files = [[file.as_posix() for file in several] for several in told.files]
    unnamed = [replace(stack, series_description=None, protocol_name=None) for stack in told.stacks]
    return {
        "stacks": [asdict(stack) for stack in unnamed],
        "skipped": told.skipped,
        "files": files,
        "named": told.named,
    }


def _description(document: dict[str, Any], origin: Origin) -> Description:
    if "error" in document:
        raise getattr(errors, document["error"])(str(document["message"]))
    stacks = tuple(StackInfo(**{name: _frozen(value) for name, value in one.items()}) for one in document["stacks"])
    files = tuple(tuple(map(Path, several)) for several in document["files"])
    return Description(Path(origin.main), stacks, Counter(document["skipped"]), files, document["named"])


def _frozen(value: Any) -> Any:
    """A list of a JSON document as the tuple it was."""
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
