"""How strong the noise of acquired slices is from place to place, and which parts of a plane have noise of one kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from saint_cli.method import intensity, noise
from saint_cli.volume import hounsfield

BLOCK = 4
"""Pixels along each side of a pixel of a map, in which noise hardly varies."""

DETAIL_SIGMA = 2.5
"""Pixels: a slice less its blur by a Gaussian of this width is its detail; where there are no edges, that is noise."""

MAP_SIGMA = 2.5
"""Blocks of the Gaussian over which the strength of noise is averaged."""

PRIOR_WEIGHT = 0.01
"""Share of measured blocks around a block at which its own measurement counts as much as the whole slice's."""

OUTLIER_DEVIATIONS = 3.5
"""Standard deviations to which detail is clipped: beyond lie small structures."""

LUNG_HU = -500.0
LUNG_QUANTILE = 0.2
"""Of the local variance in the lung, whose vessels are no noise: the calmest parts show at most noise."""

INNER_DEPTH, OUTER_DEPTH = 0.65, 0.35
"""Depths below the skin, in shares of the largest one, from which on a pixel is wholly inner and wholly outer body."""

ZONES = ("outer", "inner", "air")
"""Parts of a plane whose noise differs in spectrum: near the skin, deep in the body, around the patient."""

NEIGHBOUR_WEIGHTS = (0.5, 1.0, 0.5)
"""Of the slice below, a slice itself and the one above it, in its map."""


@dataclass(frozen=True)
class NoiseMap:
    """Noise of one slice, on blocks of ``BLOCK`` x ``BLOCK`` pixels; float32 [x blocks, y blocks].

    deviation: standard deviation, HU, 0 where there is none; zones: [zones, ...] weights of ``ZONES``, their sum 1.
    """

    deviation: np.ndarray
    zones: np.ndarray

    def mix(self, other: "NoiseMap", t: float) -> "NoiseMap":
        """The map at ``t`` of the way to another slice's."""
        deviation, zones = (
            one * np.float32(1 - t) + another * np.float32(t)
            for one, another in ((self.deviation, other.deviation), (self.zones, other.zones))
        )
        return NoiseMap(deviation, zones)


@dataclass(frozen=True)
class _Sums:
    """One slice's sums by block: of variance (HU^2) and of weight, in body and air, each [2, x, y]; its zones."""

    variance: np.ndarray
    weight: np.ndarray
    zones: np.ndarray
    lung: np.ndarray
    lung_variance: float


def to_finite_hu(plane: np.ndarray) -> np.ndarray:
    """A slice as float32, air where it is not finite, without values whose squares overflow; no HU is so large."""
    known = np.nan_to_num(plane, nan=noise.AIR_HU, posinf=noise.AIR_HU, neginf=noise.AIR_HU)
    return np.asarray(np.clip(known, -hounsfield.MAX_HU, hounsfield.MAX_HU), dtype=np.float32)


def add_change(plane: np.ndarray, change: np.ndarray, limits: tuple[float, float] = (-np.inf, np.inf)) -> np.ndarray:
    """A slice plus HU, in its own dtype and within ``limits`` where it was; what is no HU (metal, NaN) stays."""
    kind = plane.dtype if plane.dtype.kind == "f" else intensity.choose_wide_dtype(plane.dtype)
    values = plane.astype(kind, copy=False)
    with np.errstate(invalid="ignore", over="ignore"):
        bounded = np.clip(values + change.astype(kind), np.minimum(values, limits[0]), np.maximum(values, limits[1]))
        is_hu = (values >= hounsfield.CT_WINDOW_HU[0]) & (values <= hounsfield.CT_WINDOW_HU[1])
    return intensity.round_to_dtype(np.where(is_hu & (change != 0), bounded, values), plane.dtype)


def measure_maps(slices: np.ndarray) -> list[NoiseMap]:
    """The noise map of each of a stack's slices; slices: [X, Y, slices] HU."""
    count, maps = slices.shape[2], []
    sums = {0: _sum_slice(to_finite_hu(slices[..., 0]))}
    for k in range(count):
        if k + 1 < count:
            sums[k + 1] = _sum_slice(to_finite_hu(slices[..., k + 1]))
        around = [(w, sums[i]) for w, i in zip(NEIGHBOUR_WEIGHTS, (k - 1, k, k + 1), strict=True) if i in sums]
        maps.append(NoiseMap(_make_deviation(around, sums[k]), sums[k].zones))
        sums.pop(k - 1, None)
    return maps


def enlarge(blocks: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A map [x blocks, y blocks] at every pixel of ``shape``, linearly between the centres of blocks; float32."""
    rows, columns = (_interpolation_weights(n, blocks.shape[i]) for i, n in enumerate(shape))
    return np.asarray(rows @ blocks @ columns.T, np.float32)


@cache
def _interpolation_weights(pixels: int, blocks: int) -> np.ndarray:
    """(pixels, blocks) float32 weights of linear interpolation."""
    position = np.clip((np.arange(pixels) + 0.5) / BLOCK - 0.5, 0, blocks - 1)
    weights = 1 - np.abs(position[:, None] - np.arange(blocks))
    return np.asarray(np.maximum(weights, 0), np.float32)


def reduce_to_blocks(plane: np.ndarray) -> np.ndarray:
    """[X, Y] to the mean of each block, float32; blocks at the far edges are filled up by repeating it."""
    margins = [(0, -n % BLOCK) for n in plane.shape]
    padded = np.pad(np.asarray(plane, np.float32), margins, mode="edge")
    x, y = (n // BLOCK for n in padded.shape)
    return np.asarray(padded.reshape(x, BLOCK, y, BLOCK).mean((1, 3)), np.float32)


def _sum_slice(plane: np.ndarray) -> _Sums:
    from scipy import ndimage

    detail = np.square(plane - ndimage.gaussian_filter(plane, DETAIL_SIGMA))
    coarse = reduce_to_blocks(plane)
    inside = ndimage.binary_fill_holes(coarse > LUNG_HU)
    masks = noise.find_smooth_body(plane), _find_smooth_air(plane, ~inside)
    variance, weight = (np.zeros((2, *coarse.shape), np.float32) for _ in range(2))
    for i, mask in enumerate(masks):
        if mask.any():
            limit = OUTLIER_DEVIATIONS**2 * float(np.median(detail[mask])) / 0.455  # the median of chi-square, 1 degree
            variance[i] = reduce_to_blocks(np.minimum(detail, limit) * mask)
            weight[i] = reduce_to_blocks(mask)
    lung = (coarse < LUNG_HU) & inside
    calm = float(np.quantile(reduce_to_blocks(detail)[lung], LUNG_QUANTILE)) if lung.any() else np.inf
    return _Sums(variance, weight, _find_zones(inside), lung, calm)


def _find_smooth_air(plane: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Where the air around the patient is free of table, cables and the patient's edge."""
    from scipy import ndimage

    eroded = ndimage.binary_erosion(outside, iterations=2, border_value=1).astype(np.float32)
    air = np.asarray((enlarge(eroded, plane.shape) == 1) & (plane < LUNG_HU))
    if not air.any():
        return air
    gradient = ndimage.gaussian_gradient_magnitude(plane, noise.SMOOTH_SIGMA)
    calm: np.ndarray = air & (gradient <= 2 * np.median(gradient[air]))
    return calm


def _find_zones(inside: np.ndarray) -> np.ndarray:
    """[zones, x, y] the weights of ``ZONES``; inside: blocks of the body, lungs included."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    share = depth / max(1.0, float(depth.max()))
    inner = np.clip((share - OUTER_DEPTH) / (INNER_DEPTH - OUTER_DEPTH), 0, 1)
    air = ndimage.gaussian_filter((~inside).astype(np.float32), 0.7)
    return np.stack([(1 - inner) * (1 - air), inner * (1 - air), air]).astype(np.float32)


def _make_deviation(around: Sequence[tuple[float, _Sums]], own: _Sums) -> np.ndarray:
    """Standard deviation, HU, at every block of a slice, from what it and its neighbours measured."""
    from scipy import ndimage

    deviations = []
    for i in range(2):
        variance, weight = (sum(w * getattr(s, name)[i] for w, s in around) for name in ("variance", "weight"))
        total = float(weight.sum())
        if total == 0:
            deviations.append(np.zeros(weight.shape, np.float32))
            continue
        prior = float(variance.sum()) / total
        local, known = (ndimage.gaussian_filter(sums, MAP_SIGMA) for sums in (variance, weight))
        deviations.append(np.sqrt((local + PRIOR_WEIGHT * prior) / (known + PRIOR_WEIGHT)))
    body, air = deviations
    if own.lung.any():
        most = np.sqrt(own.lung_variance / max(1e-6, float(np.mean(body[own.lung] ** 2))))
        lung = ndimage.gaussian_filter(own.lung.astype(np.float32), 1.0)
        body = body * (1 - lung * max(0.0, 1 - float(most)))
    result: np.ndarray = body * (1 - own.zones[2]) + air * own.zones[2]
    return result.astype(np.float32)
