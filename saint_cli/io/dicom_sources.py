"""Whether the files that a DICOM volume was read from are still what they were, and all of their series."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from saint_cli.errors import SourceChangedError, UnreadableError
from saint_cli.files import open_regular
from saint_cli.io.dicom_headers import read_headers
from saint_cli.io.dicom_scan import Scan, list_files
from saint_cli.io.dicom_slice import SliceHeader
from saint_cli.io.dicom_values import Skipped
from saint_cli.io.file_stamps import check_stamps, take_stamp
from saint_cli.volume import FolderListing, Origin, SliceSource, Volume

BLOCK = 1 << 14
"""Most headers are shorter."""

MOST_HASHED = 1 << 26
"""Bytes that are hashed of a file: private elements before the pixels may take gigabytes, and those a minute each."""

PIXELS, ICON = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10"), (b"\x88\x00\x00\x02", b"\x00\x88\x02\x00")
"""Tags of pixel data, and of an icon, which has pixel data of its own; in either byte order."""


def make_origin(slices: Sequence[SliceHeader], found: Scan) -> Origin:
    """What a volume remembers of the files that its slices were just read from.

    Raises:
        SourceChangedError: one was written to since its header was read.
        UnreadableError: one cannot be opened.
    """
    files = {one.path: one.stamp for one in slices}
    digests = {path: header_digest(path) for path in files}
    check_stamps((path, stamp) for path, stamp in files.items() if stamp is not None)
    sources = tuple(SliceSource(one.path, one.frame, digests[one.path], one.stamp) for one in slices)
    listing = None
    if found.folder is not None:
        series = frozenset(one.series_uid for one in slices)
        listing = FolderListing(found.folder.absolute(), frozenset(found.names), series)
    return Origin(sources, found.keeper, listing)


def header_digest(path: Path) -> str:
    """What tells a file's header from others: a hash up to the block in which the pixels begin.

    Of a file that is compressed as a whole, of all of it; of no more than ``MOST_HASHED`` bytes.

    Raises:
        UnreadableError: it cannot be opened.
    """
    digest, before, pixels = hashlib.sha1(usedforsecurity=False), b"", 0
    try:
        with open_regular(path) as file:
            while file.tell() < MOST_HASHED and (block := file.read(BLOCK)):
                digest.update(block)
                joined = before + block
                pixels += sum(map(joined.count, PIXELS)) - sum(map(joined.count, ICON))
                if pixels > 0:
                    break
                before = block[-3:]  # shorter than a tag, so that none counts twice
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be opened ({error.strerror or error})") from None
    return digest.hexdigest()


def check_unchanged(sources: Iterable[SliceSource]) -> frozenset[Path]:
    """Find out whether the headers of slices are those that were read; the files that were touched nevertheless.

    Raises:
        SourceChangedError: one is gone, or another.
    """
    touched = set[Path]()
    for path, source in {one.path: one for one in sources}.items():
        try:
            if source.stamp is None or take_stamp(path) == source.stamp:
                continue
            same = header_digest(path) == source.header_digest
        except UnreadableError as error:
            raise SourceChangedError(f"{error}; the result needs its header: run again when it is back") from None
        if not same:
            raise changed(path)
        touched.add(path)
    return frozenset(touched)


def changed(path: Path) -> SourceChangedError:
    """The error of a file that is no longer what was read."""
    return SourceChangedError(f"{path}: changed since it was read; run again when nothing writes to the scan")


def check_complete(volume: Volume) -> None:
    """Find out whether further slices of its series lie where a DICOM volume was read from, as while it is received.

    Raises:
        SourceChangedError: they do, so that the volume is a part of the scan.
    """
    listing = volume.header.origin and volume.header.origin.listing
    if not listing:
        return
    try:
        files = [path for path, reason in list_files(listing.folder) if not reason]
    except UnreadableError:
        return  # gone or closed: writers that need the files tell
    for path in files:
        name = path.relative_to(listing.folder).as_posix()
        if name not in listing.names and _is_of_series(path, listing.series):
            raise SourceChangedError(
                f"{path}: this slice of the series came after the others were read; run again when all are there"
            )


def _is_of_series(path: Path, series: frozenset[str]) -> bool:
    try:
        return any(one.series_uid in series for one in read_headers(path))
    except Skipped:
        return False
