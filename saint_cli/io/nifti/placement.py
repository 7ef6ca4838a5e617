"""Where the voxels of a NIfTI volume lie: sform, qform or bare pixdim, whichever is sound, in LPS millimetres."""

from contextlib import suppress
from typing import Any

import numpy as np
from nibabel.spatialimages import HeaderDataError

from saint_cli import geometry
from saint_cli.errors import GeometryError
from saint_cli.io import length_units

FORMS_AGREE = 0.1
"""Largest distance between a voxel placed by the sform and by the qform that is put down to rounding, in voxels."""

SPACING_AGREES = 0.01
"""Relative difference between pixdim and the affine's column norms that is put down to rounding."""

UNKNOWN_SPACE = 2
"""Form code of a volume whose header gives none: aligned to something, not necessarily to the scanner."""

MAX_SPACE_CODE = 5
"""NIFTI_XFORM_TEMPLATE_OTHER."""

UNITS = {0: "", 1: "m", 2: "mm", 3: "um"}
"""xyzt_units & 7: unknown, metre, millimetre, micrometre."""

MM_PER_UNIT = {code: length_units.find_mm_per_unit(name) or 1.0 for code, name in UNITS.items()}

REPAIR = "set one of them, for example with nibabel's set_sform and set_qform"


def find_affine(raw: Any) -> tuple[np.ndarray, int, tuple[str, ...]]:
    """Affine in LPS mm, its form code (0 without a form), and warnings about it.

    raw: an unchecked nibabel header; its pixdim is made one that nibabel accepts.

    Raises:
        GeometryError: there is a form, but none that places voxels, or the spacing is none.
    """
    pixdim = np.abs(np.asarray(raw["pixdim"][1:4], dtype=np.float64))
    raw["pixdim"][1:4] = pixdim
    raw["pixdim"][0] = -1 if raw["pixdim"][0] == -1 else 1
    unit = int(raw["xyzt_units"]) & 7
    scale = MM_PER_UNIT.get(unit, 1.0)
    with np.errstate(all="ignore"):  # infinite and overflowing entries are refused below
        forms = {"sform": _sform(raw), "qform": _qform(raw)}
        for form in forms.values():
            if form is not None:
                form[:3] *= scale
        affine, name, warnings = _choose(forms, pixdim * scale, raw)
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        if np.any(np.abs(spacing - pixdim * scale) > SPACING_AGREES * spacing):
            claimed, found = geometry.format_spacing(pixdim * scale), geometry.format_spacing(spacing)
            warnings.append(f"pixdim {claimed} disagrees with the affine's spacing {found}; the affine is used")
    code = int(raw[f"{name}_code"]) if name else 0
    if code > MAX_SPACE_CODE:
        warnings.append(f"{name}_code {code} is unknown; written as {UNKNOWN_SPACE} (aligned)")
        code = UNKNOWN_SPACE
    return geometry.RAS_FROM_LPS @ affine, code, (*warnings, *_find_unit_warnings(unit, spacing))


def place_in_memory(raw: Any, affine_ras: np.ndarray) -> tuple[np.ndarray, int, tuple[str, ...]]:
    """Affine in LPS mm, form code and warnings of an image in memory, which lies where its own affine says.

    raw: a copy of its header, whose forms may be older: then only warnings about the unit are given. affine_ras: in
    the unit of the header.

    Raises:
        GeometryError: the affine places no voxels.
    """
    unit = int(raw["xyzt_units"]) & 7
    affine = geometry.RAS_FROM_LPS @ affine_ras
    affine[:3] *= MM_PER_UNIT.get(unit, 1.0)
    geometry.check_affine(affine)
    codes = [int(raw[f"{form}_code"]) for form in ("sform", "qform")]
    code = next((one for one in codes if 0 < one <= MAX_SPACE_CODE), UNKNOWN_SPACE)
    with suppress(GeometryError):
        found, _, warnings = find_affine(raw)
        if np.allclose(found, affine):
            return affine, code, warnings
    return affine, code, _find_unit_warnings(unit, np.linalg.norm(affine[:3, :3], axis=0))


def normalize_space_code(code: int) -> int:
    """A form code that NIfTI defines: the code itself, or ``UNKNOWN_SPACE``."""
    return code if 0 < code <= MAX_SPACE_CODE else UNKNOWN_SPACE


def _choose(forms: dict[str, np.ndarray | None], pixdim: np.ndarray, raw: Any) -> tuple[np.ndarray, str, list[str]]:
    """The affine in RAS mm: sform before qform before pixdim, its name ("" for pixdim), and warnings."""
    sform, qform = forms["sform"], forms["qform"]
    faults = {name: fault for name, form in forms.items() if form is not None and (fault := _explain_fault(form, name))}
    if sform is not None and "sform" not in faults:
        warnings = []
        if "qform" in faults:
            warnings.append(f"the qform {faults['qform']}; the sform is used")
        elif qform is not None and not is_same_place(sform, qform, raw["dim"][1:4]):
            gap = _max_distance_mm(sform, qform, raw["dim"][1:4])
            warnings.append(f"sform and qform place voxels up to {gap:.3g} mm apart; the sform is used")
        return sform, "sform", warnings
    if qform is not None and "qform" not in faults:
        return qform, "qform", [f"the sform {faults['sform']}; the qform is used"] if faults else []
    if sform is not None:
        other = f"the qform {faults['qform']}" if faults.get("qform") else "there is no qform (code 0)"
        raise GeometryError(f"the sform {faults['sform']}, and {other}; {REPAIR}")
    affine = np.diag([*pixdim, 1.0])
    geometry.check_affine(affine)
    why = f"the qform {faults['qform']}, and there is no sform" if faults else "the header has neither sform nor qform"
    return affine, "", [f"orientation unknown: {why}; only its spacing is used"]


def _explain_fault(form: np.ndarray, name: str) -> str:
    """Why a form places no voxels, as a verb of a sentence; "" if it does."""
    if not form[:3].any():
        return "is empty (all zeros)"
    if name == "qform" and np.isnan(form).all():
        return "holds a quaternion that is not a rotation"
    if not np.isfinite(form).all():
        return "holds NaN or infinity"
    if np.abs(form).max() > geometry.MAX_COORDINATE_MM:
        return f"holds numbers beyond {geometry.MAX_COORDINATE_MM:g} mm"
    spacing = geometry.format_spacing(geometry.spacing_mm(form))
    if min(geometry.spacing_mm(form)) == 0:
        return f"has a voxel spacing of zero ({spacing} mm){', from pixdim' if name == 'qform' else ''}"
    try:
        geometry.check_affine(form)
    except GeometryError:
        return f"puts the voxel axes (spacing {spacing} mm) in one plane"
    return ""


def _sform(raw: Any) -> np.ndarray | None:
    """The sform in RAS and the header's unit; None where its code says that there is none."""
    return np.array(raw.get_sform(), dtype=np.float64) if int(raw["sform_code"]) > 0 else None


def _qform(raw: Any) -> np.ndarray | None:
    """The same of the qform; all NaN where its quaternion is none."""
    if int(raw["qform_code"]) <= 0:
        return None
    try:
        return np.array(raw.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError):
        return np.full((4, 4), np.nan)


def _find_unit_warnings(code: int, spacing: np.ndarray) -> tuple[str, ...]:
    """What the user should know about a unit (xyzt_units & 7) and the spacing (3,) in mm that it leads to."""
    warnings = []
    if code not in UNITS:
        warnings.append(f"the header's unit code {code} is unknown; taken as mm, correct the header if not")
    elif code in (1, 3):
        warnings.append(f"the header's unit is {'metre' if code == 1 else 'micrometre'}; converted to mm")
    return (*warnings, *length_units.find_spacing_warnings([float(s) for s in spacing]))


def is_same_place(affine: np.ndarray, other: np.ndarray, shape: np.ndarray) -> bool:
    """Whether two 4x4 affines place a volume of ``shape`` voxels alike, relative to its smallest spacing."""
    smallest = min(geometry.spacing_mm(affine))
    return _max_distance_mm(affine, other, shape) <= FORMS_AGREE * smallest


def _max_distance_mm(affine: np.ndarray, other: np.ndarray, shape: np.ndarray) -> float:
    """Largest distance between the places two 4x4 affines give to the corners of a volume of ``shape`` voxels."""
    last = np.maximum(np.asarray(shape, dtype=np.float64) - 1, 0)
    corners = np.array([[i, j, k, 1.0] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])])
    return float(np.linalg.norm(corners @ (affine - other).T, axis=1).max())
