"""Where the voxels of a NRRD volume lie: spaces, directions, spacings and units, turned into LPS millimetres."""

import math
import re
from dataclasses import dataclass

import numpy as np

from saint_cli.errors import GeometryError
from saint_cli.io import length_units
from saint_cli.io.itk.image_header import Fields

SPACES = {
    "right-anterior-superior": ((-1.0, -1.0, 1.0), 3),
    "left-anterior-superior": ((1.0, -1.0, 1.0), 3),
    "left-posterior-superior": ((1.0, 1.0, 1.0), 3),
    "scanner-xyz": (None, 3),
    "3d-right-handed": (None, 3),
    "3d-left-handed": (None, 3),
}
"""Spaces: the signs that turn their axes to LPS (None where no axis of the body is named), and their dimension."""

SHORT_SPACES = {"ras": "right-anterior-superior", "las": "left-anterior-superior", "lps": "left-posterior-superior"}


@dataclass(frozen=True)
class _Space:
    """Signs that turn the axes of a space to LPS, their number (0: no space), whether they are named after the body."""

    signs: tuple[float, ...]
    axes: int
    is_anatomical: bool


def find_affine(fields: Fields, domain: list[int], sizes: tuple[int, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """The affine of a volume, voxel axes to LPS mm, and warnings about it.

    domain: the axes along which voxels lie, of ``sizes`` along all axes.

    Raises:
        UnreadableError: a field is damaged.
        GeometryError: fields contradict each other.
    """
    space = _space(fields)
    if space.axes == 0 or "space directions" not in fields:
        return _place_by_spacings(fields, domain, sizes)
    if space.axes not in (3, len(domain)) or space.axes < 3:
        raise GeometryError(f"{fields.path}: a volume of 3 axes in a space of {space.axes}; correct the header first")
    vectors = _vectors(fields, "space directions", len(sizes), space.axes)
    affine, warnings = np.eye(4), []
    for column, axis in enumerate(domain[:3]):
        vector = vectors[axis]
        if vector is None:
            warnings.append(f"the header gives no direction of axis {'xyz'[column]}; 1 mm and its own axis are assumed")
        else:
            affine[:3, column] = vector[:3]
    _check_spacings(fields, domain, affine)
    origin = _vectors(fields, "space origin", 1, space.axes)[0] if "space origin" in fields else None
    affine[:3, 3] = 0.0 if origin is None else origin[:3]
    scales, unit_warnings = _space_scales(fields, domain, space.axes)
    affine[:3] *= scales[:3, None] * np.array(space.signs)[:, None]
    if not space.is_anatomical:
        warnings.append("the header names no axes of the body; its space is taken as left, posterior, superior")
    return affine, (*warnings, *unit_warnings)


def _space(fields: Fields) -> _Space:
    if "space" not in fields:
        axes = fields.integers("space dimension", 1)[0] if "space dimension" in fields else 0
        if not 0 <= axes <= 8:
            raise fields.damage_error("space dimension")
        return _Space((1.0, 1.0, 1.0), axes, is_anatomical=axes == 0)
    name = fields.text("space").lower()
    with_time = name.endswith("-time") or name in ("rast", "last", "lpst")
    name = name.removesuffix("-time") if name.endswith("-time") else name[:3] if with_time else name
    space = SPACES.get(SHORT_SPACES.get(name, name))
    if space is None:
        raise fields.damage_error("space")
    signs, axes = space
    return _Space(signs or (1.0, 1.0, 1.0), axes + with_time, is_anatomical=signs is not None)


def _vectors(fields: Fields, name: str, count: int, axes: int) -> list[np.ndarray | None]:
    """``count`` vectors of a field such as ``(1,0,0) none (0,0,5)``; None for one that is absent or not-a-number."""
    words = re.findall(r"\([^()]*\)|[^\s()]+", fields.text(name))
    if len(words) != count:
        raise fields.damage_error(name)
    vectors: list[np.ndarray | None] = []
    for word in words:
        parts = word.strip("()").split(",")
        if word.lower() == "none":
            vectors.append(None)
            continue
        if not word.startswith("(") or len(parts) != axes:
            raise fields.damage_error(name)
        vector = np.array([fields.number(name, part.strip()) for part in parts])
        vectors.append(None if np.isnan(vector).all() else vector)
    return vectors


def _check_spacings(fields: Fields, domain: list[int], affine: np.ndarray) -> None:
    """Refuse spacings beside directions that disagree with them; the format forbids them altogether."""
    if "spacings" not in fields:
        return
    given = np.array(fields.numbers("spacings", fields.dimension("dimension")))[domain[:3]]
    norms = np.linalg.norm(affine[:3, :3], axis=0)
    if np.any(np.abs(np.abs(given) - norms) > 1e-3 * norms):
        raise GeometryError(f"{fields.path}: spacings and space directions disagree; remove either from the header")


def _space_scales(fields: Fields, domain: list[int], axes: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Millimetres per unit along the axes of the space."""
    if "space units" in fields:
        return length_units.convert_units(_names(fields, "space units", axes)[:3])
    if "units" not in fields:
        return np.ones(3), ()
    per_axis = [_names(fields, "units", fields.dimension("dimension"))[axis] for axis in domain[:3]]
    if len({length_units.find_mm_per_unit(name) for name in per_axis}) > 1:
        raise GeometryError(f"{fields.path}: units differ from axis to axis, and there are directions; use space units")
    return length_units.convert_units(per_axis)


def _place_by_spacings(fields: Fields, domain: list[int], sizes: tuple[int, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Place a volume whose header gives no directions: spacings, axis mins and centers, unit by axis."""
    axes, affine, count = domain[:3], np.eye(4), len(sizes)
    warnings = ["orientation unknown: the header gives no directions; only its spacing is used"]
    centers = fields.text("centers", "").lower().split() or ["cell"] * count
    if len(centers) != count:
        raise fields.damage_error("centers")
    low = _per_axis(fields, "axis mins", count)
    spacing = _spacings(fields, sizes, centers)
    absent = [name for name, axis in zip("xyz", axes, strict=True) if math.isnan(spacing[axis])]
    if absent:
        warnings.append(f"the header gives no spacing along {', '.join(absent)}; 1 mm is assumed")
    for column, axis in enumerate(axes):
        affine[column, column] = 1.0 if math.isnan(spacing[axis]) else spacing[axis]
        if not absent and not any(math.isnan(low[one]) for one in axes):
            affine[column, 3] = low[axis] + (0.0 if centers[axis] == "node" else spacing[axis] / 2)
    if "units" in fields or "space units" in fields:
        name, count = ("units", len(sizes)) if "units" in fields else ("space units", _space(fields).axes)
        names = _names(fields, name, count)
        scales, more = length_units.convert_units([names[i] for i in (axes if name == "units" else range(3))])
        affine[:3] *= scales[:, None]
        warnings += more
    return affine, tuple(warnings)


def _spacings(fields: Fields, sizes: tuple[int, ...], centers: list[str]) -> list[float]:
    """Spacings per axis, or what axis mins and maxs make of them; not-a-number where there is none."""
    spacings, low, high = (_per_axis(fields, name, len(sizes)) for name in ("spacings", "axis mins", "axis maxs"))
    if 0 in spacings:
        raise GeometryError(f"{fields.path}: a voxel spacing of zero; repair the header's spacings first")
    for axis, size in enumerate(sizes):
        steps = size - 1 if centers[axis] == "node" else size
        if math.isnan(spacings[axis]) and steps and high[axis] != low[axis]:
            spacings[axis] = (high[axis] - low[axis]) / steps
    return spacings


def _per_axis(fields: Fields, name: str, count: int) -> list[float]:
    return fields.numbers(name, count) if name in fields else [math.nan] * count


def _names(fields: Fields, name: str, count: int) -> list[str]:
    """``count`` words in quotes, or without."""
    words = [a or b for a, b in re.findall(r'"([^"]*)"|([^\s"]+)', fields.text(name))]
    if len(words) != count:
        raise fields.damage_error(name)
    return words
