"""NIfTI headers of results: sform exact, and of what the source stored the integer type and its scaling."""

from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError

from saint_cli import geometry
from saint_cli.errors import UsageError
from saint_cli.io.nifti.placement import is_same_place, normalize_space_code
from saint_cli.io.result_text import describe_result
from saint_cli.volume import Storage, Volume
from saint_cli.volume.fourth_axis import FourthAxis

MAX_NIFTI1_AXIS = 32767


def encode_header(volume: Volume, storage: Storage, count: int = 1, axis: FourthAxis | None = None) -> bytes:
    """The header of a NIfTI file that holds the voxels as ``storage`` says; errors as for :func:`make_header`.

    count, axis: of a 4-D file, how many such volumes follow each other, and how.
    """
    header = make_header(volume, storage, count)
    if axis is not None:
        _set_fourth_axis(header, axis)
    block: bytes = header.binaryblock
    return block + bytes(4)  # four zero bytes: no extensions follow


def _set_fourth_axis(header: Any, axis: FourthAxis) -> None:
    header["pixdim"][4], header["toffset"] = axis.step, axis.start
    header["xyzt_units"] = int(header["xyzt_units"]) | axis.unit
    header["intent_code"], header["intent_name"] = axis.intent_code, axis.intent_name
    for name, value in zip(("intent_p1", "intent_p2", "intent_p3"), axis.intent_parameters, strict=True):
        header[name] = value


def make_header(volume: Volume, storage: Storage, count: int = 1) -> Any:
    """The nibabel header of ``count`` such volumes, NIfTI-1, or NIfTI-2 where an axis or the scaling needs it.

    The sform is exact; the qform is the same place, or absent where it cannot hold that.

    Raises:
        UsageError: a place that float32 does not hold.
    """
    kind = Nifti1Header if max(*volume.shape, count) <= MAX_NIFTI1_AXIS and _fits_float32(storage) else Nifti2Header
    header: Any = kind(endianness="<")  # type: ignore[no-untyped-call]
    header.set_data_dtype(storage.dtype.newbyteorder("="))
    header.set_data_shape(volume.shape if count == 1 else (*volume.shape, count))
    affine_ras, shape = geometry.RAS_FROM_LPS @ volume.affine_lps, np.array(volume.shape)
    code = normalize_space_code(volume.header.space_code)
    header.set_sform(affine_ras, code=code)
    if not is_same_place(affine_ras, header.get_sform(), shape):
        raise UsageError("NIfTI cannot hold this place, so far away or so small, exactly; name a file ending in .nrrd")
    try:
        header.set_qform(affine_ras, code=code, strip_shears=True)
        has_qform = is_same_place(affine_ras, header.get_qform(), shape)
    except (HeaderDataError, ValueError, np.linalg.LinAlgError):
        has_qform = False
    if not has_qform:
        header["qform_code"] = 0
    header["pixdim"][1:4] = geometry.spacing_mm(volume.affine_lps)
    header.set_xyzt_units("mm")
    header["scl_slope"], header["scl_inter"] = storage.slope, storage.intercept
    header["vox_offset"] = 352 if kind is Nifti1Header else 544
    header["descrip"] = describe_result(volume).encode()
    return header


def _fits_float32(storage: Storage) -> bool:
    """Whether slope and intercept as float32, as NIfTI-1 has them, move no value by half a step."""
    if storage.is_identity or storage.dtype.kind not in "iu":
        return storage.is_identity
    with np.errstate(over="ignore"):
        slope, intercept = (abs(float(np.float32(v)) - v) for v in (storage.slope, storage.intercept))
    limits = np.iinfo(storage.dtype)
    return slope * max(-int(limits.min), int(limits.max)) + intercept < abs(storage.slope) / 2
