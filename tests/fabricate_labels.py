"""Synthetic labels on the scans of ``fabricate``: DICOM Segmentations of every kind, and RT Structure Sets."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"


def item(**elements: Any) -> Dataset:
    data = Dataset()
    for name, value in elements.items():
        setattr(data, name, value)
    return data


def code(value: str, scheme: str, meaning: str) -> list[Dataset]:
    return [item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)]


def segment_item(number: int, name: str, **more: Any) -> Dataset:
    """An item of SegmentSequence: an anatomical structure, the liver."""
    return item(
        SegmentNumber=number,
        SegmentLabel=name,
        SegmentAlgorithmType="AUTOMATIC",
        SegmentAlgorithmName="LiverNet 2",
        SegmentedPropertyCategoryCodeSequence=code("123037004", "SCT", "Anatomical Structure"),
        SegmentedPropertyTypeCodeSequence=code("10200004", "SCT", "Liver"),
        RecommendedDisplayCIELabValue=[41661, 41167, 40792],
        **more,
    )


def frames_of(masks: Mapping[int, np.ndarray], series: Sequence[Dataset]) -> list[tuple[int, Any, np.ndarray]]:
    """(segment, position, mask [row, column]) of every mask [slice, row, column] that is not empty on its slice."""
    return [
        (number, data.ImagePositionPatient, mask[k])
        for number, mask in masks.items()
        for k, data in enumerate(series)
        if mask[k].any()
    ]


def segmentation(
    series: Sequence[Dataset],
    frames: Sequence[tuple[int, Any, np.ndarray]],
    segments: Sequence[Dataset] | None = None,
    kind: str = "BINARY",
    *,
    distance_mm: float | None = None,
) -> Dataset:
    """A Segmentation of the given frames (segment, ImagePositionPatient, stored values [row, column]).

    It names no source images; its planes have the direction and pixels of ``series``.
    """
    first, rows, columns = series[0], *frames[0][2].shape
    data = item(Modality="SEG", SegmentationType=kind, Rows=rows, Columns=columns, NumberOfFrames=len(frames))
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    data.SOPClassUID = LABELMAP if kind == "LABELMAP" else SEGMENTATION
    data.SOPInstanceUID = uid.generate_uid()
    data.SeriesInstanceUID = uid.generate_uid(entropy_srcs=["labels"])
    data.StudyInstanceUID, data.FrameOfReferenceUID = first.StudyInstanceUID, first.FrameOfReferenceUID
    data.PatientName, data.PatientID = "SECRET^NAME", "SECRET-ID"
    bits = 1 if kind == "BINARY" else 8
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits, bits - 1, 0
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    if kind == "FRACTIONAL":
        data.SegmentationFractionalType, data.MaximumFractionalValue = "PROBABILITY", 200
    numbers = sorted({number for number, _, _ in frames} - {0})
    data.SegmentSequence = list(segments) if segments else [segment_item(n, f"part {n}") for n in numbers]
    measures = item(PixelSpacing=first.PixelSpacing, SliceThickness=5.0)
    if distance_mm is not None:
        measures.SpacingBetweenSlices = distance_mm
    orientation = item(ImageOrientationPatient=first.ImageOrientationPatient)
    data.SharedFunctionalGroupsSequence = [
        item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[orientation])
    ]
    data.PerFrameFunctionalGroupsSequence = [_frame(number, position, kind) for number, position, _ in frames]
    stored = np.stack([values for _, _, values in frames])
    packed = np.packbits(stored.astype(bool).ravel(), bitorder="little") if bits == 1 else stored.astype(np.uint8)
    data.PixelData = packed.tobytes() + bytes(packed.size % 2)
    data["PixelData"].VR = "OB"
    return data


def _frame(number: int, position: Any, kind: str) -> Dataset:
    groups = item(PlanePositionSequence=[item(ImagePositionPatient=[float(v) for v in position])])
    if kind != "LABELMAP":
        groups.SegmentIdentificationSequence = [item(ReferencedSegmentNumber=number)]
    return groups


def structure_set(
    series: Sequence[Dataset], regions: Mapping[str, Sequence[np.ndarray]], kind: str = "CLOSED_PLANAR"
) -> Dataset:
    """A Structure Set of regions by name, each of contours (n, 3) in LPS mm; numbered from 1, all of one ``kind``."""
    frame = str(series[0].FrameOfReferenceUID)
    data = item(SOPClassUID=uid.RTStructureSetStorage, SOPInstanceUID=uid.generate_uid(), Modality="RTSTRUCT")
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    data.StudyInstanceUID, data.SeriesInstanceUID = series[0].StudyInstanceUID, uid.generate_uid()
    data.PatientName, data.PatientID = "SECRET^NAME", "SECRET-ID"
    data.ReferencedFrameOfReferenceSequence = [item(FrameOfReferenceUID=frame)]
    names = list(enumerate(regions, 1))
    data.StructureSetROISequence = [
        item(ROINumber=n, ReferencedFrameOfReferenceUID=frame, ROIName=name, ROIGenerationAlgorithm="MANUAL")
        for n, name in names
    ]
    data.ROIContourSequence = [
        item(
            ReferencedROINumber=n,
            ROIDisplayColor=[255, 128, 0],
            ContourSequence=[_contour(c, kind) for c in regions[name]],
        )
        for n, name in names
    ]
    return data


def _contour(points: np.ndarray, kind: str) -> Dataset:
    return item(
        ContourGeometricType=kind,
        NumberOfContourPoints=len(points),
        ContourData=[f"{value:.6f}" for value in np.asarray(points).ravel()],
    )


def save_one(data: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path
