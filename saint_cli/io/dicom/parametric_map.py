"""The expected error of a derived series as one DICOM Parametric Map (PS3.3 A.75), float32, by highdicom."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset

from saint_cli.errors import OutputError, UsageError
from saint_cli.io.atomic import open_atomic_file
from saint_cli.io.dicom import derived_image
from saint_cli.io.dicom.derived_header import MAX_IS, derive_header, format_decimals
from saint_cli.io.dicom.derived_series import DerivedSeries
from saint_cli.io.dicom.pixels import PixelReader
from saint_cli.io.dicom.uids import make_uid
from saint_cli.io.dicom.write import make_series
from saint_cli.io.error_conversion import convert_os_errors
from saint_cli.runtime.version import __version__
from saint_cli.volume import Volume

EXTRA = "parametric-map"
"""The extra of the package that brings highdicom."""

MAX_BYTES = 2**32 - 2
"""Of the voxels: an element's length has 32 bits, and the largest stands for an unknown one (PS3.5 7.1)."""

UNIT = ("[hnsf'U]", "UCUM", "Hounsfield unit")
QUANTITY = ("EXPECTED_ERROR", "99SAINT", "Expected absolute error")
"""No standard terminology has a code for it; schemes that begin with 99 are private (PS3.16 8)."""

PATIENT_AND_STUDY = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize"),
    *("PatientWeight", "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    *("StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName"),
    *("SpecificCharacterSet", "TimezoneOffsetFromUTC", "PositionReferenceIndicator"),
    *("BodyPartExamined", "Laterality"),
)
"""What the map takes over from the derived series as it is stored there, byte for byte."""

REQUIRED_BY_HIGHDICOM = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName"),
)


def check_map(volume: Volume, path: Path) -> None:
    """Check whether a map of the shape of ``volume`` could be written, by what is installed and by its size.

    Raises:
        UsageError: highdicom is not installed, or the map would be too large for a DICOM element.
    """
    if find_spec("highdicom") is None:
        raise UsageError(
            f"{path}: a DICOM Parametric Map needs highdicom: pip install 'saint-cli[{EXTRA}]'; or name a file ending "
            "in .nii.gz"
        )
    need = 4 * volume.voxels.size
    if need > MAX_BYTES:
        raise UsageError(
            f"{path}: a DICOM Parametric Map holds at most {MAX_BYTES / 1e9:.1f} GB, this one would have "
            f"{need / 1e9:.1f} GB; name a file ending in .nii.gz"
        )


def write_map(error: Volume, result: Volume, path: Path, *, keep_slice_thickness: bool = True) -> None:
    """Write the expected error of a result that is written as a derived series; the map refers to its slices.

    error: float32 HU, of the shape of ``result``. keep_slice_thickness: as the series is written with.

    Raises:
        UnreadableError: the source's files are gone or changed.
        OutputError: the map cannot be encoded or written.
    """
    with PixelReader() as reader:
        series = make_series(result, reader, keep_slice_thickness=keep_slice_thickness)
        first = next(iter(series.slices))
        template = derived_image.SourceFiles(reader).template(first.nearest)
        header = derive_header(derived_image.copy_dataset(template), first, is_acquired=True)
    with derived_image.convert_encoding_errors(path):
        data = _make_map(error, series, header)
    with convert_os_errors(path, "written", OutputError), open_atomic_file(path) as file:
        dcmwrite(file, data, enforce_file_format=True)


def _make_map(error: Volume, series: DerivedSeries, header: Dataset) -> Dataset:
    """The data set; ``header``: of the first slice of the series."""
    from highdicom.content import VOILUTTransformation
    from highdicom.pm import ParametricMap, RealWorldValueMapping
    from pydicom.sr.coding import Code

    voxels = np.ascontiguousarray(error.voxels.transpose(2, 1, 0), np.float32)  # [slice, row, column]
    highest = max(1.0, float(voxels.max()))
    mapping = RealWorldValueMapping(
        "ERROR", QUANTITY[2], Code(*UNIT), (0.0, highest), 1.0, 0.0, quantity_definition=Code(*QUANTITY)
    )
    name = make_uid(f"{series.uid} expected error")
    data: Dataset = ParametricMap(
        _make_references(series, header),
        voxels,
        series_instance_uid=make_uid(f"{name} series"),
        series_number=min(int(header.SeriesNumber) + 1, MAX_IS),
        sop_instance_uid=name,
        instance_number=1,
        manufacturer="saint",
        manufacturer_model_name="saint",
        software_versions=__version__,
        device_serial_number=series.derivation.weights_sha256[:16] or "none",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[VOILUTTransformation(window_center=highest / 4, window_width=highest / 2)],
        content_label="EXPECTED_ERROR",
        content_description="Expected absolute error, HU",
        series_description=f"SAINT {series.factor} expected error",
    )
    for keyword in PATIENT_AND_STUDY:
        if keyword in header:
            data[keyword] = header[keyword]
    data.file_meta.ImplementationVersionName = derived_image.IMPLEMENTATION_VERSION
    return data


def _make_references(series: DerivedSeries, header: Dataset) -> list[Dataset]:
    """The slices of the series as highdicom wants its sources; without patient text, which it refuses where odd."""
    references = []
    for output in series.slices:
        one = Dataset()
        for keyword in REQUIRED_BY_HIGHDICOM:
            setattr(one, keyword, None)
        for keyword in ("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality"):
            setattr(one, keyword, header[keyword].value)
        for keyword in ("Rows", "Columns", "PixelSpacing", "ImageOrientationPatient", "SpacingBetweenSlices"):
            setattr(one, keyword, header[keyword].value)
        one.SliceThickness = header.get("SliceThickness") or header.SpacingBetweenSlices
        one.SOPInstanceUID, one.InstanceNumber = output.instance_uid, output.instance_number
        position = output.nearest.position if output.offset == 0 else output.position
        one.ImagePositionPatient = format_decimals(position)
        references.append(one)
    return references
