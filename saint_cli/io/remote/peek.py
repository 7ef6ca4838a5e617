"""Descriptions of files at URLs from their first bytes, written to sparse local files of the same names and sizes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from saint_cli.errors import SaintError
from saint_cli.io.describe import describe
from saint_cli.io.description import DescribeOptions, Description, StackInfo
from saint_cli.io.error_conversion import convert_exceptions
from saint_cli.io.formats import Format, detect_format
from saint_cli.io.remote import transfer
from saint_cli.io.remote.transfer import RemoteFile, RemoteSource
from saint_cli.runtime.temporary import TemporaryFolder

HEAD_SIZES = (1 << 16, 1 << 20)
"""Bytes read of each file at first, then of those whose header is longer; files with longer ones are fetched whole."""

MAX_HEADS_HELD = 256
"""Files whose first bytes are held in memory at a time."""

PIXEL_DATA_TAG = b"\xe0\x7f\x10\x00"
"""Tag of pixel data in little-endian DICOM: the header ends there."""

ICON_TAG = b"\x88\x00\x00\x02"
"""Tag of an icon, which has pixel data of its own."""


def describe_remote(
    source: RemoteSource,
    options: DescribeOptions = DescribeOptions(),  # noqa: B008 - frozen
    **changes: Any,
) -> Description:
    """Describe what lies at a URL as :func:`~saint_cli.io.describe.describe` does; files have their names there.

    Raises:
        UsageError, UnreadableError: as ``describe``.
        RemoteError: it cannot be read.
    """
    with convert_exceptions(source.public_url), TemporaryFolder() as folder, name_urls_in_errors(folder, source):
        _write_sparse_files(source, folder)
        local = describe(folder / source.main, replace(options, check_labels=False, **changes))
        stacks = tuple(_replace_paths_in(stack, folder, source) for stack in local.stacks)
        files = tuple(tuple(file.relative_to(folder) for file in several) for several in local.files)
        return replace(local, path=Path(source.main), stacks=stacks, files=files)


@contextmanager
def name_urls_in_errors(folder: Path, source: RemoteSource) -> Iterator[None]:
    """Errors about copies in a folder name the URL that the copies came from."""
    try:
        yield
    except SaintError as error:
        raise type(error)(replace_paths(str(error), folder, source)) from None


def _replace_paths_in(stack: StackInfo, folder: Path, source: RemoteSource) -> StackInfo:
    problem = stack.problem and replace_paths(stack.problem, folder, source)
    return replace(
        stack, problem=problem, warnings=tuple(replace_paths(text, folder, source) for text in stack.warnings)
    )


def replace_paths(sentence: str, folder: Path, source: RemoteSource) -> str:
    """A sentence with URLs in place of the paths of copies."""
    return sentence.replace(str(folder), source.parent_url)


def _write_sparse_files(source: RemoteSource, folder: Path) -> None:
    """Files of the right names and sizes in a folder, with as much of their content as their headers take."""
    short: list[RemoteFile] = []
    for start in range(0, len(source.items), MAX_HEADS_HELD):
        items = source.items[start : start + MAX_HEADS_HELD]
        short += _write_heads(source, items, folder, HEAD_SIZES[0])
    longer = [item for item in short if _write_heads(source, [item], folder, HEAD_SIZES[1])]
    if longer:
        transfer.fetch(source.part(source.main, longer), folder)


def _write_heads(source: RemoteSource, items: Sequence[RemoteFile], folder: Path, size: int) -> list[RemoteFile]:
    """Those of the items whose headers may be longer than ``size``."""
    short = []
    for item, head in zip(items, transfer.read_heads(source, items, size), strict=True):
        path = folder / item.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(head)
            file.truncate(len(head) if item.size is None else item.size)
        is_enough = _has_header(path, head, alone=item.name == source.main)
        if item.size is None or (len(head) < item.size and not is_enough):
            short.append(item)
    return short


def _has_header(path: Path, head: bytes, *, alone: bool) -> bool:
    """Whether the header of a file ends within its head; zip files have theirs at their end, read if given alone."""
    form = detect_format(path)
    if form is Format.ZIP:
        return not alone
    return form is not Format.DICOM or head.count(PIXEL_DATA_TAG) > head.count(ICON_TAG)
