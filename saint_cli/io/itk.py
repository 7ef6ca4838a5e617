"""NRRD and MetaImage (MHA, MHD) volumes, the formats of ITK, read without it: nothing native sees unchecked bytes."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError, UnreadableError
from saint_cli.io import labels, limits, payload, units
from saint_cli.io.file_stamps import unchanged
from saint_cli.io.image_header import ImageHeader
from saint_cli.io.limits import ReadLimits
from saint_cli.io.meta_header import read_meta_header
from saint_cli.io.nrrd_header import read_nrrd_header
from saint_cli.io.scaling import unscale
from saint_cli.io.sniff import Format
from saint_cli.volume import Header, Storage, Volume


def read(path: Path, form: Format, allowed: ReadLimits = limits.DEFAULT) -> Volume:
    """Read a NRRD or MetaImage volume.

    Raises:
        UnreadableError: not such a file, truncated, corrupt, colour or complex, or its data file is missing.
        GeometryError: not a 3-D volume of at least two slices along every axis.
        UsageError: too little memory for it.
    """
    header = read_header(path, form, outside_data=allowed.outside_data)
    with unchanged(header.payload.files):
        stored = payload.read_voxels(header, allowed)
    voxels, storage = unscale(stored, Storage(stored.dtype))
    told = Header(None, form.value, storage, 1, header.warnings, is_labels=header.is_labels)
    return Volume(voxels, header.affine_lps, told)


def count_labels(header: ImageHeader) -> int:
    """Number of distinct values if the voxels look like labels, else 0; of an image, few voxels are read.

    A file that is damaged where it is read counts as an image: ``read`` tells what is wrong with it.
    """
    try:
        return labels.count_in(payload.stream_voxels(header), labels.MOST_VOXELS)
    except UnreadableError:
        return 0


def read_header(path: Path, form: Format, *, any_volumes: bool = False, outside_data: bool = False) -> ImageHeader:
    """Read and check the header of a NRRD or MetaImage volume without its voxels; errors as for :func:`read`.

    With ``any_volumes`` an image of several volumes is no error; with ``outside_data`` data files may lie anywhere.
    """
    read = read_nrrd_header if form is Format.NRRD else read_meta_header
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of such numbers is refused below
        header = read(path, any_volumes=any_volumes, outside_data=outside_data)
    try:
        geometry.check_affine(header.affine_lps)
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from None
    payload.check_length(header)
    implausible = units.spacing_warnings(geometry.spacing_mm(header.affine_lps))
    return replace(header, warnings=(*header.warnings, *implausible))
