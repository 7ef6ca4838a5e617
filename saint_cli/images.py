"""Images of other libraries as volumes, and results as images of the same kind: numpy, nibabel, SimpleITK.

An image is known by the library that its class comes from, so that neither library is imported unless the caller has
done so. Axes: numpy arrays and nibabel images are [x, y, z]; SimpleITK images too, though its arrays are [z, y, x].
World axes: SimpleITK's are LPS, as a volume's; nibabel's are RAS.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from saint_cli import fill, geometry
from saint_cli.errors import GeometryError, SaintError, UnreadableError, UsageError
from saint_cli.geometry import SliceGrid
from saint_cli.io.checks import value_warnings
from saint_cli.io.scaling import narrow
from saint_cli.volume import Header, Storage, Volume

if TYPE_CHECKING:
    import nibabel
    import SimpleITK

ACCEPTED = (
    "pass a numpy array with voxel_spacing_mm=(x, y, z), a nibabel or SimpleITK image, or a Volume (read_volume(path))"
)

HINTS = {
    "str": "read it first: read_volume(path)",
    "PurePath": "read it first: read_volume(path)",
    "Tensor": "pass tensor.cpu().numpy() with voxel_spacing_mm=(x, y, z)",
    "MaskedArray": "pass array.filled(value) with voxel_spacing_mm=(x, y, z)",
}
"""What to do about things that are often at hand instead, by the name of their class."""

NIFTI_FIELDS = (
    *("pixdim", "xyzt_units", "descrip", "sform_code", "srow_x", "srow_y", "srow_z"),
    *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
)
"""What a NIfTI header of either version says of place and origin; the rest is for nibabel to say when it saves."""

KNOWN_SPACES = range(1, 6)
"""Form codes that NIfTI defines; others come from damage."""

MODALITY_KEY = "0008|0060"
"""Under which SimpleITK keeps the Modality of a DICOM file."""


def to_volume(image: Any, *, voxel_spacing_mm: Sequence[float] | None = None, modality: str | None = None) -> Volume:
    """The volume that an image holds; the image is not modified, and its voxels are not copied where that can be.

    voxel_spacing_mm: mm between voxels along x, y and z, of a numpy array and of nothing else.
    modality: "CT" or "MR", in place of what the image says.

    Raises:
        UsageError: something that is no image, or whose voxels are not plain numbers; arguments that do not fit it.
        GeometryError: not one 3-D volume of at least two slices along every axis, or one that lies nowhere.
        UnreadableError: voxels that nibabel cannot read from their file.
    """
    kind = _kind(image)
    if voxel_spacing_mm is not None and kind != "numpy":
        raise UsageError(f"voxel_spacing_mm is for numpy arrays; {_named(image)} has a spacing of its own")
    if kind == "numpy":
        volume = _of_array(image, voxel_spacing_mm)
    elif kind == "nibabel":
        volume = _of_nibabel(image)
    elif kind == "SimpleITK":
        volume = _of_simpleitk(image)
    else:
        volume = replace(image, voxels=_plain(image.voxels, "Volume"))
    geometry.check_affine(volume.affine_lps)
    if modality is not None:
        volume = replace(volume, header=replace(volume.header, modality=_modality(modality)))
    volume = fill.with_fill(volume)
    if kind == "Volume":  # of which its reader told
        return volume
    warnings = (*volume.header.warnings, *value_warnings(volume.voxels, volume.header))
    return replace(volume, header=replace(volume.header, warnings=warnings))


def convert_like(image: Any, result: Volume) -> Any:
    """A result as an image of the kind of ``image``, from which ``to_volume`` made its source."""
    kind = _kind(image)
    if kind == "numpy":
        return result.voxels
    if kind == "nibabel":
        return _as_nibabel(image, result)
    if kind == "SimpleITK":
        return _as_simpleitk(image, result)
    return result


def check_result(image: Any, volume: Volume, grid: SliceGrid) -> None:
    """Find out whether the result of ``volume``, made of ``image``, could be an image of its kind: one is made, empty.

    Raises:
        UsageError: a place or a size that images of that library do not hold.
    """
    kind = _kind(image)
    if kind not in ("nibabel", "SimpleITK"):
        return
    counts = tuple(grid.count if axis == grid.axis else n for axis, n in enumerate(volume.shape))
    if kind == "SimpleITK":
        counts = (2, 2, 2)  # its images own their voxels
    empty = np.broadcast_to(volume.voxels.dtype.type(0), counts)
    try:
        convert_like(image, Volume(empty, grid.refine(volume.affine_lps), volume.header))
    except SaintError:
        raise
    except Exception as error:  # whatever the library stumbles over
        raise UsageError(f"{_named(image)}: its result would not be one ({type(error).__name__})") from None


def _kind(image: Any) -> str:
    """``Volume``, ``numpy``, ``nibabel`` or ``SimpleITK``."""
    if isinstance(image, Volume):
        return "Volume"
    if isinstance(image, np.ndarray) and not isinstance(image, np.ma.MaskedArray):
        return "numpy"
    classes = {(one.__module__.partition(".")[0], one.__name__) for one in type(image).__mro__}
    if ("nibabel", "SpatialImage") in classes:
        return "nibabel"
    if ("SimpleITK", "Image") in classes:
        return "SimpleITK"
    hint = next((HINTS[name] for _, name in classes if name in HINTS), ACCEPTED)
    raise UsageError(f"{_named(image)}: not an image that saint knows; {hint}")


def _named(image: Any) -> str:
    """What an image is called in messages, such as ``nibabel Nifti1Image``."""
    kind = type(image)
    library = kind.__module__.partition(".")[0]
    return kind.__name__ if library in ("builtins", "saint_cli", "pathlib") else f"{library} {kind.__name__}"


def _plain(voxels: np.ndarray, name: str) -> np.ndarray:
    """[x, y, z] voxels as plain numbers in this machine's byte order: integers as they are, floats as float32 where
    that holds them exactly, else as float64.

    Raises:
        UsageError: voxels that are no plain numbers. GeometryError: not 3-D, or an axis of less than two voxels.
    """
    hints = {
        "b": "a mask is not a scan; saint interpolates intensities",
        "c": "pass its magnitude, abs(...)",
        "V": "a colour image is not a CT or MR volume",
    }
    if voxels.dtype.kind not in "iuf" or voxels.dtype.itemsize > 8:
        hint = hints.get(voxels.dtype.kind, "pass integers or float32, such as array.astype('float32')")
        raise UsageError(f"{name}: voxels of type {voxels.dtype}; {hint}")
    shape = " x ".join(map(str, voxels.shape)) or "one number"
    if voxels.ndim != 3:
        raise GeometryError(
            f"{name}: {voxels.ndim}-D ({shape}), but saint takes one 3-D volume at a time, [x, y, z]; pass a part of it"
        )
    if min(voxels.shape) < 2:
        raise GeometryError(f"{name}: {shape} voxels; at least 2 are needed along every axis")
    if voxels.dtype.kind == "f":
        return narrow(voxels)
    return voxels.astype(voxels.dtype.newbyteorder("="), copy=False)


def _modality(word: Any) -> str:
    if not isinstance(word, str) or word.upper() not in ("CT", "MR"):
        raise UsageError(f"modality {word!r} must be 'CT' or 'MR'; leave it out to have it judged by the values")
    return word.upper()


def _of_array(array: np.ndarray, spacing_mm: Any) -> Volume:
    if spacing_mm is None:
        raise UsageError(
            "a numpy array says nothing of its spacing; pass voxel_spacing_mm=(x, y, z), mm, along its axes"
        )
    try:
        spacing = tuple(spacing_mm)
    except TypeError:
        spacing = ()
    are_numbers = all(isinstance(s, Real) and not isinstance(s, bool) and 0 < float(s) < math.inf for s in spacing)
    if len(spacing) != 3 or not are_numbers:
        raise UsageError(f"voxel_spacing_mm={spacing_mm!r} must be three numbers above 0: mm along x, y and z")
    voxels = _plain(np.asarray(array), "numpy array")
    affine = np.diag([*(float(s) for s in spacing), 1.0])
    return Volume(voxels, affine, Header(source_format="numpy", storage=Storage(voxels.dtype)))


def _of_nibabel(image: "nibabel.spatialimages.SpatialImage") -> Volume:
    from saint_cli.io.nifti_place import MM_PER_UNIT, UNKNOWN_SPACE

    name, header = _named(image), cast(Any, image.header)
    if image.affine is None:
        raise GeometryError(f"{name}: has no affine; nibabel.{type(image).__name__}(array, affine) gives it one")
    try:
        stored = np.asanyarray(image.dataobj)
    except Exception as error:  # damage makes it raise whatever its decoder stumbles over
        raise UnreadableError(f"{name}: its voxels cannot be read ({type(error).__name__})") from None
    while stored.ndim > 3 and stored.shape[-1] == 1:
        stored = stored[..., 0]
    voxels = _plain(stored, name)
    affine = geometry.RAS_FROM_LPS @ np.asarray(image.affine, dtype=np.float64)
    units = int(header["xyzt_units"]) & 7 if _is_nifti(image) else 0
    affine[:3] *= MM_PER_UNIT.get(units, 1.0)
    codes = [int(header[f"{form}_code"]) for form in ("sform", "qform")] if _is_nifti(image) else [1]  # the scanner's
    code = next((code for code in codes if code in KNOWN_SPACES), UNKNOWN_SPACE)
    return Volume(voxels, affine, Header(source_format="nibabel", storage=Storage(voxels.dtype), space_code=code))


def _is_nifti(image: Any) -> bool:
    return any(one.__name__ == "Nifti1Pair" for one in type(image).__mro__)  # of NIfTI-2 too


def _as_nibabel(image: "nibabel.spatialimages.SpatialImage", result: Volume) -> "nibabel.spatialimages.SpatialImage":
    """The same class where it is one of NIfTI, else a NIfTI-1 image; header new, in mm, of the source's space."""
    from nibabel.nifti1 import Nifti1Image
    from nibabel.nifti2 import Nifti2Image, Nifti2Pair

    from saint_cli.io.write import LONGEST_NIFTI1_AXIS, nifti_header

    kind: Any = type(image) if _is_nifti(image) else Nifti1Image
    if max(result.shape) > LONGEST_NIFTI1_AXIS and not issubclass(kind, Nifti2Pair):
        kind = Nifti2Image
    affine_ras = geometry.RAS_FROM_LPS @ result.affine_lps
    header = nifti_header(result, Storage(result.voxels.dtype))
    made = kind(result.voxels, affine_ras, dtype=result.voxels.dtype)
    for name in NIFTI_FIELDS:
        made.header[name] = header[name]
    return cast("nibabel.spatialimages.SpatialImage", made)


def _of_simpleitk(image: "SimpleITK.Image") -> Volume:
    import SimpleITK as sitk

    name = _named(image)
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise UsageError(f"{name}: {image.GetNumberOfComponentsPerPixel()} values per voxel; pass an image of one")
    if image.GetPixelIDTypeAsString().startswith("label"):
        raise UsageError(f"{name}: a label map is not a scan; saint interpolates intensities")
    voxels = _plain(sitk.GetArrayViewFromImage(image).transpose(), name)  # [x, y, z]
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    said = image.GetMetaData(MODALITY_KEY).strip() if image.HasMetaDataKey(MODALITY_KEY) else None
    return Volume(voxels, affine, Header(said or None, "SimpleITK", Storage(voxels.dtype)))


def _as_simpleitk(image: "SimpleITK.Image", result: Volume) -> "SimpleITK.Image":
    """Origin, direction and in-plane spacing are the source's, digit for digit; its metadata stay behind."""
    import SimpleITK as sitk

    made = sitk.GetImageFromArray(np.ascontiguousarray(result.voxels.transpose()))  # [z, y, x]
    made.SetOrigin(image.GetOrigin())
    made.SetDirection(image.GetDirection())
    spacing, made_by = list(image.GetSpacing()), result.header.derivation
    if made_by is not None:
        spacing[made_by.grid.axis] = result.spacing_mm[made_by.grid.axis]
    made.SetSpacing(spacing)
    return made
