"""The elements that make a slice a derived one: identity, provenance, place (PS3.3 C.7.6.1, C.12.1, C.12.4)."""

import hashlib
import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import cached_property

import numpy as np
from pydicom import uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

import saint_cli
from saint_cli import geometry
from saint_cli.io.dicom_slice import SliceHeader
from saint_cli.io.dicom_told import factor, told
from saint_cli.io.dicom_values import many, text
from saint_cli.volume import Derivation, Volume

NAMESPACE = uuid.UUID("5a1f7c1e-6f0b-5d0e-9c57-6b1d6a3f2c11")
"""Under which saint's UIDs are made (UUID version 5, written as 2.25.x: PS3.5 B.2)."""

SPATIAL_RESAMPLING = ("113085", "Spatial resampling")
SOURCE_FOR_PROCESSING = ("121322", "Source image for image processing operation")
MODIFYING_EQUIPMENT = ("109103", "Modifying Equipment")
"""Codes of CID 7203, 7202 and 7005."""

LATERALITY = 0x00200060
LONGEST_LO = 64
ESCAPE = b"\x1b"
LARGEST_IS = 2**31 - 1

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

PER_SLICE = (
    *("XRayTubeCurrent", "XRayTubeCurrentInuA", "XRayTubeCurrentInmA", "ExposureTime", "ExposureTimeInuS"),
    *("ExposureTimeInms", "AcquisitionTime", "AcquisitionDateTime", "CTDIvol"),
    *("CTDIPhantomTypeCodeSequence", "EstimatedDoseSaving", "WaterEquivalentDiameter", "SAR", "TriggerTime"),
    *("WaterEquivalentDiameterCalculationMethodCodeSequence", "IrradiationEventUID", "TablePosition"),
)
"""Dose, current and time of one acquired slice, which a synthesised slice does not have."""

EXPOSURE = ("Exposure", "ExposureInuAs", "ExposureInmAs")
"""Gone from every slice: nobody was exposed for this series, and dcm2niix splits a series whose exposures differ."""

EMPTIED = {"TriggerTime"}
"""Those of PER_SLICE that may be required: emptied where present."""


@dataclass(frozen=True)
class DerivedSeries:
    """A series to write: the volume, its acquired slices and the choices that its headers depend on.

    acquired: headers of the source's slices in the order of the volume's z axis.
    """

    volume: Volume
    derivation: Derivation
    acquired: tuple[SliceHeader, ...]
    keep_slice_thickness: bool
    now: datetime

    @cached_property
    def located(self) -> tuple[np.ndarray, np.ndarray]:
        """Window and offset of every slice, see ``SliceGrid.locate``."""
        return self.derivation.grid.locate()

    @cached_property
    def spacing_mm(self) -> float:
        """Distance between neighbouring output slices along their normal."""
        return geometry.slice_distance_mm(self.volume.affine_lps, 2)

    @cached_property
    def is_descending(self) -> bool:
        """Whether the source counts its instances against the direction of the z axis."""
        numbers = [one.instance_number for one in self.acquired]
        return bool(np.sign(np.diff(numbers)).sum() < 0)

    @cached_property
    def series_uid(self) -> str:
        """A UID that only the same slices, interpolated to the same values by the same weights, have."""
        digest = hashlib.sha256()
        for k in range(self.volume.shape[2]):
            digest.update(np.ascontiguousarray(self.volume.voxels[:, :, k].T).data)
        grid = self.derivation.grid
        sources = [(one.series_uid, one.sop_instance, one.frame) for one in self.acquired]
        chosen = [*self.derivation.method, self.keep_slice_thickness]
        made = [saint_cli.__version__, self.derivation.weights_sha256, grid.step, grid.count, chosen]
        return made_uid(json.dumps([sources, made, digest.hexdigest()]))

    @cached_property
    def study_uid(self) -> str:
        """The first slice's, whatever those that were merged with it say, or one made for a source that has none."""
        return self.acquired[0].stack_uids[0] or made_uid(f"study of {self.acquired[0].series_uid}")

    @cached_property
    def frame_of_reference(self) -> str:
        """The source's, or one made for its series where it has none (Type 1)."""
        study, series, frame = self.acquired[0].stack_uids
        return frame or made_uid(f"frame of reference {study} {series}")

    def position(self, index: int) -> np.ndarray:
        """(3,) LPS mm of an output slice: on the straight way between the acquired slices beside it.

        Where acquired slices lie off the even stack, by tilt or by rounding, the gaps between output slices then differ
        no more, relative to their mean, than the acquired gaps do. Beyond the last slice the mean step goes on.
        """
        window, offset = int(self.located[0][index]), float(self.located[1][index])
        below = self.acquired[window].position
        if self.is_beyond(index):
            step: np.ndarray = self.volume.affine_lps[:3, 2] / self.derivation.grid.step
        else:
            step = self.acquired[window + 1].position - below
        return np.asarray(below + offset * step)

    def nearest(self, index: int) -> int:
        """The acquired slice nearest to an output slice; of two as near, the lower one."""
        window, offset = self.located
        return min(int(window[index]) + int(offset[index] > 0.5), len(self.acquired) - 1)

    def neighbours(self, index: int) -> tuple[int, ...]:
        """The acquired slices that an output slice was made of."""
        window, offset = int(self.located[0][index]), self.located[1][index]
        return (window,) if offset == 0 or window + 1 >= len(self.acquired) else (window, window + 1)

    def is_beyond(self, index: int) -> bool:
        """Whether an output slice lies beyond the last acquired one."""
        return bool(self.located[0][index] == len(self.acquired) - 1 and self.located[1][index] > 0)


def made_uid(name: str) -> str:
    """The same UID for the same name, on every machine."""
    return f"2.25.{uuid.uuid5(NAMESPACE, name).int}"


def derive(data: Dataset, series: DerivedSeries, index: int, *, kept: bool) -> Dataset:
    """Turn a copy of a template into output slice ``index``, in place; ``kept`` where its pixels are acquired ones."""
    _identify(data, series, index)
    _describe(data, series, index, kept=kept)
    _place(data, series, index)
    if not kept and data.SOPClassUID != uid.PositronEmissionTomographyImageStorage:
        _forget_acquisition(data)
    for name in EXPOSURE:
        data.pop(name, None)
    for name in (*EMPTY_IF_ABSENT, *EMPTY_IF_ABSENT_BY_CLASS[data.SOPClassUID]):
        if name not in data:
            setattr(data, name, None)
    if not any(data.get(name) for name in ("BodyPartExamined", "ImageLaterality", "AnatomicRegionSequence")):
        data.setdefault("Laterality", DataElement(LATERALITY, "CS", None))  # might be a paired part (Type 2C)
    if "SpecificCharacterSet" in data and not data.SpecificCharacterSet:
        del data.SpecificCharacterSet
    return data


def _identify(data: Dataset, series: DerivedSeries, index: int) -> None:
    """New instance and series, old study and frame of reference (PS3.3 C.7.6.1.1.2)."""
    number = 100 * series.acquired[0].series_number + 1
    data.SOPInstanceUID = made_uid(f"{series.series_uid} {index}")
    data.SeriesInstanceUID = series.series_uid
    data.StudyInstanceUID = series.study_uid
    data.FrameOfReferenceUID = series.frame_of_reference
    data.SeriesNumber = number if 0 < number <= LARGEST_IS else 1
    count = series.volume.shape[2]
    data.InstanceNumber = count - index if series.is_descending else index + 1
    data.SeriesDescription = _described(data.get("SeriesDescription"), f"SAINT {factor(series)}")
    now = _now(data, series)
    for name in ("InstanceCreation", "Series", "Content"):
        setattr(data, f"{name}Date", now.strftime("%Y%m%d"))
        setattr(data, f"{name}Time", now.strftime("%H%M%S"))
    if data.SOPClassUID == uid.PositronEmissionTomographyImageStorage:
        data.NumberOfSlices, data.ImageIndex = count, data.InstanceNumber


def _described(source: str | bytes | None, suffix: str) -> str | bytes:
    """The source's description and the suffix, cut to what LO holds; bytes stay in their character set.

    Text beyond ASCII cannot be cut without knowing its characters: it stays whole, or the suffix stands alone.
    """
    room = LONGEST_LO - len(suffix) - 1
    if not isinstance(source, bytes):
        return f"{(source or '').strip()[:room]} {suffix}".strip()
    start = source.strip()
    if ESCAPE not in start and start.isascii():
        start = start[:room]
    elif len(start) > room or not _ends_in_ascii(start):
        return suffix
    return (start + b" " + suffix.encode()).strip()


def _ends_in_ascii(source: bytes) -> bool:
    """Whether ASCII may follow ISO 2022 text: its last escape sequence for the lower half brought ASCII back."""
    lower = re.findall(rb"\x1b(\$?\(?[@-Z])", source)  # upper halves, \x1b) and \x1b$), leave ASCII as it is
    return not lower or lower[-1] in (b"(B", b"(J")


def _now(data: Dataset, series: DerivedSeries) -> datetime:
    """The time of creation in the data set's time zone."""
    return series.now.astimezone(_zone(text(data.get("TimezoneOffsetFromUTC"))))


def _zone(offset: str) -> timezone | None:
    """The data set's time zone, or None for this machine's."""
    found = re.fullmatch(r"([+-])(\d\d)(\d\d)", offset)
    if found is None:
        return None
    sign, hours, minutes = found.groups()
    shift = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-shift if sign == "-" else shift) if shift < timedelta(hours=24) else UTC


def _describe(data: Dataset, series: DerivedSeries, index: int, *, kept: bool) -> None:
    """What was done, to what, and by which program (PS3.3 C.12.4.1, C.7.6.1.1.3)."""
    kinds = [str(v) for v in many(data.get("ImageType"))[2:3] if v] or [_default_kind(data.SOPClassUID)]
    is_pet = data.SOPClassUID == uid.PositronEmissionTomographyImageStorage
    data.ImageType = ["DERIVED", "PRIMARY" if is_pet else "SECONDARY", *kinds]  # PET allows no other (C.8.9.4.1.3)
    data.DerivationDescription = told(data, series, index, kept=kept)
    data.DerivationCodeSequence = [_code(*SPATIAL_RESAMPLING)]
    sources = [series.acquired[i] for i in series.neighbours(index)]
    references = [_reference(one) for one in sources if one.has_instance_uid]
    if references:
        data.SourceImageSequence = references
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [_code(*MODIFYING_EQUIPMENT)]
    item.Manufacturer, item.ManufacturerModelName = "saint", "saint"
    item.SoftwareVersions = saint_cli.__version__
    item.ContributionDateTime = _now(data, series).strftime("%Y%m%d%H%M%S%z")
    item.ContributionDescription = "Slices interpolated between acquired ones"
    data.ContributingEquipmentSequence = [*(data.get("ContributingEquipmentSequence") or []), item]


def _default_kind(sop_class: str) -> str:
    return {uid.CTImageStorage: "AXIAL", uid.MRImageStorage: "OTHER"}.get(uid.UID(sop_class), "IMAGE")


def _reference(source: SliceHeader) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.sop_class, source.sop_instance
    if source.is_multiframe:
        item.ReferencedFrameNumber = source.frame + 1
    item.PurposeOfReferenceCodeSequence = [_code(*SOURCE_FOR_PROCESSING)]
    return item


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _place(data: Dataset, series: DerivedSeries, index: int) -> None:
    """Where the slice lies: acquired positions verbatim, others between those of their neighbours."""
    if series.located[1][index] != 0:
        data.ImagePositionPatient = decimals(series.position(index))
    spacing = format_number_as_ds(series.spacing_mm)
    data.SpacingBetweenSlices = spacing
    if data.get("SliceThickness") in (None, ""):
        data.SliceThickness = None  # Type 2 (PS3.3 C.7.6.2): present, though nobody knows it
    elif not series.keep_slice_thickness and float(spacing) < data.SliceThickness:
        data.SliceThickness = spacing  # never made larger than acquired
    if data.get("SliceLocation") not in (None, ""):
        place = np.array([float(v) for v in data.ImagePositionPatient])
        orientation = np.array([float(v) for v in data.ImageOrientationPatient])
        data.SliceLocation = decimals(geometry.positions_along_normal(place[None], orientation))[0]


def decimals(values: Sequence[float] | np.ndarray) -> list[str]:
    """Decimal strings of at most 16 characters, as exact as these can be."""
    return [format_number_as_ds(round(float(v), 12) + 0.0) for v in values]


def _forget_acquisition(data: Dataset) -> None:
    """Take away what only an acquired slice has."""
    for name in PER_SLICE:
        if name in data:
            if name in EMPTIED:
                setattr(data, name, None)
            else:
                del data[name]
