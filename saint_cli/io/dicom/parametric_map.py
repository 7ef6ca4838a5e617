"""The expected error of a derived series as one DICOM Parametric Map (PS3.3 A.75), float32, by highdicom."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from saint_cli.io.dicom import highdicom_objects
from saint_cli.io.dicom.derived_header import MAX_IS
from saint_cli.io.dicom.derived_series import DerivedSeries
from saint_cli.io.dicom.pixels import PixelReader
from saint_cli.io.dicom.referenced_series import ReferencedSeries, refer_to_derived
from saint_cli.io.dicom.uids import make_uid
from saint_cli.io.dicom.validation import ignore_invalid_values
from saint_cli.io.dicom.write import make_series
from saint_cli.runtime.version import __version__
from saint_cli.volume import Volume

KIND, EXTRA = "DICOM Parametric Map", "parametric-map"

UNIT = ("[hnsf'U]", "UCUM", "Hounsfield unit")
QUANTITY = ("EXPECTED_ERROR", "99SAINT", "Expected absolute error")
"""No standard terminology has a code for it; schemes that begin with 99 are private (PS3.16 8)."""


def check_map(volume: Volume, path: Path) -> None:
    """Check whether a map of the shape of ``volume`` could be written, by what is installed and by its size.

    Raises:
        UsageError: highdicom is not installed, or the map would be too large for a DICOM element.
    """
    highdicom_objects.check_installed(path, KIND, EXTRA)
    highdicom_objects.check_pixel_bytes(4 * volume.voxels.size, path, KIND)


@ignore_invalid_values()
def write_map(error: Volume, result: Volume, path: Path, *, overwrite: bool, keep_slice_thickness: bool) -> None:
    """Write the expected error of a result that is written as a derived series; the map refers to its slices.

    error: float32 HU, of the shape of ``result``. keep_slice_thickness: as the series is written with.

    Raises:
        UsageError: the result does not lie where its source's slices do.
        UnreadableError: the source's files are gone or changed.
        OutputError: the map cannot be encoded or written.
    """
    with PixelReader() as reader:
        series = make_series(result, path, keep_slice_thickness=keep_slice_thickness)
        referenced = refer_to_derived(series, reader)
    highdicom_objects.write_object(lambda: _make_map(error, series, referenced), path, overwrite=overwrite)


def _make_map(error: Volume, series: DerivedSeries, referenced: ReferencedSeries) -> Dataset:
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
        referenced.make_sources(),
        voxels,
        series_instance_uid=make_uid(f"{name} series"),
        series_number=min(int(referenced.header.SeriesNumber) + 1, MAX_IS),
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
    referenced.copy_patient_and_study(data)
    return data
