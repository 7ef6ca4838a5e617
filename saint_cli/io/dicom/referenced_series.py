"""The series that a Parametric Map or a Segmentation refers to, as highdicom wants it: one header for each slice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from saint_cli import geometry
from saint_cli.errors import UsageError
from saint_cli.io.dicom import derived_image
from saint_cli.io.dicom.derived_header import EMPTY_IF_ABSENT, derive_header, format_decimals
from saint_cli.io.dicom.derived_series import DerivedSeries
from saint_cli.io.dicom.headers import reread_headers
from saint_cli.io.dicom.pixels import PixelReader
from saint_cli.io.dicom.place_check import check_place
from saint_cli.io.dicom.slice_header import SliceHeader
from saint_cli.io.dicom.template import load_template
from saint_cli.io.dicom.uids import find_frame_of_reference_uid, find_study_uid
from saint_cli.volume import Volume

PATIENT_AND_STUDY = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize"),
    *("PatientWeight", "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    *("StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName"),
    *("SpecificCharacterSet", "TimezoneOffsetFromUTC", "PositionReferenceIndicator"),
    *("BodyPartExamined", "Laterality"),
)
"""What is taken over from the series as it is stored there, byte for byte."""

REQUIRED_BY_HIGHDICOM = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName"),
)


@dataclass(frozen=True)
class ReferencedSlice:
    """A slice: its identity and the position (3,) of its first pixel, LPS mm."""

    sop_class: str
    instance_uid: str
    instance_number: int
    position: np.ndarray


@dataclass(frozen=True)
class ReferencedSeries:
    """A series: the header of its first slice, without pixels, and its slices in the order of the volume's z axis."""

    header: Dataset
    slices: tuple[ReferencedSlice, ...]

    @property
    def uid(self) -> str:
        """SeriesInstanceUID."""
        return str(self.header.SeriesInstanceUID)

    def make_sources(self) -> list[Dataset]:
        """One data set for each slice, without patient text, which highdicom refuses where it is odd."""
        return [self._make_source(one) for one in self.slices]

    def _make_source(self, one: ReferencedSlice) -> Dataset:
        data, header = Dataset(), self.header
        for keyword in REQUIRED_BY_HIGHDICOM:
            setattr(data, keyword, None)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality"):
            setattr(data, keyword, header[keyword].value)
        for keyword in ("Rows", "Columns", "PixelSpacing", "ImageOrientationPatient", "SpacingBetweenSlices"):
            setattr(data, keyword, header[keyword].value)
        data.SliceThickness = header.get("SliceThickness") or header.SpacingBetweenSlices
        data.SOPClassUID, data.SOPInstanceUID = one.sop_class, one.instance_uid
        data.InstanceNumber, data.ImagePositionPatient = one.instance_number, format_decimals(one.position)
        return data

    def copy_patient_and_study(self, data: Dataset) -> None:
        """Give a data set the patient and study of the series, byte for byte."""
        for keyword in PATIENT_AND_STUDY:
            if keyword in self.header and (keyword != "SpecificCharacterSet" or self.header.get(keyword)):
                data[keyword] = self.header[keyword]


def refer_to_derived(series: DerivedSeries, reader: PixelReader) -> ReferencedSeries:
    """A series that is written, or will be, by ``write.write_series``.

    Raises:
        UnreadableError: the source's files are gone or no longer readable.
    """
    first = next(iter(series.slices))
    template = derived_image.SourceFiles(reader).template(first.nearest)
    header = derive_header(derived_image.copy_dataset(template), first, is_acquired=True)
    header.Columns, header.Rows = series.volume.shape[:2]
    slices = (
        ReferencedSlice(
            header.SOPClassUID,
            output.instance_uid,
            output.instance_number,
            output.nearest.position if output.offset == 0 and not output.is_moved else output.position,
        )
        for output in series.slices
    )
    return ReferencedSeries(header, tuple(slices))


def refer_to_acquired(volume: Volume, path: Path) -> ReferencedSeries:
    """The series that a volume was read from; path: of what is written, for messages.

    Raises:
        UsageError: the volume does not lie where the slices do, or as :func:`check_referable`.
        SourceChangedError: its files are gone or changed.
    """
    source = volume.header.dicom_source
    assert source is not None
    acquired = reread_headers(source.slices)
    check_referable(acquired, path)
    grid = replace(geometry.same_grid(len(acquired), 2), positions=volume.header.slice_positions or None)
    check_place(volume, acquired, path, grid)
    header, first = derived_image.copy_dataset(load_template(source.slices[0])), acquired[0]
    header.StudyInstanceUID, header.SeriesInstanceUID = find_study_uid(first), first.series_uid
    header.FrameOfReferenceUID = find_frame_of_reference_uid(first)
    header.SpacingBetweenSlices = format_number_as_ds(geometry.slice_distance_mm(volume.affine_lps, 2))
    for keyword in EMPTY_IF_ABSENT:
        if keyword not in header:
            setattr(header, keyword, None)
    slices = (ReferencedSlice(one.sop_class, one.sop_instance, one.instance_number, one.position) for one in acquired)
    return ReferencedSeries(header, tuple(slices))


def check_referable(acquired: Sequence[SliceHeader], path: Path) -> None:
    """Refuse acquired slices to which the DICOM SEG at ``path`` could not refer as to one series.

    Raises:
        UsageError: frames of a multi-frame image, or slices of several series (``merge``).
    """
    reason = ""
    if any(one.is_multiframe for one in acquired):
        reason = "saint writes no DICOM SEG that refers to frames of a multi-frame image"
    elif len({(one.study_uid, one.series_uid) for one in acquired}) > 1:
        reason = "saint writes no DICOM SEG that refers to slices of several series or studies"
    if reason:
        raise UsageError(f"{path}: {reason}; name a file ending in .nii.gz")
