"""Reading a volume of any supported format."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from saint_cli.errors import UsageError
from saint_cli.io import size_limits, voxel_stream
from saint_cli.io.description import find_placement_warnings
from saint_cli.io.error_conversion import convert_exceptions
from saint_cli.io.file_stamps import require_unchanged
from saint_cli.io.folder_walk import is_file
from saint_cli.io.formats import Format, require_format
from saint_cli.io.read_options import ReadOptions, parse_request
from saint_cli.io.scaling import unscale
from saint_cli.io.volume_header import VolumeHeader
from saint_cli.io.voxel_checks import check_values, require_finite
from saint_cli.runtime import memory
from saint_cli.volume import Header, Volume
from saint_cli.volume.fourth_axis import name_volume
from saint_cli.volume.stored_values import Coding


def read_volume(
    path: str | Path,
    options: ReadOptions = ReadOptions(),  # noqa: B008  (frozen)
    **changes: Any,
) -> Volume:
    """Read a NIfTI, NRRD or MetaImage file, or a DICOM series (folder, zip file, DICOMDIR, or multi-frame file).

    The format is found by content. Voxels are [x, y, z] scanner values: integers where the file stores whole scanner
    values, else float32, or float64 where float32 does not hold what is stored exactly. Fill values are found for
    every format (:mod:`~saint_cli.io.fill_values`), and warnings about the values go to ``Header.warnings``.

    changes: fields of ``options`` by name, such as ``series="2"``.

    Raises:
        TypeError: a keyword that is no field of ``options``.
        UsageError: a folder without CT, MR or PET slices, several stacks and no ``series``, or ``series`` for a file
            that holds one volume, a ``volume`` that does not exist; voxels that take more memory than there is.
        UnreadableError: missing, truncated, corrupt, colour, complex, all NaN, or of an unknown format.
        SourceChangedError: it was written to while it was read.
        GeometryError: not a regular stack of at least two slices.

    Nothing that a file holds raises anything but a ``SaintError``.
    """
    path, options = parse_request(path, options, changes, "read_volume")
    with convert_exceptions(path):
        with require_unchanged([path] if is_file(path) else []):
            volume = _read(path, options)
        return check_volume(path, volume, options.modality)


def check_volume(path: Path, volume: Volume, modality: str | None) -> Volume:
    """A volume as it was read with its fill values marked and warnings about its values; ``modality`` as in options.

    Raises:
        UnreadableError: all NaN.
    """
    header = volume.header if modality is None else replace(volume.header, modality=modality)
    require_finite(volume.voxels, path)
    return check_values(replace(volume, header=header))


def _read(path: Path, options: ReadOptions) -> Volume:
    """The volume as its file says it is; only the library that the format needs is imported."""
    file_format = require_format(path)
    if file_format is Format.DICOM:
        from saint_cli.io.dicom import read as dicom

        return dicom.read_series(path, options)
    refuse_dicom_options(path, file_format, options)
    if file_format is Format.NIFTI:
        from saint_cli.io.nifti import header as nifti

        outside, offered = options.outside_data, options.offered
        header = nifti.read_header(path, options.volume, outside_data=outside, offered=offered)
    else:
        if options.volume not in (None, 1):
            raise UsageError(
                f"{path}: `volume` chooses among the volumes of 4-D NIfTI and DICOM, not of {file_format.value}"
            )
        from saint_cli.io.itk import read as itk

        header = itk.read_header(path, file_format, outside_data=options.outside_data)
    return _read_voxels(path, header, options.max_memory)


def refuse_dicom_options(path: Path | str, file_format: Format, options: ReadOptions) -> None:
    """Refuse options that choose among what only DICOM has.

    Raises:
        UsageError: one is given.
    """
    if options.series is not None:
        raise UsageError(f"{path}: `series` chooses among DICOM series, but this is a {file_format.value} file")
    if options.split_runs or options.irregular:
        name = "split_runs" if options.split_runs else "irregular"
        raise UsageError(f"{path}: `{name}=True` is for DICOM; slices of a {file_format.value} file are evenly spaced")
    if options.merge:
        raise UsageError(f"{path}: `merge=True` is for DICOM; a {file_format.value} file holds its slices in order")


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
        return make_volume(header, *voxel_stream.read_voxels(payload))


def make_volume(header: VolumeHeader, stored: np.ndarray, warnings: tuple[str, ...]) -> Volume:
    """The volume of a checked header and its stored values [x, y, z], in this machine's byte order.

    warnings: those of reading the values.
    """
    voxels, storage = unscale(stored, header.storage)
    is_scaled = storage.dtype.kind in "iu" and not storage.is_identity
    codings = (Coding.of_dtype(storage.dtype, storage.slope, storage.intercept),) if is_scaled else ()
    source = Header(
        source_format=header.format.value,
        storage=storage,
        space_code=header.space_code,
        warnings=(*header.warnings, *warnings, *find_placement_warnings(header.affine_lps)),
        codings=codings,
        is_labels=header.is_labels,
        volume_name=name_volume(header.payload.volume or 1, header.volumes),
    )
    return Volume(voxels, header.affine_lps, source)


def check_complete(volume: Volume) -> None:
    """Find out whether a DICOM series was read whole, or more of its slices came since.

    Raises:
        SourceChangedError: more came, as while a series is received.
    """
    if volume.header.dicom_source is not None and volume.header.dicom_source.listing is not None:
        from saint_cli.io.dicom import source_check

        source_check.check_no_new_slices(volume)
