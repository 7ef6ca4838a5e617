"""Descriptions of files at URLs from their first bytes, written to sparse local files of the same names and sizes."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from saint_cli.errors import SaintError, UnreadableError
from saint_cli.io.decompress import Packing, read_packing
from saint_cli.io.describe import describe
from saint_cli.io.description import DescribeOptions, Description, StackInfo
from saint_cli.io.error_conversion import convert_exceptions
from saint_cli.io.formats import Format, detect_format
from saint_cli.io.itk.image_header import read_lines
from saint_cli.io.itk.meta_header import LAST_FIELD
from saint_cli.io.remote import transfer
from saint_cli.io.remote.transfer import RemoteFile, RemoteSource
from saint_cli.io.sparse_copies import open_sparse
from saint_cli.runtime.temporary import TemporaryFolder

HEAD_SIZES = (1 << 16, 1 << 20)
"""Bytes read of each file at first, then of those whose header is longer; files with longer ones are fetched whole."""

MAX_HEADS_HELD = 256
"""Files whose first bytes are held in memory at a time."""

PIXEL_DATA_TAG = b"\xe0\x7f\x10\x00"
"""Tag of pixel data in little-endian DICOM: the header ends there."""

ICON_TAG = b"\x88\x00\x00\x02"
"""Tag of an icon, which has pixel data of its own."""

LAST_FIELDS = {Format.NRRD: "", Format.META: LAST_FIELD}
"""With what text headers end, as ``read_lines`` takes it."""


def describe_remote(source: RemoteSource, options: DescribeOptions) -> Description:
    """Describe what lies at a URL as :func:`~saint_cli.io.describe.describe` does; files have their names there.

    Raises:
        UsageError, UnreadableError: as ``describe``.
        RemoteError: it cannot be read.
    """
    with convert_exceptions(source.public_url), TemporaryFolder() as folder, name_urls_in_errors(folder, source):
        with open_sparse(_SparseCopies(source, folder).complete):
            local = describe(folder / source.main, replace(options, check_labels=False))
        stacks = tuple(_replace_paths_in(stack, folder, source) for stack in local.stacks)
        files = tuple(tuple(file.relative_to(folder) for file in several) for several in local.files)
        return replace(local, path=Path(source.main), stacks=stacks, files=files)


@contextmanager
def name_urls_in_errors(folder: Path, source: RemoteSource) -> Iterator[None]:
    """Errors about copies in a folder name the URL that the copies came from."""
    try:
        yield
    except SaintError as error:
        raise type(error)(_replace_paths(str(error), folder, source)) from None


def _replace_paths_in(stack: StackInfo, folder: Path, source: RemoteSource) -> StackInfo:
    problem, series_problem = (
        text and _replace_paths(text, folder, source) for text in (stack.problem, stack.series_problem)
    )
    warnings = tuple(_replace_paths(text, folder, source) for text in stack.warnings)
    return replace(stack, problem=problem, series_problem=series_problem, warnings=warnings)


def _replace_paths(sentence: str, folder: Path, source: RemoteSource) -> str:
    """A sentence with URLs in place of the paths of copies."""
    return sentence.replace(str(folder), source.parent_url)


class _SparseCopies:
    """Files of the right names and sizes in a folder, with as much of their content as their headers take."""

    def __init__(self, source: RemoteSource, folder: Path) -> None:
        self._source, self._folder = source, folder
        self._left: dict[Path, RemoteFile] = {}  # of whose copies the rest is only at the URL
        short: list[RemoteFile] = []
        for start in range(0, len(source.items), MAX_HEADS_HELD):
            short += self._write_heads(source.items[start : start + MAX_HEADS_HELD], HEAD_SIZES[0])
        self._fetch([item for item in short if self._write_heads([item], HEAD_SIZES[1])])

    def complete(self, paths: Iterable[Path]) -> None:
        """Fetch the rest of those files that are such copies."""
        self._fetch([self._left[path] for path in dict.fromkeys(paths) if path in self._left])

    def _fetch(self, items: Sequence[RemoteFile]) -> None:
        if items:
            transfer.fetch(self._source.part(self._source.main, items), self._folder)
        for item in items:
            self._left.pop(self._folder / item.name, None)

    def _write_heads(self, items: Sequence[RemoteFile], size: int) -> list[RemoteFile]:
        """Those of the items whose headers may be longer than ``size``."""
        short = []
        for item, head in zip(items, transfer.read_heads(self._source, items, size), strict=True):
            path = self._folder / item.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(head)
                file.truncate(len(head) if item.size is None else item.size)
            if item.size is not None and len(head) >= item.size:
                self._left.pop(path, None)
                continue
            self._left[path] = item
            if item.size is None or not _has_header(path, head, alone=item.name == self._source.main):
                short.append(item)
        return short


def _has_header(path: Path, head: bytes, *, alone: bool) -> bool:
    """Whether the header of a file ends within its head; zip files have theirs at their end, read if given alone."""
    form = detect_format(path)
    if form is Format.ZIP:
        return not alone
    if form is Format.DICOM:
        return head.count(PIXEL_DATA_TAG) > head.count(ICON_TAG)
    return form not in LAST_FIELDS or _has_lines(path, len(head), LAST_FIELDS[form])


def _has_lines(path: Path, size: int, last: str) -> bool:
    """Whether the text header of a file ends within the ``size`` bytes that its copy has."""
    try:
        _, end = read_lines(path, last)
    except UnreadableError:
        return False
    return end <= size or read_packing(path) is not Packing.NONE  # what is packed ends in the middle of its data
