"""The elements that make a slice a derived one: identity, provenance, place (PS3.3 C.7.6.1, C.12.1, C.12.4)."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
from pydicom import uid
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from saint_cli import geometry
from saint_cli.io.dicom.derivation_text import derivation_description
from saint_cli.io.dicom.derived_series import DerivedSeries, DerivedSlice
from saint_cli.io.dicom.slice_header import SliceHeader
from saint_cli.io.dicom.uids import find_frame_of_reference_uid, find_study_uid
from saint_cli.io.dicom.values import decode_text, list_values, parse_optional_float
from saint_cli.runtime.version import __version__
from saint_cli.volume.fourth_axis import VolumeMark

SPATIAL_RESAMPLING = ("113085", "Spatial resampling")
SOURCE_FOR_PROCESSING = ("121322", "Source image for image processing operation")
MODIFYING_EQUIPMENT = ("109103", "Modifying Equipment")
"""Codes of CID 7203, 7202 and 7005."""

MAX_LO_LENGTH, MAX_DS_LENGTH = 64, 16
MAX_IS = 2**31 - 1

EMPTY_IF_ABSENT = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName", "Manufacturer", "PositionReferenceIndicator", "PatientPosition"),
)
"""Type 2 of every image; a source that lacks them was invalid, the result need not be."""

EMPTY_IF_ABSENT_BY_CLASS = {
    uid.CTImageStorage: ("KVP", "AcquisitionNumber"),
    uid.MRImageStorage: ("ScanOptions", "MRAcquisitionType", "EchoTime", "EchoTrainLength"),
    uid.PositronEmissionTomographyImageStorage: (),
}

DEFAULT_KIND = dict(zip(EMPTY_IF_ABSENT_BY_CLASS, ("AXIAL", "OTHER", "IMAGE"), strict=True))
"""Third value of ImageType where the source has none."""

ACQUISITION_TAGS = (
    *("XRayTubeCurrent", "XRayTubeCurrentInuA", "XRayTubeCurrentInmA", "ExposureTime", "ExposureTimeInuS"),
    *("ExposureTimeInms", "AcquisitionTime", "AcquisitionDateTime", "CTDIvol"),
    *("CTDIPhantomTypeCodeSequence", "EstimatedDoseSaving", "WaterEquivalentDiameter", "SAR"),
    *("WaterEquivalentDiameterCalculationMethodCodeSequence", "IrradiationEventUID", "TablePosition"),
    *("DataCollectionCenterPatient", "ReconstructionTargetCenterPatient"),
)
"""Dose, current, time and places of one acquired slice, which a synthesised slice does not have."""

EXPOSURE_TAGS = ("Exposure", "ExposureInuAs", "ExposureInmAs")
"""Gone from every slice: nobody was exposed for this series, and dcm2niix splits a series whose exposures differ."""

PLANE_TAGS = ("GantryDetectorTilt", "ReconstructionDiameter", "ImagerPixelSpacing", "PixelAspectRatio")
"""What is no longer true of slices that were resampled in their plane."""

NOISE_CONTRIBUTIONS = {"noise=match": "noise added to these", "noise=smooth": "noise of acquired ones reduced"}
"""What ContributionDescription says beside the interpolation."""


def derive_header(data: Dataset, output: DerivedSlice, *, is_acquired: bool) -> Dataset:
    """Turn a copy of a template into the header of an output slice, in place.

    is_acquired: whether the slice has the pixels of an acquired one.
    """
    _set_identity(data, output)
    _set_provenance(data, output, is_acquired=is_acquired)
    _set_place(data, output)
    if not is_acquired and data.SOPClassUID != uid.PositronEmissionTomographyImageStorage:
        _remove_acquisition(data)
    if output.series.place is not None:
        _set_mark(data, output.series.place.mark)
    for name in EXPOSURE_TAGS:
        data.pop(name, None)
    for name in (*EMPTY_IF_ABSENT, *EMPTY_IF_ABSENT_BY_CLASS[data.SOPClassUID]):
        if name not in data:
            setattr(data, name, None)
    if not any(data.get(name) for name in ("BodyPartExamined", "ImageLaterality", "AnatomicRegionSequence")):
        data.setdefault("Laterality", DataElement("Laterality", "CS", None))  # might be a paired part (Type 2C)
    if "SpecificCharacterSet" in data and not data.SpecificCharacterSet:
        del data.SpecificCharacterSet
    return data


def _set_identity(data: Dataset, output: DerivedSlice) -> None:
    """New instance and series, old study and frame of reference (PS3.3 C.7.6.1.1.2)."""
    series = output.series
    source = series.acquired[0]
    number = 100 * source.series_number + 1
    data.SOPInstanceUID = output.instance_uid
    data.SeriesInstanceUID = series.uid
    data.StudyInstanceUID = find_study_uid(source)
    data.FrameOfReferenceUID = find_frame_of_reference_uid(source)
    data.SeriesNumber = number if 0 < number <= MAX_IS else 1
    data.InstanceNumber = output.instance_number
    data.SeriesDescription = _add_suffix(data.get("SeriesDescription"), _make_suffix(series))
    created = _local_time(data, series)
    for name in ("InstanceCreation", "Series", "Content"):
        setattr(data, f"{name}Date", created.strftime("%Y%m%d"))
        setattr(data, f"{name}Time", created.strftime("%H%M%S"))
    if data.SOPClassUID == uid.PositronEmissionTomographyImageStorage:
        data.NumberOfSlices, data.ImageIndex = series.volume.shape[2], data.InstanceNumber


def _make_suffix(series: DerivedSeries) -> str:
    """What a series list shows of how a series was made, such as ``SAINT x4 slab`` or ``SAINT x4 in-plane 0.5 mm``."""
    words, plane = ["SAINT", series.factor], series.derivation.plane
    words += [] if series.derivation.grid.slab is None else ["slab"]
    if plane is not None:
        words += ["untilted"] if plane.untilts else []
        words += [] if plane.pixel_mm is None else [f"in-plane {plane.pixel_mm:.4g} mm"]
    return " ".join(words)


def _add_suffix(description: str | bytes | None, suffix: str) -> str | bytes:
    """The source's description and the suffix, cut to what LO holds; bytes stay in their character set.

    Text beyond ASCII cannot be cut without knowing its characters: it stays whole, or the suffix stands alone.
    """
    limit = MAX_LO_LENGTH - len(suffix) - 1
    if not isinstance(description, bytes):
        return f"{(description or '').strip()[:limit]} {suffix}".strip()
    start = description.strip()
    if b"\x1b" not in start and start.isascii():
        start = start[:limit]
    elif len(start) > limit or not _ends_in_ascii(start):
        return suffix
    return (start + b" " + suffix.encode()).strip()


def _ends_in_ascii(text: bytes) -> bool:
    """Whether ASCII may follow ISO 2022 text: its last escape sequence for the lower half brought ASCII back."""
    lower = re.findall(rb"\x1b(\$?\(?[@-Z])", text)  # upper halves, \x1b) and \x1b$), leave ASCII as it is
    return not lower or lower[-1] in (b"(B", b"(J")


def _local_time(data: Dataset, series: DerivedSeries) -> datetime:
    """The time of creation in the data set's time zone."""
    return series.created.astimezone(_parse_time_zone(decode_text(data.get("TimezoneOffsetFromUTC"))))


def _parse_time_zone(offset: str) -> timezone | None:
    """The data set's time zone, or None for this machine's."""
    match = re.fullmatch(r"([+-])(\d\d)(\d\d)", offset)
    if match is None:
        return None
    sign, hours, minutes = match.groups()
    shift = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-shift if sign == "-" else shift) if shift < timedelta(hours=24) else UTC


def _set_provenance(data: Dataset, output: DerivedSlice, *, is_acquired: bool) -> None:
    """What was done, to what, and by which program (PS3.3 C.12.4.1, C.7.6.1.1.3)."""
    kinds = [str(v) for v in list_values(data.get("ImageType"))[2:3] if v] or [DEFAULT_KIND[data.SOPClassUID]]
    is_pet = data.SOPClassUID == uid.PositronEmissionTomographyImageStorage
    data.ImageType = ["DERIVED", "PRIMARY" if is_pet else "SECONDARY", *kinds]  # PET allows no other (C.8.9.4.1.3)
    data.DerivationDescription = derivation_description(data, output, is_acquired=is_acquired)
    data.DerivationCodeSequence = [_make_code(*SPATIAL_RESAMPLING)]
    references = [_make_reference(source) for source in output.neighbours if source.has_instance_uid]
    if references:
        data.SourceImageSequence = references
    derivation = output.series.derivation
    noise = [text for word, text in NOISE_CONTRIBUTIONS.items() if word in derivation.options]
    made = "Slices interpolated between acquired ones"
    if derivation.grid.averages:
        made = "Means of acquired slices"
    elif derivation.grid.slab is not None:
        made = "Thin slices made of acquired slabs"
    plane = () if derivation.plane is None else ("slices resampled in their plane",)
    description = "; ".join([made, *noise, *plane])
    item = make_contribution(description, _local_time(data, output.series))
    data.ContributingEquipmentSequence = [*(data.get("ContributingEquipmentSequence") or []), item]


def make_contribution(description: str, created: datetime | None = None) -> Dataset:
    """An item of ContributingEquipmentSequence that says what saint did, and when (PS3.3 C.12.1)."""
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [_make_code(*MODIFYING_EQUIPMENT)]
    item.Manufacturer, item.ManufacturerModelName = "saint", "saint"
    item.SoftwareVersions = __version__
    if created is not None:
        item.ContributionDateTime = created.strftime("%Y%m%d%H%M%S%z")
    item.ContributionDescription = description
    return item


def _make_reference(source: SliceHeader) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.sop_class, source.sop_instance
    if source.is_multiframe:
        item.ReferencedFrameNumber = source.frame + 1
    item.PurposeOfReferenceCodeSequence = [_make_code(*SOURCE_FOR_PROCESSING)]
    return item


def _make_code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _set_place(data: Dataset, output: DerivedSlice) -> None:
    """Where the slice lies: acquired positions verbatim, others between those of their neighbours."""
    if output.offset != 0 or output.is_moved:
        data.ImagePositionPatient = format_decimals(output.position)
    if output.series.derivation.plane is not None:
        across, down, _ = geometry.spacing_mm(output.series.volume.affine_lps)
        data.PixelSpacing = format_decimals([down, across])
        for name in PLANE_TAGS:
            data.pop(name, None)
    _set_thickness(data, output)
    if data.get("SliceLocation") not in (None, ""):
        position = np.array([float(v) for v in data.ImagePositionPatient])
        orientation = np.array([float(v) for v in data.ImageOrientationPatient])
        data.SliceLocation = format_decimals(geometry.positions_along_normal(position[None], orientation))[0]


def _set_thickness(data: Dataset, output: DerivedSlice) -> None:
    """The distance between slices, and what is known of their thickness; several values are kept as they are."""
    spacing = format_number_as_ds(output.series.spacing_mm)
    data.SpacingBetweenSlices = spacing
    acquired_mm = parse_optional_float(data.get("SliceThickness"))
    if output.series.derivation.grid.slab is not None:
        data.SliceThickness = spacing  # which is what slabs were divided into
    elif data.get("SliceThickness") in (None, ""):
        data.SliceThickness = None  # Type 2 (PS3.3 C.7.6.2): present, though unknown
    elif acquired_mm is not None and output.series.derivation.grid.averages:
        slab = (output.series.derivation.grid.step - 1) * output.series.acquired_spacing_mm
        data.SliceThickness = format_number_as_ds(acquired_mm + slab)
    elif acquired_mm is not None and not output.series.keep_slice_thickness and float(spacing) < acquired_mm:
        data.SliceThickness = spacing  # never made larger than acquired


def _set_mark(data: Dataset, mark: VolumeMark) -> None:
    """The attributes by which readers separate the volumes of a series; a synthesised slice has those of its volume."""
    for name, value in mark.elements:
        if str(data.get(name)) != str(value):
            values = [_convert_mark(name, v) for v in (value if isinstance(value, tuple) else (value,))]
            setattr(data, name, values if len(values) > 1 else values[0])


def _convert_mark(name: str, value: str) -> str | float:
    """A value as its element holds it; doubles of multi-frame images have more digits than a decimal string."""
    vr = dictionary_VR(name)
    if vr in ("FD", "FL"):
        return float(value)
    return format_number_as_ds(float(value)) if vr == "DS" and len(value) > MAX_DS_LENGTH else value


def format_decimals(values: Sequence[float] | np.ndarray) -> list[str]:
    """Decimal strings of at most 16 characters, as exact as these can be."""
    return [format_number_as_ds(round(float(v), 12) + 0.0) for v in values]


def _remove_acquisition(data: Dataset) -> None:
    """Remove what only an acquired slice has."""
    for name in ACQUISITION_TAGS:
        data.pop(name, None)
    if "TriggerTime" in data:
        data.TriggerTime = None  # which may be required
