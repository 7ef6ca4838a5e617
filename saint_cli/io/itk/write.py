"""NRRD and MetaImage headers of results, which store scanner values."""

import numpy as np

from saint_cli.io.result_text import describe_result
from saint_cli.volume import Volume

NRRD_TYPES = {
    **{"i1": "signed char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint"},
    **{"i8": "longlong", "u8": "ulonglong", "f4": "float", "f8": "double"},
}

META_TYPES = {
    **{"i1": "MET_CHAR", "u1": "MET_UCHAR", "i2": "MET_SHORT", "u2": "MET_USHORT", "i4": "MET_INT", "u4": "MET_UINT"},
    **{"i8": "MET_LONG_LONG", "u8": "MET_ULONG_LONG", "f4": "MET_FLOAT", "f8": "MET_DOUBLE"},
}

RESULT_KEY = "description"
"""Name of the text about the result. ITK copies such keys, but not the fields ``content`` and ``Comment``."""


def encode_nrrd_header(volume: Volume) -> bytes:
    """The header of a NRRD file of little-endian voxels, packed with gzip."""
    columns = " ".join(_format_vector(volume.affine_lps[:3, axis]) for axis in range(3))
    lines = [
        "NRRD0004",
        f"type: {NRRD_TYPES[volume.voxels.dtype.str[1:]]}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, volume.shape))}",
        f"space directions: {columns}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: {_format_vector(volume.affine_lps[:3, 3])}",
        f"{RESULT_KEY}:={describe_result(volume)}",
    ]
    return ("\n".join(lines) + "\n\n").encode("ascii")


def encode_meta_header(volume: Volume) -> bytes:
    """The header of a MetaImage file (MHA) of little-endian voxels, not packed."""
    spacing = np.array(volume.spacing_mm)
    directions = (volume.affine_lps[:3, :3] / spacing).T  # MetaImage lists the direction of x first
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        f"{RESULT_KEY} = {describe_result(volume)}",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = False",
        f"TransformMatrix = {_format_numbers(directions)}",
        f"Offset = {_format_numbers(volume.affine_lps[:3, 3])}",
        "CenterOfRotation = 0 0 0",
        f"ElementSpacing = {_format_numbers(spacing)}",
        f"DimSize = {' '.join(map(str, volume.shape))}",
        f"ElementType = {META_TYPES[volume.voxels.dtype.str[1:]]}",
        "ElementDataFile = LOCAL",
    ]
    return ("\n".join(lines) + "\n").encode("ascii")


def _format_vector(values: np.ndarray) -> str:
    return f"({_format_numbers(values, ',')})"


def _format_numbers(values: np.ndarray, separator: str = " ") -> str:
    return separator.join(repr(float(v)) for v in values.ravel())
