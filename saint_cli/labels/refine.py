"""Labels of acquired slices interpolated to the slices between them."""

import numpy as np

from saint_cli import geometry
from saint_cli.labels.gap import Gap
from saint_cli.labels.likelihood import NOISE_WIDTHS, AcquiredPair, estimate_noise, median_above_zero, smooth
from saint_cli.progress import ProgressCallback, silent
from saint_cli.volume import Volume
from saint_cli.volume.label_map import LabelMap

STAGE = "labels"
"""Name of the stage in progress reports; its steps are the gaps between acquired slices."""

NOISE_SLICES = 9
"""Slices from which the noise of the scan is estimated."""


def refine_labels(
    labels: LabelMap, grid: geometry.SliceGrid, image: Volume | None = None, on_progress: ProgressCallback = silent
) -> LabelMap:
    """The labels on the grid of the upsampled scan; those of acquired slices do not change.

    labels: on the grid of the acquired scan. grid: of the upsampled one; slices before the first and beyond the last
    acquired one repeat it, as in the outer halves of slabs.
    image: the upsampled scan on that grid, scanner values [x, y, z], to which boundaries move within what both
    neighbours allow; None to use shapes alone. The result has the dtype of the labels. It needs the memory of the
    result and of a few slices.

    Raises:
        ValueError: the image or the grid does not fit the labels.
    """
    shape = grid.output_shape(labels.shape)
    if labels.shape[grid.axis] != grid.acquired or (image is not None and image.shape != shape):
        raise ValueError(f"labels {labels.shape}, {grid} and the image do not fit each other")
    refined = np.empty(shape, labels.labels.dtype)
    source, target = (np.moveaxis(voxels, grid.axis, 2) for voxels in (labels.labels, refined))
    spacing = geometry.in_plane(labels.spacing_mm, grid.axis)
    distance = geometry.slice_distance_mm(labels.affine_lps, grid.axis)
    scan = None if image is None else _Scan(np.moveaxis(image.voxels, grid.axis, 2), grid)
    window, offset = grid.locate()
    for k in range(grid.acquired):
        inside = np.flatnonzero(window == k)
        last = k + 1 == grid.acquired
        exact = inside if last else inside[offset[inside] == 0]
        target[..., exact] = source[..., k, None]
        between = [] if last else [j for j in inside if offset[j] > 0]
        if between and np.array_equal(source[..., k], source[..., k + 1]) and scan is None:
            target[..., between] = source[..., k, None]
        elif between:
            numbers, pair = np.unique(np.stack([source[..., k], source[..., k + 1]]), return_inverse=True)
            first, second = pair.reshape(2, *source.shape[:2]).astype(np.int32)
            gap = Gap(first, second, spacing, distance, scan.make_pair(k, (first, second)) if scan else None)
            for j in between:
                target[..., j] = numbers[gap.interpolate(float(offset[j]), scan.voxels[..., j] if scan else None)]
        on_progress(STAGE, k + 1, grid.acquired)
    return LabelMap(refined, grid.refine(labels.affine_lps), labels.segments, labels.header)


class _Scan:
    """The upsampled scan, slices [X, Y, output]; width: of intensities that count as alike."""

    def __init__(self, voxels: np.ndarray, grid: geometry.SliceGrid) -> None:
        self.voxels, self._grid = voxels, grid
        chosen = np.unique(np.linspace(0, grid.acquired - 1, NOISE_SLICES).astype(int))
        noise = median_above_zero(np.array([estimate_noise(self.acquired(k)) for k in chosen]))
        self.width = max(NOISE_WIDTHS * noise, 1e-3 * float(np.ptp(self.acquired(int(chosen[len(chosen) // 2])))), 1e-6)

    def make_pair(self, number: int, labels: tuple[np.ndarray, np.ndarray]) -> AcquiredPair:
        """Acquired slice ``number`` and the next one, with their labels [X, Y] int32."""
        return AcquiredPair(labels, (self.acquired(number), self.acquired(number + 1)), self.width)

    def acquired(self, number: int) -> np.ndarray:
        """Smoothed acquired slice [X, Y] float32; between the output slices around it where none lies at it."""
        position = min(max(0.0, (number - self._grid.origin) / self._grid.step), self.voxels.shape[2] - 1)
        below = int(position + 1e-6)
        part = max(0.0, position - below)
        image = np.asarray(self.voxels[..., below], np.float32)
        if part > 1e-3:
            image = (1 - part) * image + part * np.asarray(self.voxels[..., below + 1], np.float32)
        return smooth(image)
