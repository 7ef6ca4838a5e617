"""What files at URLs hold, from their first bytes: headers are laid out as files whose rest is a hole."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from saint_cli.errors import SaintError
from saint_cli.io import remote
from saint_cli.io.description import Description, StackInfo
from saint_cli.io.exceptions import convert_exceptions
from saint_cli.io.inspect import describe
from saint_cli.io.remote import Item, Origin
from saint_cli.io.sniff import Format, sniff
from saint_cli.temporary import TemporaryFolder

HEADS = (1 << 16, 1 << 20)
"""Bytes that are read of each file at first, then of those whose header is longer; the longest are read whole."""

AT_ONCE = 256
"""Files whose heads are held in memory."""

PIXELS = b"\xe0\x7f\x10\x00"
"""Tag of pixel data in little-endian DICOM: the header ends there."""

ICON = b"\x88\x00\x00\x02"
"""Tag of an icon, which has pixel data of its own."""


def describe_remote(
    origin: Origin, *, phi: bool = False, split_runs: bool = False, merge: bool = False, only_dicom: bool = False
) -> Description:
    """Describe what lies at a URL as :func:`~saint_cli.io.inspect.describe` does; files are told by their names there.

    Raises:
        UsageError, UnreadableError: as ``describe``.
        RemoteError: it cannot be read.
    """
    with convert_exceptions(origin.shown), TemporaryFolder() as folder, naming(folder, origin):
        _lay(origin, folder)
        told = describe(
            folder / origin.main, phi=phi, split_runs=split_runs, merge=merge, only_dicom=only_dicom, values=False
        )
        stacks = (_plain_stack(stack, folder, origin) for stack in told.stacks)
        files = tuple(tuple(file.relative_to(folder) for file in several) for several in told.files)
        return Description(Path(origin.main), tuple(stacks), told.skipped, files, told.named)


@contextmanager
def naming(folder: Path, origin: Origin) -> Iterator[None]:
    """Failures that are told of copies in a folder are told of the URL that they came from."""
    try:
        yield
    except SaintError as error:
        raise type(error)(plain(str(error), folder, origin)) from None


def _plain_stack(stack: StackInfo, folder: Path, origin: Origin) -> StackInfo:
    problem = stack.problem and plain(stack.problem, folder, origin)
    return replace(stack, problem=problem, warnings=tuple(plain(text, folder, origin) for text in stack.warnings))


def plain(sentence: str, folder: Path, origin: Origin) -> str:
    """A sentence with URLs in place of the paths of copies."""
    return sentence.replace(str(folder), origin.above)


def _lay(origin: Origin, folder: Path) -> None:
    """Files of the right names and sizes in a folder, with as much of their content as their headers take."""
    short: list[Item] = []
    for start in range(0, len(origin.items), AT_ONCE):
        items = origin.items[start : start + AT_ONCE]
        short += _lay_some(origin, items, folder, HEADS[0])
    longer = [item for item in short if _lay_some(origin, [item], folder, HEADS[1])]
    if longer:
        remote.fetch(origin.part(origin.main, longer), folder)


def _lay_some(origin: Origin, items: Sequence[Item], folder: Path, size: int) -> list[Item]:
    """Those of the items whose headers may be longer than ``size``."""
    short = []
    for item, head in zip(items, remote.heads(origin, items, size), strict=True):
        path = folder / item.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(head)
            file.truncate(len(head) if item.size is None else item.size)
        is_told = _has_header(path, head, alone=item.name == origin.main)
        if item.size is None or (len(head) < item.size and not is_told):
            short.append(item)
    return short


def _has_header(path: Path, head: bytes, *, alone: bool) -> bool:
    """Whether the header of a file ends within its head; zip files have theirs at their end, read if given alone."""
    form = sniff(path)
    if form is Format.ZIP:
        return not alone
    return form is not Format.DICOM or head.count(PIXELS) > head.count(ICON)
