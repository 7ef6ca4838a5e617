"""What was found at URLs before: a rerun is told by listings alone, and reads no header that it knows.

Descriptions lie beside the manifest, one file for each file or DICOM folder; they hold no patient text.
"""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import saint_cli
from saint_cli import errors
from saint_cli.batch.digest import digest
from saint_cli.batch.ledger import HIDDEN
from saint_cli.errors import GeometryError, SaintError, UnreadableError, UsageError
from saint_cli.io import Description, StackInfo, describe_remote
from saint_cli.io.atomic import complete_or_absent
from saint_cli.io.remote import Origin

FOLDER = "seen"

LASTING = (None, UsageError.__name__, UnreadableError.__name__, GeometryError.__name__)
"""Errors that the same files lead to again; others may pass."""


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
            with suppress(KeyError, TypeError, AttributeError, ValueError):  # damaged, or of another saint
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
        try:
            found = self._fresh.get(key) or json.loads((self._folder / f"{key}.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None


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
