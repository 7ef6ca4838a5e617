"""Label maps of any format, in and out: NIfTI, NRRD, MetaImage, DICOM SEG; RT Structure Sets in."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from saint_cli.errors import UsageError
from saint_cli.io.error_conversion import convert_exceptions
from saint_cli.io.formats import Format, require_format
from saint_cli.io.output_checks import check_object_path, is_object_target
from saint_cli.io.read import read_volume
from saint_cli.io.read_options import LabelReadOptions, ReadOptions, parse_request
from saint_cli.io.write import write_volume
from saint_cli.volume import Header, Storage, Volume
from saint_cli.volume.label_map import LabelMap

# The modules for DICOM are imported where they are used: pydicom takes a tenth of a second.

MAX_DISTINCT = 4096
"""Labels of a file at most; more are intensities. Parcellations have up to some hundred."""


def read_labels(
    path: str | Path,
    like: Volume | None = None,
    options: LabelReadOptions = LabelReadOptions(),  # noqa: B008 - frozen
    **changes: Any,
) -> LabelMap:
    """Read a label map: NIfTI, NRRD, MetaImage, DICOM SEG (file, folder, zip), or the contours of an RT Structure Set.

    like: the scan that the labels lie on, or one that was interpolated of it. DICOM labels must lie in its frame of
    reference. A SEG, which leaves out empty slices, gets all slices of the scan; contours, which have no pixels, get
    the scan's. Labels are integers from 0 with the dtype of the file, or the smallest that holds them where the file
    has floats or no array. ``labels.plan_labels`` compares their grid with the scan's.

    changes: fields of ``options`` by name, such as ``segments=(1, 3)``.

    Raises:
        TypeError: a keyword that is no field of ``options``.
        UsageError: no labels; segments that are not there or share voxels; several series; contours without ``like``.
        UnreadableError: missing, damaged, or of an unknown format.
        GeometryError: no stack of slices, slices beside those of the scan, or another frame of reference; or
            nothing tells on which slices the labels were drawn.
    """
    path, options = parse_request(path, options, changes, "read_labels")
    with convert_exceptions(path):
        if require_format(path) is Format.DICOM:
            return _read_dicom(path, like, options)
        return _read_voxels(path, options)


def _read_dicom(path: Path, like: Volume | None, options: LabelReadOptions) -> LabelMap:
    from saint_cli.io.dicom import contour_labels, label_objects, segmentation
    from saint_cli.io.dicom.sop_class import LabelObject
    from saint_cli.io.dicom.validation import ignore_invalid_values

    with ignore_invalid_values(), label_objects.open_label_files(path) as (kind, files):
        identity = label_objects.identify_scan(like, is_drawn_on=options.is_drawn_on_like)
        is_segmentation = kind is LabelObject.SEGMENTATION
        read = segmentation.read_segmentation if is_segmentation else contour_labels.read_contours
        return read(path, files, like, identity, options)


def _read_voxels(path: Path, options: LabelReadOptions) -> LabelMap:
    """The label map of a file of voxels, whose values are the labels."""
    _check_three_axes(path, options)
    volume = read_volume(
        path, ReadOptions(volume=options.volume, outside_data=options.outside_data, max_memory=options.max_memory)
    )
    labels = _as_labels(path, volume.voxels)
    present = np.unique(labels)
    if len(present) > MAX_DISTINCT:
        raise UsageError(f"{path}: {len(present)} different values, more than label maps have; it is an image")
    missing = sorted(set(options.segments) - set(present.tolist()))
    if missing:
        shown = ", ".join(str(value) for value in present[present > 0][:20])
        given = ",".join(map(str, options.segments))
        raise UsageError(f"{path}: `segments={given}`: there is no label {missing[0]}; it holds {shown or 'none'}")
    if options.segments:
        labels = np.where(np.isin(labels, options.segments), labels, labels.dtype.type(0))
    source = volume.header
    header = Header(
        source_format=source.source_format,
        storage=Storage(labels.dtype),
        space_code=source.space_code,
        is_labels=True,
    )
    return LabelMap(labels, volume.affine_lps, header=header)


def _check_three_axes(path: Path, options: LabelReadOptions) -> None:
    """Refuse a 4-D file of which no volume was chosen.

    Raises:
        UsageError: it is one.
    """
    if options.volume is not None or require_format(path) is not Format.NIFTI:
        return
    from saint_cli.io.nifti import header as nifti

    count = nifti.read_header(path, 1, outside_data=options.outside_data).volumes
    if count > 1:
        raise UsageError(
            f"{path}: a label map must be 3-D, and this file holds {count} volumes; save the one that holds the labels "
            "as a file of its own (of one volume for each label, make one volume of whole numbers)"
        )


def _as_labels(path: Path, voxels: np.ndarray) -> np.ndarray:
    """Voxels as integers from 0: as they are where they are integers, else of the smallest type.

    Raises:
        UsageError: negative, fractional or missing values.
    """
    is_integer = voxels.dtype.kind in "iu"
    low, high = (float(pick.reduce(voxels, axis=None)) for pick in (np.fmin, np.fmax))  # besides NaN
    is_whole = is_integer or all(np.array_equal(plane, np.rint(plane), equal_nan=True) for plane in voxels.T)
    if not (low >= 0 and is_whole and high < 2**53):
        raise UsageError(
            f"{path}: voxels from {low:g} to {high:g}{'' if is_whole else ', not all whole,'} are not labels, which "
            "are whole numbers from 0 on; it is an image"
        )
    missing = 0 if is_integer else int(np.isnan(voxels).sum())
    if missing:
        are = "voxel is" if missing == 1 else "voxels are"
        raise UsageError(f"{path}: {missing} {are} NaN, and labels are whole numbers; make it 0, the background")
    return voxels if is_integer else voxels.astype(np.min_scalar_type(int(high)))


def write_labels(
    label_map: LabelMap,
    path: str | Path,
    *,
    result: Volume | None = None,
    overwrite: bool = False,
    keep_slice_thickness: bool = True,
) -> None:
    """Write a label map: NIfTI, NRRD, MetaImage with the dtype of the labels, or ending in .dcm as a DICOM SEG.

    result: for a SEG, the scan on the grid of the labels: a series as it was read from DICOM, to which the SEG refers,
    or what was interpolated of one; ``write_volume`` writes that with the same ``keep_slice_thickness``.

    Raises:
        UsageError: no LabelMap; a SEG without a DICOM ``result`` on the same grid, or of one that was turned or moved
            since it was read, or highdicom is not installed; a format that does not hold the labels.
        SourceChangedError: the DICOM files of ``result`` are gone or changed.
        OutputError: the target exists and ``overwrite`` is False, or it cannot be written.
    """
    path = Path(path)
    if not isinstance(label_map, LabelMap):
        kind = type(label_map).__name__
        raise UsageError(f"{path}: a {kind} is not a LabelMap; read_labels and convert_labels make one")
    if not is_object_target(path):
        header = replace(label_map.header, storage=Storage(label_map.labels.dtype))
        write_volume(Volume(label_map.labels, label_map.affine_lps, header), path, overwrite=overwrite)
        return
    check_object_path(path, overwrite=overwrite)
    check_segmentation_target(path, result)
    assert result is not None
    from saint_cli.io.dicom.segmentation_write import write_segmentation

    write_segmentation(label_map, result, path, overwrite=overwrite, keep_slice_thickness=keep_slice_thickness)


def check_segmentation_target(path: Path, result: Volume | None) -> None:
    """Check early whether a label map on the grid of ``result`` could be written to ``path``, if that is a DICOM SEG.

    result: the scan as it was read is enough. Other paths are accepted.

    Raises:
        UsageError: no DICOM series to refer to, or highdicom is not installed.
    """
    if not is_object_target(path):
        return
    if result is None or result.header.dicom_source is None:
        raise UsageError(
            f"{path}: a DICOM SEG refers to a DICOM series, and the scan is none; name a file ending in .nii.gz"
        )
    from saint_cli.io.dicom.segmentation_write import check_installed

    check_installed(path)


def check_segmentation(label_map: LabelMap, path: Path, result: Volume, *, is_derived: bool) -> None:
    """Check early whether labels could be written to ``path`` on the grid of ``result``, if that is a DICOM SEG.

    label_map: its axes run as those of ``result``. result: its voxels do not matter. is_derived: ``result`` is what
    will be interpolated of a scan, and not a series as it was read. Other paths are accepted.

    Raises:
        UsageError: frames of a multi-frame image; no labels, too many, or too large.
        SourceChangedError: the DICOM files of ``result`` are gone or changed.
    """
    if is_object_target(path):
        from saint_cli.io.dicom.segmentation_write import check_labels

        check_labels(label_map, result, path, is_derived=is_derived)
