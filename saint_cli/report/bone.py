"""Bone as a surface seen from the front, shaded by slope and depth, in the manner of the paper's Fig. 1."""

import numpy as np

from saint_cli.report import bone_planes, plane_cuts
from saint_cli.report.bone_planes import PlaneReader
from saint_cli.report.plane_cuts import ScanPair

BONE_HU = 220.0
"""Threshold of the surface: cancellous bone and denser."""

SMOOTHING_VOXELS = 0.7
"""In-plane Gaussian before the surface is sought, against noise; the same before and after."""

LIGHT = np.array([0.35, -0.75, 0.55])
"""Where the light comes from (left, posterior, superior): in front of the patient, above, over a shoulder."""

AMBIENT, FADE = 0.18, 0.55
"""Least brightness of a surface, and how much of it the farthest one loses."""

LEAST_BONE_SHARE = 0.004
"""Share of the picture that must be bone for a rendering to be shown."""


LEAST_HEIGHT_SHARE = 0.12
"""Height over width of the stack, seen from the front, for a rendering to show anything."""


def is_too_flat(pair: ScanPair) -> bool:
    """Whether a view from the front would be a mere strip."""
    wide, _, high = (n * s for n, s in zip(pair.after.voxels.shape, pair.after.spacing_mm, strict=True))
    return bool(high < LEAST_HEIGHT_SHARE * wide)


def draw_surface(pair: ScanPair) -> tuple[np.ndarray, np.ndarray] | None:
    """Before and after as uint8 [rows, columns] of square pixels, or None where hardly any bone is seen.

    Before is interpolated linearly between the acquired slices, as a workstation does it. Both show what lies near
    compact bone of the acquired slices.
    """
    skeleton = bone_planes.find_skeleton(pair)
    readers = (bone_planes.make_before_reader(pair), lambda k: bone_planes.read_plane(pair.after, k))
    shaded = [_shade(skeleton.keep_bone(read), pair) for read in readers]
    if np.mean(shaded[1] > 0) < LEAST_BONE_SHARE:
        return None
    before, after = (_resize_square(picture, pair.after.spacing_mm) for picture in shaded)
    return before, after


def _resize_square(picture: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """A picture of the coronal grid with square pixels, of a suitable size."""
    from PIL import Image

    sides = picture.shape[1] * spacing_mm[0], picture.shape[0] * spacing_mm[2]
    pixels = min(plane_cuts.LONGEST_PIXELS, max(plane_cuts.SHORTEST_PIXELS, *picture.shape))
    columns, rows = (max(1, round(pixels * side / max(sides))) for side in sides)
    return np.asarray(Image.fromarray(picture).resize((columns, rows), Image.Resampling.BICUBIC))


def _shade(rows: PlaneReader, pair: ScanPair) -> np.ndarray:
    """uint8 [rows, columns], head up; 0 where no bone is hit."""
    spacing, (width, depth, height) = pair.after.spacing_mm, pair.after.voxels.shape
    picture = np.zeros((height, width), np.uint8)
    planes = [_smooth(rows(k)) for k in range(min(2, height))]
    planes = [planes[0], *planes]  # below, own, above; the ends are repeated
    for k in range(height):
        own = planes[1]
        above = planes[-1] if k + 1 < height else own
        picture[height - 1 - k] = _shade_row(planes[0], own, above, spacing, depth)
        planes = [own, above, _smooth(rows(k + 2)) if k + 2 < height else above]
    return picture


def _smooth(plane: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    smoothed: np.ndarray = gaussian_filter(plane, SMOOTHING_VOXELS, radius=1)
    return smoothed


def _shade_row(
    below: np.ndarray, own: np.ndarray, above: np.ndarray, spacing: tuple[float, float, float], depth: int
) -> np.ndarray:
    """(width,) uint8 of one row: the first bone voxel behind each column of the front."""
    bone = own > BONE_HU
    hit = np.asarray(bone.any(1))
    x, y = np.flatnonzero(hit), bone.argmax(1)[hit]
    left, right = np.maximum(x - 1, 0), np.minimum(x + 1, own.shape[0] - 1)
    front, back = np.maximum(y - 1, 0), np.minimum(y + 1, depth - 1)
    slope = np.stack([own[right, y] - own[left, y], own[x, back] - own[x, front], above[x, y] - below[x, y]], -1)
    slope /= 2 * np.array(spacing, np.float32)
    outward = -slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-6)
    facing = np.clip(outward @ (LIGHT / np.linalg.norm(LIGHT)), 0, 1)
    near = 1 - FADE * y / depth
    shade = np.zeros(len(hit), np.uint8)
    shade[hit] = np.rint(255 * np.clip((AMBIENT + (1 - AMBIENT) * facing) * near, 0.02, 1))
    return shade
