"""Planes before and after interpolation on the same square pixels, for the before-and-after slider."""

from dataclasses import dataclass, field

import numpy as np

from saint_cli.report import anatomy
from saint_cli.report.anatomy import UprightVolume

LONGEST_PIXELS, SHORTEST_PIXELS = 760, 300
"""Pictures are shrunk to the first and enlarged to the second, by their longer side."""


@dataclass(frozen=True)
class Cut:
    """One plane: before and after are [rows, columns] float32 scanner values of the same square pixels.

    Every pixel has the value of the voxel in which it lies, so that the acquired slices before are bands as high as
    the distance between them. error_map: of the result, on the same pixels; edges: letters for left, right, top,
    bottom; place: index of the plane in the file.
    """

    name: str
    before: np.ndarray
    after: np.ndarray
    error_map: np.ndarray | None
    edges: tuple[str, str, str, str]
    pixel_mm: float
    place: str


@dataclass(frozen=True)
class ScanPair:
    """The same scan before and after, turned upright, and error maps of output planes by the axis that they fix.

    through_plane: the upright axis along which slices were interpolated.
    """

    before: UprightVolume
    after: UprightVolume
    through_plane: int
    error_maps: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def offset_mm(self) -> float:
        """How far the first output slice lies beyond the first acquired one, along the upright through-plane axis."""
        step = self.before.affine_lps[:3, self.through_plane]
        apart = self.after.affine_lps[:3, 3] - self.before.affine_lps[:3, 3]
        return float(apart @ step / np.linalg.norm(step))

    def list_planes(self) -> list[int]:
        """The upright axes that a plane may fix to contain the through-plane axis, the coronal plane first."""
        return sorted((axis for axis in range(3) if axis != self.through_plane), key=lambda axis: (axis != 1, axis))


def make_cut(pair: ScanPair, fixed: int, index: int) -> Cut:
    """The plane ``index`` of the upright axis ``fixed``, over the extent of the output."""
    across, along = anatomy.in_plane_axes(fixed)
    fine, thick = pair.after.spacing_mm, pair.before.spacing_mm
    pixel_mm = min(fine[across], fine[along])
    after_at, before_at = [], []
    for axis in (across, along):
        count = pair.after.voxels.shape[axis]
        place_mm = (np.arange(max(1, round(count * fine[axis] / pixel_mm))) + 0.5) * pixel_mm - fine[axis] / 2
        shift_mm = pair.offset_mm if axis == pair.through_plane else 0.0
        after_at.append(_nearest_index(place_mm / fine[axis], count))
        before_at.append(_nearest_index((place_mm + shift_mm) / thick[axis], pair.before.voxels.shape[axis]))

    def draw(plane: np.ndarray, at: list[np.ndarray]) -> np.ndarray:
        return resize_picture(anatomy.orient_for_display(plane[np.ix_(*at)], fixed))

    after = draw(anatomy.take_plane(pair.after.voxels, fixed, index), after_at)
    return Cut(
        name=anatomy.PLANES[fixed],
        before=draw(anatomy.take_plane(pair.before.voxels, fixed, index), before_at),
        after=after,
        error_map=draw(pair.error_maps[fixed], after_at) if fixed in pair.error_maps else None,
        edges=anatomy.edge_letters(fixed),
        pixel_mm=pixel_mm * len(after_at[0]) / after.shape[1],
        place=f"{'xyz'[pair.after.axis_order[fixed]]} = {pair.after.find_source_index(fixed, index)}",
    )


def resize_picture(picture: np.ndarray) -> np.ndarray:
    """A picture of finite float32, shrunk by averaging or enlarged by repeating pixels to a suitable size."""
    from PIL import Image

    values = picture.astype(np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        lowest, highest = (values[finite].min(), values[finite].max()) if finite.any() else (0.0, 0.0)
        values = np.nan_to_num(values, nan=lowest, posinf=highest, neginf=lowest)
    longest = max(values.shape)
    if longest > LONGEST_PIXELS:
        rows, columns = (max(1, round(n * LONGEST_PIXELS / longest)) for n in values.shape)
        return np.asarray(Image.fromarray(values).resize((columns, rows), Image.Resampling.BOX))
    times = max(1, round(SHORTEST_PIXELS / longest))
    return np.ascontiguousarray(values.repeat(times, 0).repeat(times, 1))


def _nearest_index(position: np.ndarray, count: int) -> np.ndarray:
    at: np.ndarray = np.clip(np.floor(position + 0.5).astype(int), 0, count - 1)
    return at
