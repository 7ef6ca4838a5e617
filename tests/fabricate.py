"""Synthetic scans: a phantom volume, and CT and MR series as DICOM data sets that a test may bend before saving."""

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from saint_cli import geometry
from saint_cli.evaluation import interpolators
from saint_cli.volume import Derivation, Header, Storage, Volume

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # odd values are made here on purpose

CASES = Path(os.environ.get("SAINT_CASES") or Path(__file__).resolve().parents[2] / "shared" / "cases")
"""Real files, where they are at hand: in a folder that the environment names, or beside the checkout."""

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)
"""Row and column directions, each of length one and perpendicular."""

SHEARED_LPS = np.array([[0.8, 0.0, 0.3, -10.0], [0.1, 0.9, 0.2, 20.0], [0.0, 0.1, 4.0, -30.5], [0.0, 0.0, 0.0, 1.0]])
"""An affine whose axes are not perpendicular."""

OBLIQUE_LPS = np.array(
    [[0.64, -0.288, 2.4, 11.0], [0.48, 0.384, -3.2, -7.5], [0.0, 0.64, 3.0, 3.25], [0.0, 0.0, 0.0, 1.0]]
)
"""An affine of perpendicular, turned axes: 0.8 x 0.8 x 5 mm."""


def volume(
    shape: tuple[int, int, int] = (24, 20, 6), *, affine_lps: np.ndarray | None = None, dtype: str = "int16"
) -> Volume:
    """A water ellipsoid with noise in air, HU [x, y, z], 0.8 x 0.8 x 5 mm unless an affine is given."""
    grids = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    inside = sum(grid**2 for grid in grids) < 0.8
    noise = np.random.default_rng(7).normal(0, 20, shape)
    voxels = np.where(inside, 40.0, -1000.0) + noise
    if np.dtype(dtype).kind == "u":
        voxels += 1100
    affine = np.diag([0.8, 0.8, 5.0, 1.0]) if affine_lps is None else affine_lps
    stored = voxels.round().astype(dtype) if np.dtype(dtype).kind in "iu" else voxels.astype(dtype)
    return Volume(stored, affine, Header("CT", storage=Storage(stored.dtype)))


def slices(
    count: int = 6,
    *,
    step: Sequence[float] = (0.0, 0.0, 5.0),
    orientation: Sequence[float] = AXIAL,
    shape: tuple[int, int] = (12, 16),
    modality: str = "CT",
    signed: bool = False,
) -> list[Dataset]:
    """Single-frame images at ``(-10, 20, 30) + i * step`` mm, of (rows, columns) ``shape``, with random pixels."""
    random_pixels = np.random.default_rng(3)
    study, series, frame = (uid.generate_uid(entropy_srcs=[name, modality]) for name in ("study", "series", "frame"))
    made = []
    for index in range(count):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        data.SOPClassUID = uid.CTImageStorage if modality == "CT" else uid.MRImageStorage
        data.SOPInstanceUID = uid.generate_uid(entropy_srcs=[series, str(index)])
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.PatientName, data.PatientID = "SECRET^NAME", "SECRET-ID"
        data.SeriesDescription = "SECRET DESCRIPTION"
        data.Modality, data.ImageType = modality, ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.SeriesNumber, data.InstanceNumber = 4, index + 1
        data.ImagePositionPatient = [float(v) for v in np.array([-10.0, 20.0, 30.0]) + index * np.array(step)]
        data.ImageOrientationPatient = [float(v) for v in orientation]
        data.PixelSpacing = [0.75, 0.5]
        data.SliceThickness = 5.0
        data.RescaleSlope, data.RescaleIntercept = "1", "-1024" if modality == "CT" else "0"
        low = -1000 if signed else 0
        set_pixels(data, random_pixels.integers(low, 3000, shape).astype("i2" if signed else "u2"))
        made.append(data)
    return made


def set_pixels(data: Dataset, stored: np.ndarray, *, bits: int = 16) -> None:
    """Put stored values [row, column] into a data set, with the elements that describe them."""
    data.Rows, data.Columns = stored.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = stored.dtype.itemsize * 8, bits, bits - 1
    data.PixelRepresentation = int(stored.dtype.kind == "i")
    data.PixelData = stored.tobytes()
    data["PixelData"].VR = "OW"


def pixels(data: Dataset) -> np.ndarray:
    """Stored values [row, column] of a data set made here and not compressed."""
    dtype = f"{'i' if data.PixelRepresentation else 'u'}{data.BitsAllocated // 8}"
    return np.frombuffer(data.PixelData, dtype=dtype).reshape(data.Rows, data.Columns)


def save(series: Sequence[Dataset], folder: Path, *, shuffle: int | None = None) -> Path:
    """Write data sets into a new or existing folder, names in random order if ``shuffle`` seeds one."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{len(list(folder.iterdir())) + i:04d}.dcm" for i in range(len(series))]
    if shuffle is not None:
        random.Random(shuffle).shuffle(names)
    for name, data in zip(names, series, strict=True):
        data.save_as(folder / name, enforce_file_format=True)
    return folder


def save_unchecked(series: Sequence[Dataset], folder: Path) -> Path:
    """Write data sets that lack what every file must have, such as a SOP class, into a new folder."""
    folder.mkdir(parents=True)
    for number, data in enumerate(series):
        data.preamble = bytes(128)
        data.save_as(folder / f"{number:04d}.dcm", enforce_file_format=False)
    return folder


def changed(series: list[Dataset], change: Callable[[int, Dataset], None]) -> list[Dataset]:
    """The series after ``change(index, data set)`` on each of its data sets."""
    for index, data in enumerate(series):
        change(index, data)
    return series


def compress_gdcm(data: Dataset, folder: Path, kind: str = "JPEG2000") -> None:
    """Compress a data set's pixels without loss by GDCM, ``kind`` "JPEG2000" or "JPEG"."""
    image = sitk.GetImageFromArray(pixels(data)[None])
    copy = folder / "compressed.tmp.dcm"
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetUseCompression(True)
    writer.SetCompressor(kind)
    writer.SetFileName(str(copy))
    writer.Execute(image)
    packed = pydicom.dcmread(copy)
    copy.unlink()
    data.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
    data.PixelData = packed.PixelData
    data["PixelData"].is_undefined_length = True


def multiframe(series: Sequence[Dataset]) -> Dataset:
    """One enhanced image that holds the slices of a single-frame series, its rescale in the functional groups."""
    first, image = series[0], Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    image.SOPClassUID = uid.EnhancedCTImageStorage if first.Modality == "CT" else uid.EnhancedMRImageStorage
    image.SOPInstanceUID, image.Modality, image.ImageType = uid.generate_uid(), first.Modality, first.ImageType
    image.StudyInstanceUID, image.SeriesInstanceUID = first.StudyInstanceUID, first.SeriesInstanceUID
    set_pixels(image, pixels(first))
    image.PixelData = b"".join(data.PixelData for data in series)
    image.NumberOfFrames = len(series)
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=first.ImageOrientationPatient)]
    shared.PixelMeasuresSequence = [_item(PixelSpacing=first.PixelSpacing)]
    shared.PixelValueTransformationSequence = [
        _item(RescaleSlope=first.RescaleSlope, RescaleIntercept=first.RescaleIntercept)
    ]
    image.SharedFunctionalGroupsSequence = [shared]
    places = [_item(ImagePositionPatient=data.ImagePositionPatient) for data in series]
    image.PerFrameFunctionalGroupsSequence = [_item(PlanePositionSequence=[place]) for place in places]
    return image


ANATOMIES: dict[str, tuple[str, str | None, tuple[str, str, str] | None]] = {
    "paired": ("R", "KNEE", ("72696002", "SCT", "Knee")),
    "paired, named by its code alone": ("L", None, ("76752008", "SCT", "Breast")),
    "both sides": ("B", "KNEE", None),
    "unpaired": ("U", "CHEST", ("51185008", "SCT", "Chest")),
    "unpaired, named by its code alone": ("U", None, ("12738006", "SCT", "Brain")),
    "a code that nobody knows": ("U", None, ("ASDF", "99ACME", "Brain")),
    "a code that nobody knows, on one side": ("R", "ABC", ("X1", "99ACME", "Thing")),
    "no region": ("U", None, None),
}
"""FrameLaterality, BodyPartExamined, and the code of the frame's anatomic region."""


def enhanced(modality: str, anatomy: str, *, shared: bool = True) -> Dataset:
    """An enhanced image with this anatomy in its shared functional groups, or in those of every frame."""
    laterality, part, code = ANATOMIES[anatomy]
    image, group = multiframe(slices(modality=modality)), Dataset()
    group.FrameLaterality = laterality
    if code is not None:
        region = Dataset()
        region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = code
        group.AnatomicRegionSequence = [region]
    if part is not None:
        image.BodyPartExamined = part
    groups = image.SharedFunctionalGroupsSequence if shared else image.PerFrameFunctionalGroupsSequence
    for one in groups:
        one.FrameAnatomySequence = [group]
    return image


def rescaled(series: list[Dataset]) -> list[Dataset]:
    """The series with another slope and intercept in every slice."""
    for index, data in enumerate(series):
        data.RescaleSlope, data.RescaleIntercept = f"{0.5 + index}", f"{10 * index}"
    return series


def pet() -> list[Dataset]:
    """A whole-body PET series, its slope another in every slice."""
    series = slices(modality="PT")
    for index, data in enumerate(series):
        data.SOPClassUID = uid.PositronEmissionTomographyImageStorage
        data.SeriesType, data.Units, data.DecayCorrection = ["WHOLE BODY", "IMAGE"], "BQML", "START"
        data.NumberOfSlices, data.ImageIndex, data.RescaleSlope = len(series), index + 1, f"{0.5 + index}"
        data.RescaleIntercept = "0"
    return series


def interpolated(volume: Volume, factor: int, *, extrapolate: bool = False) -> Volume:
    """The volume on a grid ``factor`` times finer along z, linearly, with what the pipeline notes about it."""
    grid = geometry.grid_by_factor(volume.shape[2], 2, factor, extrapolate=extrapolate)
    voxels = interpolators.interpolate_linear(volume.voxels, grid)
    if volume.voxels.dtype.kind in "iu":
        voxels = np.rint(voxels).astype(volume.voxels.dtype)
    header = replace(volume.header, derivation=Derivation(grid, "linear", "0" * 64))
    return Volume(voxels, grid.refine(volume.affine_lps), header)


def saved_series(folder: Path) -> list[Dataset]:
    """The data sets in a folder, by file name."""
    return [pydicom.dcmread(file) for file in sorted(folder.iterdir())]


def _item(**elements: object) -> Dataset:
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return item


def hounsfield(series: list[Dataset]) -> np.ndarray:
    """Expected HU [x, y, z] of a series made in ascending order."""
    planes = [pixels(d).astype(int) * int(d.RescaleSlope) + int(d.RescaleIntercept) for d in series]
    return np.stack(planes).transpose(2, 1, 0)
