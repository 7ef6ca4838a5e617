"""What the user named as input: files, folders, globs, and tables (CSV, JSONL) with options for each scan."""

import csv
import glob
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from saint_cli.errors import UnreadableError, UsageError

TABLES = (".csv", ".jsonl")


@dataclass(frozen=True)
class Root:
    """A file or folder to look at; ``options`` of the command line that differ for it; ``name`` of its result.

    prefix: folder of the output tree under which its results go.
    """

    path: Path
    options: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    prefix: str = ""


def roots(inputs: Sequence[Path]) -> list[Root]:
    """The files and folders that the arguments stand for, in their order; several folders each get their own prefix.

    Raises:
        UnreadableError: a path that does not exist, a table that cannot be read.
        UsageError: a pattern that matches nothing, a table without the column ``source``.
    """
    found = [root for given in inputs for root in _roots(given)]
    folders = {root.path for root in found if root.path.is_dir() and root.name is None}
    if len(folders) < 2:
        return found
    return [Root(r.path, r.options, r.name, r.path.resolve().name) if r.path in folders else r for r in found]


def _roots(given: Path) -> Iterator[Root]:
    if given.suffix.lower() in TABLES and given.is_file():
        yield from _table(given)
    elif given.exists():
        yield Root(given)
    elif glob.has_magic(str(given)):
        matches = sorted(glob.glob(str(given), recursive=True))  # noqa: PTH207 - absolute patterns too
        if not matches:
            raise UsageError(f"{given}: nothing matches this pattern")
        yield from (Root(Path(match)) for match in matches)
    else:
        raise UnreadableError(f"{given}: no such file or folder")


def _table(path: Path) -> Iterator[Root]:
    """Rows of a CSV or JSONL file; paths in it count from its own folder. Missing sources are found out later."""
    for number, row in _rows(path):
        options = {key.strip(): value for key, value in row.items() if value != ""}
        source, name = options.pop("source", None), options.pop("name", None)
        if source is None:
            raise UsageError(f"{path}, row {number}: no 'source'; each row names one in a column of that name")
        if name is not None and (Path(name).is_absolute() or ".." in Path(name).parts):
            raise UsageError(f"{path}, row {number}: the name {name} leads out of the output folder")
        yield Root(path.parent / source, options, name)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path}: cannot be read as a table ({type(error).__name__})") from None
    if path.suffix.lower() == ".csv":
        for number, row in enumerate(csv.DictReader(lines), 2):
            if None in row or None in row.values():
                raise UsageError(f"{path}, row {number}: not as many cells as the first row has columns")
            yield number, row
        return
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise UsageError(f"{path}, line {number}: not a JSON object")
        yield number, {key: "" if value is None else str(value) for key, value in document.items()}
