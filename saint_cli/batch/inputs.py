"""What the user named as input: files, folders, globs, and tables (CSV, JSONL) with options for each scan."""

import glob
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from saint_cli.batch.input_tables import OWN_COLUMNS, Row, read_table, use_rows
from saint_cli.batch.label_files import resolve_cell
from saint_cli.errors import RemoteError, UnreadableError, UsageError
from saint_cli.io.folder_walk import explain_absence, is_folder, is_there, resolve_path
from saint_cli.io.remote import transfer, urls
from saint_cli.jobs.location import SourceLocation

TABLES = (".csv", ".jsonl")

PATTERN_SIGNS = "*?["
"""Of patterns, of paths and of URLs."""


@dataclass(frozen=True)
class Root:
    """A file or folder in which scans are looked for.

    options: those of the command line that differ for it, as text; name: of its result; prefix: folder of the output
    tree under which its results go; error: why its URL cannot be listed. place: where it lies below the folder that its
    pattern begins with, or as its row has it; "" of one that was named by itself.
    """

    location: SourceLocation
    options: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    prefix: str = ""
    error: RemoteError | None = None
    place: str = field(default="", compare=False)

    @property
    def is_remote(self) -> bool:
        """Whether it lies at a URL."""
        return not isinstance(self.location, Path)

    @property
    def is_folder(self) -> bool:
        """Whether there may be several scans below it."""
        if isinstance(self.location, Path):
            return is_folder(self.location)
        return self.error is None and not self.location.is_file

    @property
    def base_name(self) -> str:
        """The last part of its path or URL."""
        return resolve_path(self.location).name if isinstance(self.location, Path) else self.location.main

    @property
    def own_options(self) -> frozenset[str]:
        """The names of its options, as Python has them."""
        return frozenset(name.replace("-", "_").lower() for name in self.options)

    @property
    def path(self) -> Path:
        """The path; of a URL, the parts of it."""
        if isinstance(self.location, Path):
            return self.location
        return Path("/", urls.public_url(self.location.url_as_given).replace("://", "/"))


def expand_inputs(
    inputs: Sequence[Path | str], check_options: Callable[[Mapping[str, str]], object] = lambda options: None
) -> list[Root]:
    """The files and folders that the arguments stand for, in their order; several folders each get their own prefix.

    inputs: paths, and URLs as text. check_options: raises a UsageError of options that a row of a table cannot have.

    Raises:
        UnreadableError: a path or URL that does not exist, a table that cannot be read.
        UsageError: a pattern that matches nothing, a table with rows that cannot be used.
    """
    roots = [root for one in inputs for root in _expand(one, check_options)]
    folders = {root.path for root in roots if root.is_folder and root.name is None}
    if len(folders) < 2:
        return roots
    return [replace(r, prefix=resolve_path(r.path).name) if r.path in folders else r for r in roots]


def is_table(one: Path | str) -> bool:
    """Whether an argument is a table of scans."""
    return isinstance(one, Path) and one.suffix.lower() in TABLES and is_there(one) and not is_folder(one)


def _expand(one: Path | str, check_options: Callable[[Mapping[str, str]], object]) -> Iterator[Root]:
    if isinstance(one, str):
        yield from _expand_url(one)
    elif is_table(one):
        yield from _read_table(one, check_options)
    elif is_there(one):
        yield Root(one)
    elif glob.has_magic(str(one)):
        yield from (Root(match, place=_cut_fixed(str(match), str(one))) for match in _expand_pattern(str(one)))
    else:
        raise UnreadableError(f"{one}: {explain_absence(one)}")


def _expand_pattern(pattern: str) -> list[Path]:
    try:
        matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - absolute patterns too
    except RecursionError:
        raise UsageError(f"{pattern}: folders there are nested too deeply for a pattern; name the folder") from None
    if not matches:
        raise UsageError(f"{pattern}: nothing matches this pattern")
    return list(map(Path, matches))


def _cut_fixed(match: str, pattern: str) -> str:
    """The part of a match of a pattern that other matches may differ in: what follows the folders before a sign."""
    parts = pattern.split("/")
    fixed = next(index for index, part in enumerate(parts) if any(sign in part for sign in PATTERN_SIGNS))
    return "/".join(match.split("/")[fixed:])


def _expand_url(url: str) -> list[Root]:
    if not urls.is_pattern(url):
        return [Root(transfer.list_source(url))]
    with suppress(RemoteError):  # a name may hold the signs of a pattern
        return [Root(transfer.list_source(url))]
    matches = transfer.expand_pattern(url)
    if not matches:
        raise UsageError(f"{urls.public_url(url)}: nothing matches this pattern")
    return [Root(transfer.list_source(match), place=_cut_fixed(match, url)) for match in matches]


def _read_table(table: Path, check_options: Callable[[Mapping[str, str]], object]) -> list[Root]:
    """The rows of a table; paths in it are relative to its folder. Missing sources are found out later."""

    def check(row: Row) -> None:
        if urls.is_url(row["source"]):
            urls.check_url(row["source"])
        check_options(_get_options(row, table.parent))

    return [root for _, root in use_rows(read_table(table, check), lambda row: _make_root(row, table.parent))]


def _get_options(row: Row, folder: Path) -> dict[str, str]:
    return resolve_cell({column: text for column, text in row.items() if column not in OWN_COLUMNS}, folder)


def _make_root(row: Row, folder: Path) -> Root:
    """What a row of a table in this folder names; a URL is listed.

    Raises:
        UsageError: a URL that nothing can read.
    """
    source, name, options = row["source"], row.get("name"), _get_options(row, folder)
    if not urls.is_url(source):
        return Root(folder / source, options, name, place=Path(source).as_posix())
    place = urls.public_url(source)
    try:
        return Root(transfer.list_source(source), options, name, place=place)
    except RemoteError as error:
        return Root(transfer.make_unlisted_source(source), options, name, error=error, place=place)
