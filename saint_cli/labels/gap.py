"""Labels of the slices between two acquired ones."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from saint_cli.labels.likelihood import AcquiredPair, smooth
from saint_cli.labels.moving_parts import MovingPart, find_moving_parts, remove_parts
from saint_cli.labels.transitions import Spacing, find_change_times, number_regions, rank_in_regions

TIME_WIDTH = 0.25
"""How sure the shapes are of when a voxel changes: its odds rise e-fold within a quarter of the gap."""

DEPTH_WIDTH = 0.5
"""The same for where the boundary of a moving part lies, in pixels."""

MOVING_BAND_PX = 2.0
"""How far from where shapes put it the image may move the boundary of a moving part."""

MOST_SHIFTED = 0.25
"""By how much, of the area of a region that changes, the image may move the part that has changed at a time: thin
structures fade in synthesised slices, and would vanish."""

AGREED_ODDS = 1.0
"""Log odds, per pixel from the boundary and half way, against a change where both neighbours agree."""

SMOOTHING_PX = 0.7
"""Sigma over which voxels at one boundary share what the image says."""


@dataclass(frozen=True)
class Gap:
    """Two acquired slices of labels, [X, Y] int32 from 0 on without gaps, and what lies between them.

    spacing: mm in-plane; distance_mm: between the slices. acquired: their images, None to use shapes alone.
    """

    first: np.ndarray
    second: np.ndarray
    spacing: Spacing
    distance_mm: float
    acquired: AcquiredPair | None = None
    _moving: list[MovingPart] = field(init=False)
    _base: "_Base" = field(init=False)

    def __post_init__(self) -> None:
        moving = find_moving_parts(self.first, self.second, self.spacing, self.distance_mm)
        still = (
            remove_parts(self.first, [pair.first for pair in moving]),
            remove_parts(self.second, [pair.second for pair in moving]),
        )
        object.__setattr__(self, "_moving", moving)
        object.__setattr__(self, "_base", _Base.of(still, self.spacing, with_band=self.acquired is not None))

    def interpolate(self, time: float, image: np.ndarray | None) -> np.ndarray:
        """The labels [X, Y] at a time between 0 and 1; image: [X, Y] of that slice, if there is one."""
        smoothed = None if image is None or self.acquired is None else smooth(image)
        result = self._base.old_labels.copy()
        base = self._base
        odds = base.log_odds(time)
        if smoothed is not None and len(odds):
            odds = odds + self._image_odds(result, base.places, base.new, time, smoothed)
            odds = base.limit_areas(odds, time)
        result[tuple(base.places)] = np.where(odds > 0, base.new, base.old)
        for pair in self._moving:
            box, depth = pair.depth_at(time, result.shape)
            depth = depth / min(self.spacing)
            near = depth > (-MOVING_BAND_PX if smoothed is not None else 0)
            places = np.argwhere(near).T + [[s.start] for s in box]
            odds = np.where(depth > MOVING_BAND_PX, np.inf, depth / DEPTH_WIDTH)[near]
            new = np.full(len(odds), pair.label, result.dtype)
            if smoothed is not None and len(odds):
                odds = odds + self._image_odds(result, places, new, time, smoothed)
            result[tuple(places)] = np.where(odds > 0, new, result[tuple(places)])
        return result

    def _image_odds(
        self, result: np.ndarray, places: np.ndarray, new: np.ndarray, time: float, smoothed: np.ndarray
    ) -> np.ndarray:
        """(n,) log odds that the image of a slice gives the new labels of places against those in ``result``."""
        assert self.acquired is not None  # else nothing was smoothed
        old = result[tuple(places)]
        ratio = self.acquired.log_ratio(smoothed, time, places, old, new)
        return _share(ratio, places, old < new)


@dataclass(frozen=True)
class _Base:
    """The slices without moving parts, and the voxels that may change.

    old_labels: [X, Y] of the first slice. places: (2, n); old, new: (n,) the label of each and the one that it may
    take. times: (n,) when it does by its shape, NaN where both slices agree. edge: (n,) pixels from the boundary there.
    region: (n,) number of the connected region that changes alike, 0 where both slices agree.
    """

    old_labels: np.ndarray
    places: np.ndarray
    old: np.ndarray
    new: np.ndarray
    times: np.ndarray
    edge: np.ndarray
    region: np.ndarray

    @classmethod
    def of(cls, pair: tuple[np.ndarray, np.ndarray], spacing: Spacing, *, with_band: bool) -> "_Base":
        """Of two slices; with_band: with voxels beside a boundary where both agree."""
        first, second = pair
        times = find_change_times(first, second, spacing)
        candidate, new = first != second, second.copy()
        edge = np.zeros(first.shape, np.float32)
        if with_band:
            agree = ~candidate
            for plane, moved in _neighbours(pair):
                take = agree & ~candidate & (moved != plane) & (moved != first)
                new[take], edge[take] = moved[take], 1.0
                candidate = candidate | take
        region = number_regions(first, second)
        chosen = (plane[candidate] for plane in (first, new, times, edge, region))
        return cls(first, np.argwhere(candidate).T, *chosen)

    def log_odds(self, time: float) -> np.ndarray:
        """(n,) for the new labels, by shape."""
        agreed = -AGREED_ODDS * self.edge / (4 * time * (1 - time))
        return np.where(np.isnan(self.times), agreed, (time - self.times) / TIME_WIDTH)

    def limit_areas(self, odds: np.ndarray, time: float) -> np.ndarray:
        """(n,) odds, or +-1 where otherwise too much or too little of a region had changed at a time."""
        count = np.maximum(np.bincount(self.region), 1)
        by_shape, by_image = (
            np.bincount(self.region, weights=changed) / count for changed in (self.times < time, odds > 0)
        )
        share = by_image.clip(by_shape - MOST_SHIFTED, by_shape + MOST_SHIFTED)
        limited = np.where(rank_in_regions(-odds, self.region) < share[self.region], 1.0, -1.0)
        return np.where((share != by_image)[self.region] & (self.region > 0), limited, odds)


def _neighbours(pair: tuple[np.ndarray, np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each slice, and the slice moved by a pixel along x and y, both ways."""
    for axis in (0, 1):
        for step in (1, -1):
            for plane in pair:
                moved = np.roll(plane, step, axis)
                edge = [slice(None)] * 2
                edge[axis] = slice(0, 1) if step == 1 else slice(-1, None)
                moved[tuple(edge)] = plane[tuple(edge)]
                yield plane, moved


def _share(ratio: np.ndarray, places: np.ndarray, upwards: np.ndarray) -> np.ndarray:
    """Log ratios (n,) averaged over neighbouring places; upwards: (n,) whether the new label is the larger one, so that
    both sides of a boundary speak of the same change."""
    margin = 3
    sign = np.where(upwards, np.float32(1), np.float32(-1))
    x, y = places - places.min(1, keepdims=True) + margin
    total, count = np.zeros((2, int(x.max()) + margin + 1, int(y.max()) + margin + 1), np.float32)
    total[x, y], count[x, y] = ratio * sign, 1
    total, count = (ndimage.gaussian_filter(plane, SMOOTHING_PX) for plane in (total, count))
    return np.asarray(total[x, y] / count[x, y] * sign)
