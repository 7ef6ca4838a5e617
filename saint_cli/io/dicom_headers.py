"""Headers of DICOM files: which of them are CT or MR slices, and where each slice lies. No pixels are read here."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom import config, uid

from saint_cli.errors import UnreadableError
from saint_cli.io.dicom_multiframe import frame_headers
from saint_cli.io.dicom_slice import VOLUME_KEYS, SliceHeader
from saint_cli.io.dicom_values import (
    Skipped,
    hashable,
    is_phase,
    many,
    number,
    optional,
    ordinal,
    padding_range,
    pixel_format,
    spacing_pair,
    stack_uids,
    vector,
)
from saint_cli.io.partial import is_ours
from saint_cli.io.sniff import Format, sniff
from saint_cli.io.unzip import unpacked
from saint_cli.volume import SliceSource

config.settings.reading_validation_mode = config.IGNORE  # hospitals' files break length and character rules everywhere

IMAGE_CLASSES = (uid.CTImageStorage, uid.MRImageStorage, uid.PositronEmissionTomographyImageStorage)

MULTIFRAME_CLASSES = (
    uid.EnhancedCTImageStorage,
    uid.EnhancedMRImageStorage,
    uid.LegacyConvertedEnhancedCTImageStorage,
    uid.LegacyConvertedEnhancedMRImageStorage,
    uid.EnhancedPETImageStorage,
    uid.LegacyConvertedEnhancedPETImageStorage,
)

MOSAIC = "Siemens mosaic"
"""Reason under which images are counted that hold many slices as tiles."""

GREY = ("MONOCHROME1", "MONOCHROME2")

PADDING = ("PixelPaddingValue", "PixelPaddingRangeLimit")

INFORMATIVE = {"SliceThickness", "SpacingBetweenSlices", "InstanceNumber", "SeriesNumber", *PADDING} | {
    name for key in VOLUME_KEYS for name in key
}
"""Elements that a slice can do without; where damaged, they count as absent."""

TAGS = [
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality"),
    *("SeriesNumber", "InstanceNumber", "ImageType", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "ComplexImageComponent", *PADDING),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *sorted({name for key in VOLUME_KEYS for name in key}),
]
"""Everything that is read of a header; other elements are passed over, patient text among them."""


PATIENT_TAGS = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyDescription"),
    *("SeriesDescription", "AccessionNumber"),
)
"""What ``saint info --phi`` shows of a patient and a study."""


@dataclass
class Scan:
    """What a folder holds: slices, how many other files for which reason, and what keeps the files of a zip there."""

    slices: list[SliceHeader] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    keeper: object = None


def scan(path: Path) -> Scan:
    """Read the headers of every file below a folder, in a zip file, or of one file; a DICOMDIR stands for its folder.

    Raises:
        UnreadableError: ``path`` is missing or cannot be listed.
    """
    if not path.exists():
        raise UnreadableError(f"{path}: no such file or folder")
    found = Scan()
    if path.is_file() and sniff(path) is Format.ZIP:
        folder = unpacked(path)
        found = scan(folder.path)
        found.keeper = folder
        return found
    if path.is_file():
        if _add(path, found) == "DICOMDIR":
            return scan(path.absolute().parent)
        return found
    for file in _files(path):
        _add(file, found)
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Every file below a folder in sorted order, links followed, no folder entered twice."""
    seen = set()

    def refuse(error: OSError) -> None:
        raise UnreadableError(f"{error.filename}: cannot be listed ({error.strerror})") from None

    for root, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        stat = Path(root).stat()
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        folders[:] = sorted(name for name in folders if not is_ours(name))  # of a series that is being written
        yield from (Path(root, name) for name in sorted(names) if Path(root, name).is_file())


def _add(path: Path, found: Scan) -> str | None:
    """Add the slices of a file to ``found``; returns the reason if it was skipped."""
    try:
        slices = _slices(path)
    except Skipped as reason:
        found.skipped[str(reason)] += 1
        return str(reason)
    kept = [one for one in slices if "LOCALIZER" not in one.image_type]  # of frames: files were skipped above
    found.slices.extend(kept)
    found.skipped += Counter({"localizer frame": len(slices) - len(kept)})
    return None


def _slices(path: Path) -> list[SliceHeader]:
    try:
        if sniff(path) is not Format.DICOM:
            raise Skipped("not DICOM")
        data, has_pixels = read_dataset(path)
    except UnreadableError:
        raise Skipped("unreadable DICOM") from None
    try:
        return _image_slices(path, data, has_pixels=has_pixels)
    except Skipped:
        raise
    except Exception:  # nested elements are parsed on first use; see read_dataset
        raise Skipped("damaged header") from None


def _image_slices(path: Path, data: pydicom.Dataset, *, has_pixels: bool) -> list[SliceHeader]:
    sop_class = data.get("SOPClassUID")
    if sop_class not in IMAGE_CLASSES and sop_class not in MULTIFRAME_CLASSES:
        raise Skipped(_class_name(sop_class))
    if not has_pixels or not data.get("Rows") or not data.get("Columns"):
        raise Skipped("no pixel data")
    if int(data.get("SamplesPerPixel") or 1) != 1:
        raise Skipped("colour image")
    if str(data.get("PhotometricInterpretation") or "MONOCHROME2") not in GREY:
        raise Skipped("colour image")
    if "MOSAIC" in many(data.get("ImageType")):
        raise Skipped(MOSAIC)
    if "ModalityLUTSequence" in data:
        raise Skipped("Modality LUT, not supported")
    if sop_class in MULTIFRAME_CLASSES:
        return frame_headers(path, data)
    if int(data.get("NumberOfFrames") or 1) != 1:
        raise Skipped("multi-frame without positions")
    return [slice_header(path, data)]


def reread(sources: Sequence[SliceSource]) -> list[SliceHeader]:
    """The headers of slices that were read before, in the same order.

    Raises:
        UnreadableError: a file is gone, or no longer holds the slice.
    """
    files: dict[Path, dict[int, SliceHeader]] = {}
    for source in sources:
        if source.path not in files:
            try:
                files[source.path] = {one.frame: one for one in _slices(source.path)}
            except Skipped as reason:
                raise UnreadableError(f"{source.path}: changed since it was read ({reason})") from None
        if source.frame not in files[source.path]:
            raise UnreadableError(f"{source.path}: changed since it was read (frame {source.frame + 1} is gone)")
    return [files[source.path][source.frame] for source in sources]


def _class_name(sop_class: str | None) -> str:
    if not sop_class:
        return "no SOP class"
    name = uid.UID(str(sop_class)).name
    return "DICOMDIR" if name.startswith("Media Storage Directory") else name.removesuffix(" Storage")


def read_dataset(path: Path, *, pixels: bool = False) -> tuple[pydicom.Dataset, bool]:
    """The elements ``TAGS`` of a file, or all of them with ``pixels``, and whether pixel data follow.

    Raises:
        UnreadableError: not readable as DICOM.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with path.open("rb") as file:
                if pixels:
                    return pydicom.dcmread(file, force=True), True
                data = pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=list(TAGS))
                _parse(data)
                return data, file.tell() + 8 < path.stat().st_size or _is_deflated(data)
        except Exception as error:  # damage makes pydicom raise whatever its parser stumbles over
            raise UnreadableError(f"{path}: not readable as DICOM ({type(error).__name__})") from None


def _parse(data: pydicom.Dataset) -> None:
    """Parse every value, which pydicom does on first use, and forget damaged ones that only inform."""
    for tag in list(data.keys()):
        try:
            data[tag]
        except Exception:  # as above
            if pydicom.datadict.keyword_for_tag(tag) not in INFORMATIVE:
                raise
            del data[tag]


def _is_deflated(data: pydicom.Dataset) -> bool:
    meta = getattr(data, "file_meta", None) or {}
    return bool(meta.get("TransferSyntaxUID") == uid.DeflatedExplicitVRLittleEndian)


def slice_header(path: Path, data: pydicom.Dataset) -> SliceHeader:
    """The header of a single-frame CT or MR image.

    Raises:
        Skipped: a localizer, or an image without position, orientation or pixel spacing.
    """
    kinds = tuple(str(v) for v in many(data.get("ImageType")))
    if "LOCALIZER" in kinds:
        raise Skipped("localizer")
    if not all(data.get(name) for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")):
        raise Skipped("no position, orientation or pixel spacing")
    return SliceHeader(
        path=path,
        frame=0,
        sop_class=str(data.SOPClassUID),
        sop_instance=str(data.get("SOPInstanceUID") or path),
        stack_uids=stack_uids(data),
        modality=str(data.get("Modality") or ""),
        image_type=kinds[2:],
        shape=(int(data.Rows), int(data.Columns)),
        position=vector(data.ImagePositionPatient, 3),
        orientation=vector(data.ImageOrientationPatient, 6),
        pixel_spacing=spacing_pair(data.PixelSpacing),
        slope=number(data.get("RescaleSlope"), 1.0),
        intercept=number(data.get("RescaleIntercept"), 0.0),
        pixel=pixel_format(data),
        slice_thickness=optional(data.get("SliceThickness")),
        spacing_between_slices=optional(data.get("SpacingBetweenSlices")),
        instance_number=ordinal(data.get("InstanceNumber")),
        series_number=ordinal(data.get("SeriesNumber")),
        padding=padding_range(data),
        is_phase=is_phase(data, kinds),
        is_derived=kinds[:1] == ("DERIVED",),
        volume_keys=tuple(hashable(tuple(data.get(name) for name in key)) for key in VOLUME_KEYS),
    )


def patient_text(path: Path) -> dict[str, str]:
    """Patient and study text of a file, by DICOM keyword, where it holds any; for eyes that asked for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = pydicom.dcmread(path, force=True, stop_before_pixels=True, specific_tags=[*PATIENT_TAGS])
            return {name: str(data[name].value) for name in PATIENT_TAGS if data.get(name)}
        except Exception:  # as in read_dataset
            return {}
