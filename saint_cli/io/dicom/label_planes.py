"""Where the planes of a segmentation or of contours lie: on the slices of the scan, or on an even stack of their own.

Files leave out planes without labels, so that the stack is found from the planes that are there.
"""

from dataclasses import dataclass

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError
from saint_cli.io.dicom.plane_steps import MAX_SHOWN, SLICE_TOLERANCE, Origin, ScanGrid, find_distance, find_steps

PIXEL_TOLERANCE = 0.1
"""Of a pixel: how far planes may lie beside the line on which slices follow each other."""


@dataclass(frozen=True)
class Planes:
    """Parallel planes of pixels.

    positions: (n, 3) float64, LPS mm of each plane's first pixel centre. orientation, pixel_spacing: as in DICOM.
    shape: rows, columns. distance_mm: between planes as the file says (SpacingBetweenSlices), or None.
    """

    positions: np.ndarray
    orientation: np.ndarray
    pixel_spacing: tuple[float, float]
    shape: tuple[int, int]
    distance_mm: float | None = None

    @property
    def steps_mm(self) -> np.ndarray:
        """(3, 2) LPS mm from column to column, and from row to row."""
        row, column = geometry.slice_directions(self.orientation)
        return np.stack([row * self.pixel_spacing[1], column * self.pixel_spacing[0]], axis=1)


@dataclass(frozen=True)
class LabelGrid:
    """The grid that planes lie on, x along a row and y along a column, its shape, and the slice (n,) of each plane."""

    affine_lps: np.ndarray
    shape: tuple[int, int, int]
    slices: np.ndarray


def place_planes(planes: Planes, scan: ScanGrid | None, origin: Origin) -> LabelGrid:
    """The grid of planes: on slices of the scan where they are parallel to these, else an even stack of their own.

    Planes may have another distance than the scan's slices, as thick slices have of which a finer scan was made. The
    grid covers all slices of the scan.

    Raises:
        GeometryError: planes between the slices of the scan or beside it, or not evenly spaced; positions are named.
            Or nothing tells the distance of the slices that they were drawn on.
    """
    if scan is None or not _is_parallel(planes, scan):
        return _place_alone(planes)
    places = scan.to_indices(planes.positions)[:, 2]
    distance = planes.distance_mm and planes.distance_mm / geometry.slice_distance_mm(scan.affine_lps, 2)
    steps = find_steps(places, distance, scan, origin)
    affine = _make_affine(planes, scan.affine_lps[:3, 2] * steps.step)
    affine[:3, 3] = planes.positions[0] + (steps.start - places[0]) * scan.affine_lps[:3, 2]
    rows, columns = planes.shape
    return LabelGrid(affine, (columns, rows, steps.count), steps.indices)


def place_on_slices(places: np.ndarray, scan: ScanGrid, origin: Origin) -> LabelGrid:
    """The grid of planes at these places (n,), in slices of the scan, that have its pixels; as :func:`place_planes`."""
    steps = find_steps(places, None, scan, origin)
    affine = geometry.refine_axis(scan.affine_lps, 2, steps.step)
    affine[:3, 3] += scan.affine_lps[:3, 2] * steps.start
    x, y, _ = scan.shape
    return LabelGrid(affine, (x, y, steps.count), steps.indices)


def _is_parallel(planes: Planes, scan: ScanGrid) -> bool:
    """Whether planes are parallel to the slices of the scan, and follow each other as these do."""
    axes = np.linalg.solve(scan.affine_lps[:3, :3], planes.steps_mm)  # (3, 2): voxels of the scan for a column, a row
    rows, columns = planes.shape
    starts = scan.to_indices(planes.positions)[:, :2]
    is_tilted_in = float(np.abs(axes[2]) @ [columns, rows]) > SLICE_TOLERANCE
    return not is_tilted_in and float(np.ptp(starts, axis=0).max()) <= PIXEL_TOLERANCE


def _make_affine(planes: Planes, step: np.ndarray) -> np.ndarray:
    """The affine of a stack of planes that follow each other by ``step`` (3,) LPS mm, its origin left at zero."""
    affine = np.eye(4)
    affine[:3, :2], affine[:3, 2] = planes.steps_mm, step
    return affine


def _place_alone(planes: Planes) -> LabelGrid:
    """The even stack that planes form by themselves, in ascending order along their normal."""
    row, column = geometry.slice_directions(planes.orientation)
    normal = np.cross(row, column)
    along = planes.positions @ normal
    distance = find_distance(along, planes.distance_mm)
    if distance is None:
        places = f"{_format_places(along)} mm along their normal"
        problem = f"the planes of the labels are not evenly spaced: {places}"
        if len(np.unique(along.round(3))) == 1:
            problem = f"all labels lie on one plane, {places}, and SpacingBetweenSlices does not say how thick it is"
        raise GeometryError(f"{problem}; give the scan on which the labels were drawn")
    first, last = planes.positions[int(along.argmin())], planes.positions[int(along.argmax())]
    count = round(float(np.ptp(along)) / distance) + 1
    step = (last - first) / (count - 1) if count > 1 else normal * distance
    indices = np.rint((along - along.min()) / distance).astype(int)
    aside = planes.positions - first - indices[:, None] * step
    if np.linalg.norm(aside, axis=1).max() > max(
        SLICE_TOLERANCE * distance, PIXEL_TOLERANCE * min(planes.pixel_spacing)
    ):
        raise GeometryError("the planes of the labels do not lie behind each other; they form no stack")
    affine = _make_affine(planes, step)
    affine[:3, 3] = first
    geometry.check_affine(affine)
    rows, columns = planes.shape
    return LabelGrid(affine, (columns, rows, count), indices)


def _format_places(places: np.ndarray) -> str:
    distinct = np.unique(np.round(places, 3))
    shown = ", ".join(f"{place:.6g}" for place in distinct[:MAX_SHOWN])
    return shown + (f", ... ({len(distinct)} planes)" if len(distinct) > MAX_SHOWN else "")
