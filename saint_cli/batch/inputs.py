"""What the user named as input: files, folders, globs, and tables (CSV, JSONL) with options for each scan."""

import csv
import glob
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from saint_cli.errors import RemoteError, UnreadableError, UsageError
from saint_cli.io import remote, urls
from saint_cli.io.remote import Origin

TABLES = (".csv", ".jsonl")
DELIMITERS = ",;\t"
"""Spreadsheets write CSV with semicolons where the comma stands in numbers; the first row tells which it is."""


@dataclass(frozen=True)
class Root:
    """A file or folder to look at; ``options`` of the command line that differ for it; ``name`` of its result.

    prefix: folder of the output tree under which its results go. origin: what lies there, if it is a URL; error: why
    that cannot be told. Of a URL, ``path`` only stands for it where names are made.
    """

    path: Path
    options: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    prefix: str = ""
    origin: Origin | None = None
    error: RemoteError | None = None

    @property
    def is_folder(self) -> bool:
        """Whether there may be several scans below it."""
        if self.origin is not None:
            return self.error is None and not self.origin.is_file
        return self.path.is_dir()


def roots(inputs: Sequence[Path | str]) -> list[Root]:
    """The files and folders that the arguments stand for, in their order; several folders each get their own prefix.

    inputs: paths, and URLs as text.

    Raises:
        UnreadableError: a path or URL that does not exist, a table that cannot be read.
        UsageError: a pattern that matches nothing, a table without the column ``source``.
    """
    found = [root for given in inputs for root in _roots(given)]
    folders = {root.path for root in found if root.is_folder and root.name is None}
    if len(folders) < 2:
        return found
    return [replace(r, prefix=r.path.resolve().name) if r.path in folders else r for r in found]


def _roots(given: Path | str) -> Iterator[Root]:
    if isinstance(given, str):
        yield from _at_url(given)
    elif given.suffix.lower() in TABLES and given.is_file():
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


def _at_url(given: str) -> list[Root]:
    if not urls.is_pattern(given):
        return [Root(_of_url(given), origin=remote.look(given))]
    with suppress(RemoteError):  # a name may hold the signs of a pattern
        return [Root(_of_url(given), origin=remote.look(given))]
    found = remote.matches(given)
    if not found:
        raise UsageError(f"{urls.shown(given)}: nothing matches this pattern")
    return [Root(_of_url(url), origin=remote.look(url)) for url in found]


def _table(path: Path) -> Iterator[Root]:
    """Rows of a CSV or JSONL file; paths in it count from its own folder. Missing sources are found out later."""
    for number, row in _rows(path):
        options = {key.strip(): value for key, value in row.items() if value != ""}
        source, name = options.pop("source", None), options.pop("name", None)
        if source is None:
            raise UsageError(f"{path}, row {number}: no 'source'; each row names one in a column of that name")
        if name is not None and (Path(name).is_absolute() or ".." in Path(name).parts):
            raise UsageError(f"{path}, row {number}: the name {name} leads out of the output folder")
        if not urls.is_url(source):
            yield Root(path.parent / source, options, name)
            continue
        try:
            yield Root(_of_url(source), options, name, origin=remote.look(urls.check(source)))
        except RemoteError as error:
            yield Root(_of_url(source), options, name, origin=remote.unseen(source), error=error)


def _of_url(url: str) -> Path:
    """What stands for a URL where names are made."""
    return Path("/", urls.shown(url).replace("://", "/"))


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path}: cannot be read as a table ({type(error).__name__})") from None
    if path.suffix.lower() == ".csv":
        delimiter = max(DELIMITERS, key=lines[0].count) if lines else ","
        for number, row in enumerate(csv.DictReader(lines, delimiter=delimiter), 2):
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
