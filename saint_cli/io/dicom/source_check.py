"""Whether the files that a DICOM volume was read from are still what they were, and all of their series."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from saint_cli.errors import SourceChangedError, UnreadableError
from saint_cli.io.dicom.folder_scan import HeaderScan, list_files
from saint_cli.io.dicom.headers import read_headers
from saint_cli.io.dicom.slice_header import SliceHeader
from saint_cli.io.dicom.validation import ignore_invalid_values
from saint_cli.io.dicom.values import SkippedFileError
from saint_cli.io.error_conversion import convert_os_errors
from saint_cli.io.file_stamps import check_stamps, source_changed_error, take_stamp
from saint_cli.io.regular_files import open_regular
from saint_cli.volume import DicomSource, FolderListing, SliceSource, Volume

BLOCK_BYTES = 1 << 14
"""Most headers are shorter."""

MAX_HASHED_BYTES = 1 << 26
"""Bytes that are hashed of a file: private elements before the pixels may take gigabytes, and those a minute each."""

PIXELS, ICON = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10"), (b"\x88\x00\x00\x02", b"\x00\x88\x02\x00")
"""Tags of pixel data, and of an icon, which has pixel data of its own; in either byte order."""


def record_source(slices: Sequence[SliceHeader], scan: HeaderScan) -> DicomSource:
    """What a volume remembers of the files that its slices were just read from.

    Raises:
        SourceChangedError: one was written to since its header was read.
        UnreadableError: one cannot be opened.
    """
    stamps = {header.path: header.stamp for header in slices}
    digests = {path: digest_header(path) for path in stamps}
    check_stamps((path, stamp) for path, stamp in stamps.items() if stamp is not None)
    formats = [(header.pixel_format.bits_stored, header.pixel_format.shift) for header in slices]
    sources = tuple(
        SliceSource(header.path, header.frame, digests[header.path], header.stamp, bits, header.padding)
        for header, bits in zip(slices, formats, strict=True)
    )
    listing = None
    if scan.folder is not None:
        series = frozenset(header.series_uid for header in slices)
        listing = FolderListing(scan.folder.absolute(), frozenset(scan.names), series)
    return DicomSource(sources, scan.keep_alive, listing, slices[0].slice_thickness)


def digest_header(path: Path) -> str:
    """A hash of a file up to the block in which the pixels begin, by which its header is recognised.

    A file that is compressed as a whole is hashed to its end; no more than ``MAX_HASHED_BYTES`` of any.

    Raises:
        UnreadableError: it cannot be opened.
    """
    digest, before, pixels = hashlib.sha1(usedforsecurity=False), b"", 0
    with convert_os_errors(path, "opened"), open_regular(path) as file:
        while file.tell() < MAX_HASHED_BYTES and (block := file.read(BLOCK_BYTES)):
            digest.update(block)
            joined = before + block
            pixels += sum(map(joined.count, PIXELS)) - sum(map(joined.count, ICON))
            if pixels > 0:
                break
            before = block[-3:]  # shorter than a tag, so that none counts twice
    return digest.hexdigest()


def check_unchanged(sources: Iterable[SliceSource]) -> frozenset[Path]:
    """Check that the headers of slices are those that were read; returns the files that were written to nevertheless.

    Raises:
        SourceChangedError: one is gone, or another.
    """
    touched = set[Path]()
    for path, source in {source.path: source for source in sources}.items():
        try:
            if source.stamp is None or take_stamp(path) == source.stamp:
                continue
            is_same = digest_header(path) == source.header_digest
        except UnreadableError as error:
            raise SourceChangedError(f"{error}; the result needs its header: run again when it is back") from None
        if not is_same:
            raise source_changed_error(path)
        touched.add(path)
    return frozenset(touched)


@ignore_invalid_values()
def check_no_new_slices(volume: Volume) -> None:
    """Check that no further slices of its series lie where a DICOM volume was read from, as while it is received.

    Raises:
        SourceChangedError: they do, so that the volume is a part of the scan.
    """
    listing = volume.header.dicom_source and volume.header.dicom_source.listing
    if not listing:
        return
    try:
        files = [path for path, reason in list_files(listing.folder) if not reason]
    except UnreadableError:
        return  # gone or closed: writers that need the files report it
    for path in files:
        name = path.relative_to(listing.folder).as_posix()
        if name not in listing.names and _is_of_series(path, listing.series):
            raise SourceChangedError(
                f"{path}: this slice of the series came after the others were read; run again when all are there"
            )


def _is_of_series(path: Path, series: frozenset[str]) -> bool:
    try:
        return any(header.series_uid in series for header in read_headers(path))
    except SkippedFileError:
        return False
