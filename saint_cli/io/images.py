"""Images of other libraries as volumes, and results as images of the same kind: numpy, nibabel, SimpleITK.

An image is recognised by the library of its class, so that no library is imported but the caller's. Axes: numpy arrays
and nibabel images are [x, y, z]; SimpleITK images too, though its arrays are [z, y, x]. World axes are LPS in
SimpleITK, as in a volume, and RAS in nibabel.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError, SaintError, UnreadableError, UsageError
from saint_cli.io import fill_values, length_units
from saint_cli.io.description import find_placement_warnings
from saint_cli.io.read import read_volume
from saint_cli.io.read_options import UPSAMPLE_CHOICES, ReadOptions, parse_modality
from saint_cli.io.result_text import find_result_warnings
from saint_cli.io.scaling import drop_foreign_codings, narrow_floats
from saint_cli.io.voxel_checks import check_values, require_finite
from saint_cli.volume import Header, Storage, Volume

if TYPE_CHECKING:
    import nibabel
    import SimpleITK

ACCEPTED_IMAGES = "pass a path, a Volume, a numpy array with voxel_spacing_mm=(x, y, z), a nibabel or SimpleITK image"

HINT_BY_CLASS = {
    "Tensor": "pass tensor.cpu().numpy() with voxel_spacing_mm=(x, y, z)",
    "MaskedArray": "pass array.filled(value) with voxel_spacing_mm=(x, y, z)",
}
"""What to pass instead of other objects, by the name of their class."""

PLACEMENT_FIELDS = (
    *("pixdim", "xyzt_units", "descrip", "sform_code", "srow_x", "srow_y", "srow_z"),
    *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
)
"""Fields of a NIfTI header for placement and origin; nibabel sets the others when it saves."""

SIMPLEITK_MODALITY_KEY = "0008|0060"
"""Where SimpleITK keeps the Modality of a DICOM file."""

SAME_PLACE_MM = 1e-9
"""Largest difference of coordinates that arithmetic alone explains."""


def to_volume(
    image: Any,
    *,
    voxel_spacing_mm: Sequence[float] | None = None,
    modality: str | None = None,
    irregular: bool = False,
    max_memory: int | None = None,
) -> Volume:
    """The volume of an image or of the file at a path; the image is not modified, its voxels are copied only if needed.

    voxel_spacing_mm: along x, y and z; only for a numpy array. modality: "CT" or "MR", in place of what the image says.
    irregular: as ``ReadOptions`` has it; only for a path, or a Volume that was read so. max_memory: as that, of a path.

    Raises:
        UsageError: no image, voxels that are not plain numbers, or parameters that do not fit.
        GeometryError: not one 3-D volume of at least two voxels along every axis, or no sound affine.
        UnreadableError: voxels that cannot be read, by nibabel or from a path, or of which none is a finite number.
    """
    kind = _image_kind(image)
    modality = parse_modality(modality)
    if voxel_spacing_mm is not None and kind != "numpy":
        raise UsageError(f"voxel_spacing_mm is for numpy arrays; {_type_name(image)} has a spacing of its own")
    if irregular and kind != "path" and not (kind == "Volume" and image.header.slice_positions):
        raise UsageError(f"`irregular=True` reads DICOM slices from a path; {_type_name(image)} is evenly spaced")
    if kind == "path":
        how = ReadOptions(modality=modality, irregular=irregular, max_memory=max_memory, offered=UPSAMPLE_CHOICES)
        return read_volume(image, how)
    volume = _from_array(image, voxel_spacing_mm) if kind == "numpy" else CONVERTERS[kind](image)
    geometry.check_affine(volume.affine_lps)
    if modality is not None:
        volume = replace(volume, header=replace(volume.header, modality=modality))
    if kind == "Volume":  # its reader has warned already
        return fill_values.mark_fill_values(drop_foreign_codings(volume))
    return check_values(volume)


def convert_like(image: Any, result: Volume) -> Any:
    """The result as an image of the kind of ``image``, of which ``to_volume`` made its source; of a path, a Volume."""
    kind = _image_kind(image)
    if kind == "numpy":
        return result.voxels
    if kind == "nibabel":
        return _to_nibabel(image, result)
    if kind == "SimpleITK":
        return _to_simpleitk(image, result)
    return result


def check_convertible(image: Any, result: Volume) -> None:
    """Refuse early what ``convert_like`` could not convert, by converting a result whose voxels take no memory.

    Raises:
        UsageError: a position or size that images of that library do not hold.
    """
    kind = _image_kind(image)
    if kind not in ("nibabel", "SimpleITK"):
        return
    if kind == "SimpleITK":  # an image of the whole size would allocate it
        result = replace(result, voxels=np.broadcast_to(result.voxels.dtype.type(0), (2, 2, 2)))
    try:
        convert_like(image, result)
    except SaintError:
        raise
    except Exception as error:  # libraries raise anything
        raise UsageError(f"{_type_name(image)}: cannot hold the result ({type(error).__name__})") from None


def _image_kind(image: Any) -> str:
    """``path``, ``Volume``, ``numpy``, ``nibabel`` or ``SimpleITK``."""
    if isinstance(image, str | os.PathLike):
        return "path"
    if isinstance(image, Volume):
        return "Volume"
    if isinstance(image, np.ndarray) and not isinstance(image, np.ma.MaskedArray):
        return "numpy"
    classes = {(one.__module__.partition(".")[0], one.__name__) for one in type(image).__mro__}
    if ("nibabel", "SpatialImage") in classes:
        return "nibabel"
    if ("SimpleITK", "Image") in classes:
        return "SimpleITK"
    hint = next((HINT_BY_CLASS[name] for _, name in classes if name in HINT_BY_CLASS), ACCEPTED_IMAGES)
    raise UsageError(f"{_type_name(image)}: not an image that saint knows; {hint}")


def _type_name(image: Any) -> str:
    """The name of a type in messages, such as ``nibabel Nifti1Image``."""
    kind = type(image)
    library = kind.__module__.partition(".")[0]
    return kind.__name__ if library in ("builtins", "saint_cli", "pathlib") else f"{library} {kind.__name__}"


def _check_voxels(voxels: np.ndarray, name: str) -> np.ndarray:
    """[x, y, z] voxels in this machine's byte order: integers as they are, floats as float32 if exact, else float64.

    Raises:
        UsageError: voxels that are not plain numbers. GeometryError: not 3-D, or an axis of less than two voxels.
        UnreadableError: none is a finite number.
    """
    hints = {
        "b": "a mask is not a scan; saint interpolates intensities",
        "c": "pass its magnitude, abs(...)",
        "V": "a colour image is not a CT or MR volume",
    }
    if voxels.dtype.kind not in "iuf" or voxels.dtype.itemsize > 8:
        hint = hints.get(voxels.dtype.kind, "pass integers or float32, such as array.astype('float32')")
        raise UsageError(f"{name}: voxels of type {voxels.dtype}; {hint}")
    shape = geometry.format_shape(voxels.shape) or "one number"
    if voxels.ndim != 3:
        raise GeometryError(
            f"{name}: {voxels.ndim}-D ({shape}), but saint takes one 3-D volume at a time, [x, y, z]; pass a part of it"
        )
    if min(voxels.shape) < 2:
        raise GeometryError(f"{name}: {shape} voxels; at least 2 are needed along every axis")
    if voxels.dtype.kind == "f":
        require_finite(voxels, name)
        return narrow_floats(voxels)
    return voxels.astype(voxels.dtype.newbyteorder("="), copy=False)


def _from_volume(image: Volume) -> Volume:
    """A Volume with voxels that saint computes with; refused where its header gives the places of other slices."""
    volume = replace(image, voxels=_check_voxels(image.voxels, "Volume"))
    positions = volume.header.slice_positions
    if positions and len(positions) != volume.shape[2]:
        raise GeometryError(
            f"Volume: {volume.shape[2]} slices, but `header.slice_positions` gives the places of {len(positions)}; "
            "keep those of the slices that are left"
        )
    return volume


def _from_array(array: np.ndarray, spacing_mm: Any) -> Volume:
    if spacing_mm is None:
        raise UsageError("a numpy array has no spacing; pass voxel_spacing_mm=(x, y, z), mm, along its axes")
    try:
        spacing = tuple(spacing_mm)
    except TypeError:
        spacing = ()
    are_numbers = all(isinstance(s, Real) and not isinstance(s, bool) and 0 < float(s) < math.inf for s in spacing)
    if len(spacing) != 3 or not are_numbers:
        raise UsageError(f"voxel_spacing_mm={spacing_mm!r} must be three numbers above 0: mm along x, y and z")
    voxels = _check_voxels(np.asarray(array), "numpy array")
    affine = np.diag([*(float(s) for s in spacing), 1.0])
    return Volume(voxels, affine, Header(source_format="numpy", storage=Storage(voxels.dtype)))


def _from_nibabel(image: "nibabel.spatialimages.SpatialImage") -> Volume:
    from saint_cli.io.nifti.placement import place_in_memory

    name, header = _type_name(image), cast(Any, image.header)
    if image.affine is None:
        raise GeometryError(f"{name}: has no affine; nibabel.{type(image).__name__}(array, affine) gives it one")
    try:
        stored = np.asanyarray(image.dataobj)
    except Exception as error:  # decoders of damaged files raise anything
        raise UnreadableError(f"{name}: its voxels cannot be read ({type(error).__name__})") from None
    while stored.ndim > 3 and stored.shape[-1] == 1:
        stored = stored[..., 0]
    voxels = _check_voxels(stored, name)
    affine_ras = np.asarray(image.affine, dtype=np.float64)
    if _is_nifti(image):
        affine, code, warnings = place_in_memory(header.copy(), affine_ras)
        warnings += find_result_warnings([bytes(header["descrip"].item()).decode("latin-1")])
    else:
        affine, code = geometry.RAS_FROM_LPS @ affine_ras, 1  # the scanner's space
        geometry.check_affine(affine)
        warnings = length_units.find_spacing_warnings(geometry.spacing_mm(affine))
    warnings += find_placement_warnings(affine)
    header = Header(source_format="nibabel", storage=Storage(voxels.dtype), space_code=code, warnings=warnings)
    return Volume(voxels, affine, header)


def _is_nifti(image: Any) -> bool:
    return any(one.__name__ == "Nifti1Pair" for one in type(image).__mro__)  # of NIfTI-2 too


def _to_nibabel(image: "nibabel.spatialimages.SpatialImage", result: Volume) -> "nibabel.spatialimages.SpatialImage":
    """The same class if it is one of NIfTI, else NIfTI-1; with a new header, in mm, in the source's space."""
    from nibabel.nifti1 import Nifti1Image
    from nibabel.nifti2 import Nifti2Image, Nifti2Pair

    from saint_cli.io.nifti.write import MAX_NIFTI1_AXIS, make_header

    kind: Any = type(image) if _is_nifti(image) else Nifti1Image
    if max(result.shape) > MAX_NIFTI1_AXIS and not issubclass(kind, Nifti2Pair):
        kind = Nifti2Image
    affine_ras = geometry.RAS_FROM_LPS @ result.affine_lps
    header = make_header(result, Storage(result.voxels.dtype))
    converted = kind(result.voxels, affine_ras, dtype=result.voxels.dtype)
    for name in PLACEMENT_FIELDS:
        converted.header[name] = header[name]
    return cast("nibabel.spatialimages.SpatialImage", converted)


def _from_simpleitk(image: "SimpleITK.Image") -> Volume:
    import SimpleITK as sitk

    name = _type_name(image)
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise UsageError(f"{name}: {image.GetNumberOfComponentsPerPixel()} values per voxel; pass an image of one")
    if image.GetPixelIDTypeAsString().startswith("label"):
        raise UsageError(f"{name}: a label map is not a scan; saint interpolates intensities")
    voxels = _check_voxels(sitk.GetArrayViewFromImage(image).transpose(), name)  # [x, y, z]
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    texts = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    modality = texts.get(SIMPLEITK_MODALITY_KEY, "").strip() or None
    header = Header(modality, "SimpleITK", Storage(voxels.dtype), warnings=find_result_warnings(texts.values()))
    return Volume(voxels, affine, header)


CONVERTERS: dict[str, Callable[[Any], Volume]] = {
    "Volume": _from_volume,
    "nibabel": _from_nibabel,
    "SimpleITK": _from_simpleitk,
}
"""By ``_image_kind``."""


def _to_simpleitk(image: "SimpleITK.Image", result: Volume) -> "SimpleITK.Image":
    """Origin, direction and in-plane spacing are the source's, digit for digit, where the result has the same.

    Other options move the first voxel, or slices straight above each other. Metadata are not copied.
    """
    import SimpleITK as sitk

    columns, origin = result.affine_lps[:3, :3], result.affine_lps[:3, 3]
    direction = np.array(image.GetDirection()).reshape(3, 3)
    spacing = np.array(result.spacing_mm) / np.linalg.norm(direction, axis=0)  # mm per unit of direction
    if np.abs(columns - direction * spacing).max() > SAME_PLACE_MM:
        spacing = np.array(result.spacing_mm)
        direction = columns / spacing
    if np.abs(origin - image.GetOrigin()).max() <= SAME_PLACE_MM:
        origin = np.array(image.GetOrigin())
    converted = sitk.GetImageFromArray(np.ascontiguousarray(result.voxels.transpose()))  # [z, y, x]
    converted.SetOrigin(origin.tolist())
    converted.SetDirection(direction.ravel().tolist())
    spacings = zip(image.GetSpacing(), spacing.tolist(), strict=True)
    converted.SetSpacing([before if math.isclose(before, after) else after for before, after in spacings])
    return converted
