"""Planes before and after interpolation on the same square pixels, for the before-and-after slider."""

from dataclasses import dataclass, field

import numpy as np

from saint_cli.report import anatomy
from saint_cli.report.anatomy import UprightVolume

LONGEST_PIXELS, SHORTEST_PIXELS = 760, 300
"""Pictures are shrunk to the first and enlarged to the second, by their longer side."""

MOST_ELONGATED = 5.0
"""Longer over shorter side of a plane; of few slices only a part is shown, so that one sees where each begins."""


@dataclass(frozen=True)
class Cut:
    """One plane: before and after are [rows, columns] float32 scanner values of the same square pixels.

    Every pixel has the value of the voxel in which it lies, so that the acquired slices before are bands as high as
    the distance between them. error_map: of the result, on the same pixels; edges: letters for left, right, top,
    bottom; place: index of the plane in the file, and the length of the part that is shown where it is one.
    labels: before and after, integers on the same pixels.
    """

    name: str
    before: np.ndarray
    after: np.ndarray
    error_map: np.ndarray | None
    edges: tuple[str, str, str, str]
    pixel_mm: float
    place: str
    labels: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class ScanPair:
    """The same scan before and after, turned upright, and error maps of output planes by the axis that they fix.

    through_plane: the upright axis along which slices were interpolated. labels: before and after.
    """

    before: UprightVolume
    after: UprightVolume
    through_plane: int
    error_maps: dict[int, np.ndarray] = field(default_factory=dict)
    labels: tuple[UprightVolume, UprightVolume] | None = None

    @property
    def offset_mm(self) -> float:
        """How far the first output slice lies beyond the first acquired one, along the upright through-plane axis."""
        step = self.before.affine_lps[:3, self.through_plane]
        apart = self.after.affine_lps[:3, 3] - self.before.affine_lps[:3, 3]
        return float(apart @ step / np.linalg.norm(step))

    def list_planes(self) -> list[int]:
        """The upright axes that a plane may fix to contain the through-plane axis, the coronal plane first."""
        return sorted((axis for axis in range(3) if axis != self.through_plane), key=lambda axis: (axis != 1, axis))


def make_cut(pair: ScanPair, fixed: int, centre: tuple[int, int, int]) -> Cut:
    """The plane through ``centre`` (upright voxel of the output) that fixes an upright axis.

    It has the extent of the output, or where that is very elongated the part around ``centre``.
    """
    across, along = anatomy.in_plane_axes(fixed)
    fine = pair.after.spacing_mm
    pixel_mm = min(fine[across], fine[along])
    ranges = _choose_ranges(pair, (across, along), centre)
    after_at, before_at = [], []
    for axis, (start, stop) in zip((across, along), ranges, strict=True):
        count = stop - start
        place_mm = (np.arange(max(1, round(count * fine[axis] / pixel_mm))) + 0.5) * pixel_mm - fine[axis] / 2
        place_mm += start * fine[axis]
        after_at.append(np.clip(_nearest_index(place_mm / fine[axis], pair.after.voxels.shape[axis]), start, stop - 1))
        before_at.append(_find_before(pair, axis, place_mm))

    def draw(plane: np.ndarray, at: list[np.ndarray]) -> np.ndarray:
        return resize_picture(anatomy.orient_for_display(plane[np.ix_(*at)], fixed))

    def draw_labels(labels: UprightVolume, at: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        plane = anatomy.take_plane(labels.voxels, fixed, centre[fixed])
        return _resize_labels(anatomy.orient_for_display(plane[np.ix_(*at)], fixed), shape)

    after = draw(anatomy.take_plane(pair.after.voxels, fixed, centre[fixed]), after_at)
    both = zip(pair.labels or (), (before_at, after_at), strict=False)
    labels = [draw_labels(one, at, after.shape) for one, at in both]
    return Cut(
        name=anatomy.PLANES[fixed],
        before=draw(anatomy.take_plane(pair.before.voxels, fixed, centre[fixed]), before_at),
        after=after,
        error_map=draw(pair.error_maps[fixed], after_at) if fixed in pair.error_maps else None,
        edges=anatomy.edge_letters(fixed),
        pixel_mm=pixel_mm * len(after_at[0]) / after.shape[1],
        place=_describe_place(pair.after, fixed, centre[fixed], dict(zip((across, along), ranges, strict=True))),
        labels=(labels[0], labels[1]) if labels else None,
    )


def draw_slice(voxels: np.ndarray, affine_lps: np.ndarray, axis: int) -> np.ndarray:
    """One slice, its through-plane voxel axis of length 1, as a picture [rows, columns] of square pixels."""
    upright = UprightVolume.from_voxels(voxels, affine_lps)
    fixed = upright.find_axis(axis)
    x, y, z = (0 if i == fixed else n // 2 for i, n in enumerate(upright.voxels.shape))
    return make_cut(ScanPair(upright, upright, fixed), fixed, (x, y, z)).after


def _choose_ranges(pair: ScanPair, axes: tuple[int, int], centre: tuple[int, int, int]) -> list[tuple[int, int]]:
    """First and last index, that one excluded, along both axes of a plane."""
    sizes, spacing = pair.after.voxels.shape, pair.after.spacing_mm
    shortest_mm = min(sizes[axis] * spacing[axis] for axis in axes)
    ranges = []
    for axis in axes:
        length = sizes[axis]
        if pair.through_plane in axes:  # whole slices are shown whole
            length = min(length, max(1, round(MOST_ELONGATED * shortest_mm / spacing[axis])))
        start = min(max(0, centre[axis] - length // 2), sizes[axis] - length)
        ranges.append((start, start + length))
    return ranges


def _find_before(pair: ScanPair, axis: int, place_mm: np.ndarray) -> np.ndarray:
    """The voxels of the source along an axis at places in mm from the output's first voxel."""
    shift_mm = pair.offset_mm if axis == pair.through_plane else 0.0
    return _nearest_index((place_mm + shift_mm) / pair.before.spacing_mm[axis], pair.before.voxels.shape[axis])


def _describe_place(upright: UprightVolume, fixed: int, index: int, ranges: dict[int, tuple[int, int]]) -> str:
    place = f"{'xyz'[upright.axis_order[fixed]]} = {upright.find_source_index(fixed, index)}"
    for axis, (start, stop) in ranges.items():
        if stop - start < upright.voxels.shape[axis]:
            place += f", {(stop - start) * upright.spacing_mm[axis]:.0f} mm of it"
    return place


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


def _resize_labels(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Labels [rows, columns] at the centres of so many pixels."""
    rows, columns = (((np.arange(n) + 0.5) * own / n).astype(int) for n, own in zip(shape, picture.shape, strict=True))
    return np.asarray(picture[np.ix_(rows, columns)])


def _nearest_index(position: np.ndarray, count: int) -> np.ndarray:
    at: np.ndarray = np.clip(np.floor(position + 0.5).astype(int), 0, count - 1)
    return at
