"""What the user named as input: files, folders, globs, and tables (CSV, JSONL) with options for each scan."""

import glob
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from saint_cli.batch.tables import list_problems, read_table
from saint_cli.errors import RemoteError, UnreadableError, UsageError
from saint_cli.io import remote, urls
from saint_cli.io.entries import explain_absence, is_folder, is_there, real_path
from saint_cli.io.remote import Origin

TABLES = (".csv", ".jsonl")


@dataclass(frozen=True)
class Root:
    """A file or folder to look at; ``options`` of the command line that differ for it; ``name`` of its result.

    prefix: folder of the output tree under which its results go. origin: what lies there, if it is a URL; error: why
    that cannot be told. Of a URL, ``path`` only stands for it where names are made. row: where it stands in a table.
    """

    path: Path
    options: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    prefix: str = ""
    origin: Origin | None = None
    error: RemoteError | None = None
    row: str | None = field(default=None, compare=False)

    @property
    def is_folder(self) -> bool:
        """Whether there may be several scans below it."""
        if self.origin is not None:
            return self.error is None and not self.origin.is_file
        return is_folder(self.path)


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
    return [replace(r, prefix=real_path(r.path).name) if r.path in folders else r for r in found]


def _roots(given: Path | str) -> Iterator[Root]:
    if isinstance(given, str):
        yield from _at_url(given)
    elif given.suffix.lower() in TABLES and is_there(given) and not is_folder(given):
        yield from _table(given)
    elif is_there(given):
        yield Root(given)
    elif glob.has_magic(str(given)):
        matches = _matches(str(given))
        if not matches:
            raise UsageError(f"{given}: nothing matches this pattern")
        yield from (Root(Path(match)) for match in matches)
    else:
        raise UnreadableError(f"{given}: {explain_absence(given)}")


def _matches(pattern: str) -> list[str]:
    try:
        return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - absolute patterns too
    except RecursionError:
        raise UsageError(f"{pattern}: folders there are nested too deeply for a pattern; name the folder") from None


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
    problems = []
    for where, options in read_table(path):
        source, name = options.pop("source"), options.pop("name", None)
        if not urls.is_url(source):
            yield Root(path.parent / source, options, name, row=where)
            continue
        try:
            yield Root(_of_url(source), options, name, origin=remote.look(urls.check(source)), row=where)
        except RemoteError as error:
            yield Root(_of_url(source), options, name, origin=remote.unseen(source), error=error, row=where)
        except UsageError as error:
            problems.append(f"{where}: {error}")
    if problems:
        raise UsageError(list_problems(problems))


def _of_url(url: str) -> Path:
    """What stands for a URL where names are made."""
    return Path("/", urls.shown(url).replace("://", "/"))
