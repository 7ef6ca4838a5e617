"""NRRD and MetaImage (MHA, MHD) volumes, the formats of ITK, read without it: nothing native sees unchecked bytes."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError, UnreadableError
from saint_cli.io import length_units, voxel_stream
from saint_cli.io.formats import Format
from saint_cli.io.itk.meta_header import read_meta_header
from saint_cli.io.itk.nrrd_header import read_nrrd_header
from saint_cli.io.volume_header import VolumeHeader

READERS = {Format.NRRD: read_nrrd_header, Format.META: read_meta_header}

MAX_SKIPPED_BYTES = 1 << 30
"""Packed data before the voxels have to be unpacked to be skipped."""


def read_header(
    path: Path, file_format: Format, *, allow_several: bool = False, outside_data: bool = False
) -> VolumeHeader:
    """Read and check the header of a NRRD or MetaImage volume without its voxels.

    With ``allow_several`` an image of several volumes is no error; with ``outside_data`` data files may lie anywhere.

    Raises:
        UnreadableError: not such a file, truncated, corrupt, colour or complex, or its data file is missing.
        GeometryError: not a 3-D volume of at least two slices along every axis.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of such numbers is refused below
        header = READERS[file_format](path, allow_several=allow_several, outside_data=outside_data)
    try:
        geometry.check_affine(header.affine_lps)
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from None
    payload = header.payload
    skipped = max(payload.start, payload.byte_skip)
    if payload.is_packed and skipped > MAX_SKIPPED_BYTES:
        raise UnreadableError(f"{payload.files[0]}: the header skips {skipped} bytes of packed data; it is damaged")
    voxel_stream.check_length(payload)
    implausible = length_units.find_spacing_warnings(geometry.spacing_mm(header.affine_lps))
    excess = voxel_stream.describe_excess(header) if header.volumes == 1 else ()  # others follow the first
    return replace(header, warnings=(*header.warnings, *implausible, *excess))
