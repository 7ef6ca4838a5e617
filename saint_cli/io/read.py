"""Reading a volume of any supported format."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from saint_cli.errors import UnreadableError, UsageError
from saint_cli.io import size_limits, voxel_stream
from saint_cli.io.error_conversion import convert_exceptions
from saint_cli.io.file_stamps import require_unchanged
from saint_cli.io.folder_walk import is_file
from saint_cli.io.formats import Format, require_format
from saint_cli.io.scaling import unscale
from saint_cli.io.size_limits import ReadLimits
from saint_cli.io.volume_header import VolumeHeader
from saint_cli.io.voxel_checks import check_values
from saint_cli.runtime import memory
from saint_cli.volume import Header, Volume
from saint_cli.volume.stored_values import Coding


@dataclass(frozen=True)
class ReadOptions:
    """What to read of a path, and how.

    series: which stack of a DICOM folder: its number as :func:`~saint_cli.io.describe.describe` lists it, its
    SeriesInstanceUID, the end of that, or either with ``#k`` for its k-th stack.
    volume: which volume of a 4-D NIfTI file, or which stack of one DICOM series, from 1.
    split_runs: read the longest evenly spaced run of a DICOM stack that is not regular as a whole.
    merge: take evenly spaced DICOM slices as one scan though they differ in UIDs, ImageType or acquisition.
    modality: "CT" or "MR", in place of what the file says or leaves open.
    outside_data: a detached header (.mhd, .nhdr) may name data files outside its folder.
    max_memory: bytes that the voxels may take; None for all that is free.
    """

    series: str | None = None
    volume: int | None = None
    split_runs: bool = False
    merge: bool = False
    modality: str | None = None
    outside_data: bool = False
    max_memory: int | None = None


def read_volume(path: str | Path, options: ReadOptions = ReadOptions(), **changes: Any) -> Volume:
    """Read a NIfTI, NRRD or MetaImage file, or a DICOM series (folder, zip file, DICOMDIR, or multi-frame file).

    The format is found by content. Voxels are [x, y, z] scanner values: integers where the file stores whole scanner
    values, else float32, or float64 where float32 does not hold what is stored exactly. Fill values are found for
    every format (:mod:`~saint_cli.io.fill_values`), and warnings about the values go to ``Header.warnings``.

    changes: fields of ``options`` by name, such as ``series="2"``.

    Raises:
        UsageError: a folder without CT or MR slices, several stacks and no ``series``, or ``series`` for a file
            that holds one volume, a ``volume`` that does not exist; voxels that take more memory than there is.
        UnreadableError: missing, truncated, corrupt, colour, complex, all NaN, or of an unknown format.
        SourceChangedError: it was written to while it was read.
        GeometryError: not a regular stack of at least two slices.

    Nothing that a file holds raises anything but a ``SaintError``.
    """
    path, options = Path(path), replace(options, **changes)
    with convert_exceptions(path):
        with require_unchanged([path] if is_file(path) else []):
            volume = _read(path, options)
        header = volume.header if options.modality is None else replace(volume.header, modality=options.modality)
        if volume.voxels.dtype.kind == "f" and not np.isfinite(volume.voxels).any():
            raise UnreadableError(f"{path}: no voxel is a finite number; export the scan again")
        return check_values(replace(volume, header=header))


def _read(path: Path, options: ReadOptions) -> Volume:
    """The volume as its file says it is; only the library that the format needs is imported."""
    file_format = require_format(path)
    if file_format is Format.DICOM:
        from saint_cli.io.dicom import read as dicom
        from saint_cli.io.dicom.validation import ignore_invalid_values

        limits = ReadLimits(options.max_memory)
        with ignore_invalid_values():
            return dicom.read_series(
                path, options.series, options.volume, limits, split_runs=options.split_runs, merge=options.merge
            )
    if options.series is not None:
        raise UsageError(f"{path}: `series` chooses among DICOM series, but this is a {file_format.value} file")
    if options.split_runs:
        raise UsageError(
            f"{path}: `split_runs=True` is for DICOM; slices of a {file_format.value} file are evenly spaced"
        )
    if options.merge:
        raise UsageError(f"{path}: `merge=True` is for DICOM; a {file_format.value} file holds its slices in order")
    if file_format is Format.NIFTI:
        from saint_cli.io.nifti import header as nifti

        header = nifti.read_header(path, options.volume, outside_data=options.outside_data)
    else:
        if options.volume not in (None, 1):
            raise UsageError(
                f"{path}: `volume` chooses among the volumes of 4-D NIfTI and DICOM, not of {file_format.value}"
            )
        from saint_cli.io.itk import read as itk

        header = itk.read_header(path, file_format, outside_data=options.outside_data)
    return _read_voxels(path, header, options.max_memory)


def _read_voxels(path: Path, header: VolumeHeader, max_memory: int | None) -> Volume:
    """The volume that a checked header describes.

    Raises:
        UsageError: too little memory for it.
        UnreadableError: truncated or corrupt.
        SourceChangedError: a data file was written to meanwhile.
    """
    payload = header.payload
    with require_unchanged(payload.files):
        voxel_stream.check_length(payload)
        size_limits.check_image_ratio(path, payload.start + payload.size, voxel_stream.packed_size(payload))
        memory.check_voxels_fit(path, payload.size, max_memory)
        stored = voxel_stream.read_voxels(payload)
    voxels, storage = unscale(stored, header.storage)
    is_scaled = storage.dtype.kind in "iu" and not storage.is_identity
    codings = (Coding.of_dtype(storage.dtype, storage.slope, storage.intercept),) if is_scaled else ()
    source = Header(
        source_format=header.format.value,
        storage=storage,
        space_code=header.space_code,
        warnings=header.warnings,
        codings=codings,
        is_labels=header.is_labels,
    )
    return Volume(voxels, header.affine_lps, source)


def check_complete(volume: Volume) -> None:
    """Find out whether a DICOM series was read whole, or more of its slices came since.

    Raises:
        SourceChangedError: more came, as while a series is received.
    """
    if volume.header.dicom_source is not None and volume.header.dicom_source.listing is not None:
        from saint_cli.io.dicom import source_check
        from saint_cli.io.dicom.validation import ignore_invalid_values

        with ignore_invalid_values():
            source_check.check_no_new_slices(volume)
