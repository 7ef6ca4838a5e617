"""Which DICOM files hold labels: segmentations and structure sets, by their SOP class."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saint_cli.errors import GeometryError, UnreadableError, UsageError
from saint_cli.errors.plain_text import list_first
from saint_cli.io.dicom.acquired_slices import read_sources
from saint_cli.io.dicom.bounded_parse import read_header
from saint_cli.io.dicom.folder_scan import list_files
from saint_cli.io.dicom.headers import reread_headers
from saint_cli.io.dicom.label_painter import describe_segment
from saint_cli.io.dicom.plane_steps import AcquiredSlices, Origin
from saint_cli.io.dicom.sop_class import LABEL_CLASSES, LabelObject, class_name, complete_sop_class
from saint_cli.io.dicom.values import decode_text
from saint_cli.io.folder_walk import is_folder
from saint_cli.io.formats import Format, detect_format
from saint_cli.io.skipped_files import format_counts
from saint_cli.io.unzip import extract_zip
from saint_cli.volume import Volume
from saint_cli.volume.label_map import Segment

OTHER_FRAME_WARNING = (
    "the labels name another frame of reference than the scan's, but the scan's slices as those that they were drawn "
    "on; these count"
)

MAX_SHOWN = 20
"""Segments that a message lists."""


@dataclass(frozen=True)
class ScanIdentity:
    """What labels refer to a scan by: its frame of reference, "" where its files name none, and its instances.

    source_uids, acquired: instances that it was made of, and where those slices lie, of an upsampled scan.
    is_drawn_on: the labels were drawn on it, unless their file says otherwise.
    """

    frame_of_reference_uid: str = ""
    instance_uids: frozenset[str] = frozenset()
    source_uids: frozenset[str] = frozenset()
    acquired: AcquiredSlices | None = None
    is_drawn_on: bool = False

    def find_origin(self, named: frozenset[str]) -> Origin:
        """What is known of the scan that labels were drawn on, whose file names these instances."""
        is_original = bool(self.instance_uids) and not self.source_uids
        return Origin(
            names_scan=bool(named & self.instance_uids),
            names_source=bool(named & self.source_uids),
            is_own=self.is_drawn_on or (is_original and not named),
            acquired=self.acquired,
        )


@contextmanager
def open_label_files(path: Path) -> Iterator[tuple[LabelObject, list[Path]]]:
    """The kind of labels at a path, and its files: one, or one series in a folder or zip file, beside whatever else.

    Raises:
        UnreadableError: missing or unreadable. UsageError: no labels, or several series of them.
    """
    packed = None if is_folder(path) or detect_format(path) is not Format.ZIP else extract_zip(path)
    folder = path if packed is None else packed.path
    found: dict[tuple[LabelObject, str], list[Path]] = {}
    others = Counter[str]()
    paths = [file for file, reason in list_files(folder) if not reason] if is_folder(folder) else [folder]
    for file in paths:
        sop_class, series = _read_identity(file, is_alone=file == path)
        if kind := LABEL_CLASSES.get(sop_class):
            found.setdefault((kind, series), []).append(file)
        else:
            others[class_name(sop_class)] += 1
    if not found:
        raise UsageError(
            f"{path}: no labels, which DICOM holds in a Segmentation or an RT Structure Set (here: "
            f"{format_counts(others, {})})"
        )
    if len(found) > 1:
        shown = ", ".join(f"{files[0].relative_to(folder)} ({kind.value})" for (kind, _), files in found.items())
        raise UsageError(f"{path}: {len(found)} series of labels; give one of these files: {shown}")
    (((kind, _), files),) = found.items()
    yield kind, files


def detect_label_object(path: Path) -> tuple[LabelObject, str] | None:
    """The kind of labels that a DICOM file holds, and its SeriesInstanceUID; None of other and of unreadable files."""
    sop_class, series = _read_identity(path, is_alone=False)
    kind = LABEL_CLASSES.get(sop_class)
    return None if kind is None else (kind, series)


def _read_identity(path: Path, *, is_alone: bool) -> tuple[str, str]:
    """SOPClassUID and SeriesInstanceUID; empty where a file is no DICOM file.

    Raises:
        UnreadableError: it is not readable, and ``is_alone``.
    """
    try:
        if detect_format(path) is not Format.DICOM:
            return "", ""
        data, _ = read_header(path, ["SOPClassUID", "SeriesInstanceUID", "Modality"])
        complete_sop_class(data)
        return decode_text(data.get("SOPClassUID")), decode_text(data.get("SeriesInstanceUID"))
    except Exception as error:  # damage makes pydicom raise whatever its parser stumbles over
        if is_alone:
            raise UnreadableError(f"{path}: not readable as DICOM ({type(error).__name__})") from None
        return "", ""


def identify_scan(scan: Volume | None, *, is_drawn_on: bool) -> ScanIdentity:
    """What labels refer to a scan by; without UIDs for a scan from other files than DICOM.

    Raises:
        SourceChangedError: its files are gone or changed.
    """
    if scan is None or scan.header.dicom_source is None:
        return ScanIdentity(is_drawn_on=is_drawn_on)
    headers = reread_headers(scan.header.dicom_source.slices)
    frame = headers[0].frame_of_reference_uid
    instances = frozenset(header.sop_instance for header in headers)
    if scan.header.derivation is not None:  # its slices are others than those of its source
        acquired = AcquiredSlices(np.array([header.position for header in headers]), np.arange(len(headers)))
        return ScanIdentity(frame, source_uids=instances, acquired=acquired)
    sources = read_sources(headers)
    if sources is None:
        return ScanIdentity(frame, instances, is_drawn_on=is_drawn_on)
    return ScanIdentity(frame, instances, sources.uids, sources.acquired, is_drawn_on)


def check_frame_of_reference(
    path: Path, labels_uid: str, scan: ScanIdentity, drawn_on: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Refuse labels in another space than the scan's; where either names none, nothing is known.

    drawn_on: instances that the labels name as those that they were drawn on. Slices of the scan are in its space,
    whatever UID the labels have, of which the result warns: early versions of rt-utils made one up.

    Raises:
        GeometryError: two different frames of reference.
    """
    if not labels_uid or not scan.frame_of_reference_uid or labels_uid == scan.frame_of_reference_uid:
        return ()
    if drawn_on and drawn_on <= scan.instance_uids | scan.source_uids:
        return (OTHER_FRAME_WARNING,)
    raise GeometryError(
        f"{path}: the labels lie in another frame of reference (UID ...{labels_uid[-8:]}) than the scan "
        f"(...{scan.frame_of_reference_uid[-8:]}), so that their places cannot be compared; give the scan on which "
        "they were drawn"
    )


def choose_segments(
    path: Path, segments: tuple[Segment, ...], wanted: tuple[int, ...], noun: str
) -> tuple[Segment, ...]:
    """The segments with the numbers ``wanted``; all where none is.

    Raises:
        UsageError: a number that no segment has; the message lists those that there are.
    """
    missing = sorted(set(wanted) - {segment.number for segment in segments})
    if missing:
        listed = list_first([describe_segment(segment, noun) for segment in segments], MAX_SHOWN)
        given = ",".join(map(str, wanted))
        raise UsageError(f"{path}: `segments={given}`: there is no {noun} {missing[0]}; it holds {listed}")
    return tuple(segment for segment in segments if not wanted or segment.number in wanted)
