"""PSNR, SSIM, bias and noise of a restored volume against the truth, by a named protocol."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from saint_cli.errors import GeometryError
from saint_cli.errors.plain_text import format_count
from saint_cli.evaluation import metrics
from saint_cli.evaluation.degrade import DECIMATE, SLAB_SHAPES, average_slabs, decimate, take_slices
from saint_cli.evaluation.metrics import Factor, Protocol
from saint_cli.geometry import SlabProfile, SliceGrid, in_plane
from saint_cli.method import intensity, noise, slab_consistency
from saint_cli.volume import Volume

BODY_SHARE = 0.1
"""Of the range of a volume that is not CT, above which a voxel belongs to the body."""

CONTEXT_VOXELS = 32
"""In-plane voxels kept around the scored crop, so that the networks get its surroundings too."""


class DenseScan(NamedTuple):
    """Slices of a file, their through-plane axis, and what PSNR of them is relative to.

    data_range: ``intensity.find_data_range`` of all of the file, of which these may be a part; None for CT.
    """

    volume: Volume
    axis: int
    data_range: tuple[float, float] | None


@dataclass(frozen=True)
class DegradedScan:
    """A dense volume made sparse, and what its restoration is compared with.

    sparse: the degraded volume; grid: where the restored slices lie, each at a dense slice;
    truth: [X, Y, grid.count] the dense slices there, through-plane axis last.
    data_range: scanner values that PSNR is relative to, as ``DenseScan`` has it; None for CT, whose protocols have
    a fixed one. slab: the profile of sparse slices that are averages, in distances.
    """

    volume: str
    factor: Factor
    sparse: Volume
    grid: SliceGrid
    truth: np.ndarray
    data_range: tuple[float, float] | None = None
    slab: SlabProfile | None = None

    @classmethod
    def from_dense(
        cls,
        dense: Volume,
        axis: int,
        factor: Factor,
        degradation: str = DECIMATE,
        name: str = "",
        data_range: tuple[float, float] | None = None,
    ) -> "DegradedScan":
        """Degrade along a voxel axis. Trailing slices that decimation cannot reach are left out.

        factor: an integer, or p/q: every p-th slice is kept, and every q-th one restored and compared.
        degradation: ``DECIMATE``, or one of ``SLAB_SHAPES``.
        data_range: of the volume of which ``dense`` is a part; None finds that of ``dense``.

        Raises:
            GeometryError: fewer than two slices would be left.
        """
        kept, compared = Fraction(factor).as_integer_ratio()
        require_slices(dense.shape[axis], factor, name or "this scan")
        shape = None if degradation == DECIMATE else SLAB_SHAPES[degradation]
        if shape is not None:  # no slab is the mean of slices beyond those that are compared
            dense = take_slices(dense, axis, slice((dense.shape[axis] - 1) // kept * kept + 1))
        sparse = decimate(dense, axis, kept) if shape is None else average_slabs(dense, axis, kept, shape)
        count = (sparse.shape[axis] - 1) * kept // compared + 1
        grid = SliceGrid(axis, sparse.shape[axis], compared / kept, count)
        truth = np.moveaxis(dense.voxels, axis, 2)[..., ::compared][..., :count]
        if data_range is None and not intensity.is_ct(dense):
            data_range = intensity.find_data_range(dense)
        slab = None if shape is None or compared > 1 else SlabProfile(1.0, shape)  # with fractions, none of the truth
        return cls(name, factor, sparse, grid, truth, data_range, slab)

    def adapt(self, protocol: Protocol) -> Protocol:
        """The protocol in the range of this scan, where that is not CT."""
        return protocol if self.data_range is None else protocol.with_range(*self.data_range)

    @property
    def slab_grid(self) -> SliceGrid:
        """The grid on which thin slices are made of slabs: the same slices; slabs at the ends are cut short."""
        return replace(self.grid, slab=self.slab)

    @property
    def affine_lps(self) -> np.ndarray:
        """4x4 float64, voxel index of ``truth`` and of its restorations to LPS mm."""
        axis = self.grid.axis
        return self.grid.refine(self.sparse.affine_lps)[:, [*in_plane(range(3), axis), axis, 3]]

    def measure_consistency(self, result: np.ndarray) -> float | None:
        """The largest difference between the means of a result [X, Y, slices] over the slabs and these, scanner values.

        None where sparse slices are no averages.
        """
        if self.slab is None:
            return None
        return slab_consistency.measure_deviation(result, self.acquired, self.slab_grid, self.sparse.header).largest

    @property
    def acquired(self) -> np.ndarray:
        """[X, Y, acquired] the sparse slices."""
        return np.moveaxis(self.sparse.voxels, self.grid.axis, 2)


def require_slices(count: int, factor: Factor, name: str) -> None:
    """Refuse a stack from which decimation would leave a single slice.

    Raises:
        GeometryError: naming the slices there are and those needed.
    """
    kept, compared = Fraction(factor).as_integer_ratio()
    if count <= kept:
        how = f"one slice in {kept}" + (f", compared on one in {compared}" if compared > 1 else "")
        raise GeometryError(
            f"{name}: factor {float(factor):g} keeps {how}: of {count} slices that leaves one; "
            f"at least {kept + 1} are needed"
        )


def crop_in_plane(volume: Volume, axis: int, crop: int | None) -> Volume:
    """The volume cut in-plane to the crop that a protocol scores, with ``CONTEXT_VOXELS`` voxels around it."""
    if crop is None:
        return volume
    for i in in_plane(range(3), axis):
        low = max(0, (volume.shape[i] - crop) // 2 - CONTEXT_VOXELS)
        volume = take_slices(volume, i, slice(low, volume.shape[i] - low))  # the central crop stays the same
    return volume


@dataclass(frozen=True)
class Score:
    """The figures of one method on one volume at one factor; None where a figure is not defined.

    slices: restored slices, scored: those that the protocol compares; blank: of these, true slices of one value, which
    means over slices leave out (``metrics.leave_out_blank``); model: None for interpolators;
    psnr_db (inf where nothing differs) and ssim: by the protocol;
    bias_hu: mean of restored minus true HU over synthesised slices; bias_percent: of a volume that is not CT instead,
    in percent of data_range, the span of scanner values or HU that psnr_db is relative to;
    noise_ratio: median noise of synthesised slices over that of the acquired ones;
    seconds: of the whole method on what the protocol compares (``crop_in_plane``); for a model only with ``fused``;
    inconsistency: ``DegradedScan.measure_consistency``, where slabs were averaged.
    """

    volume: str
    factor: float
    slices: int
    scored: int
    model: str | None
    method: str
    psnr_db: float
    ssim: float | None
    bias_hu: float | None
    noise_ratio: float | None
    seconds: float | None
    data_range: float | None = None
    bias_percent: float | None = None
    inconsistency: float | None = None
    blank: int = 0

    @property
    def label(self) -> str:
        """The method as a table names it."""
        return self.method if self.model is None else f"{self.model} {self.method}"


class Scorer:
    """Scores restorations of one degraded scan; what depends on the truth alone is computed once."""

    def __init__(self, degraded: DegradedScan, protocol: Protocol) -> None:
        self.degraded, self.protocol = degraded, degraded.adapt(protocol)
        count = degraded.grid.count
        self.scored = metrics.list_scored_slices(count, degraded.factor, protocol)
        self.synthesised = metrics.list_scored_slices(count, degraded.factor, metrics.PAPER)
        self.varied = metrics.leave_out_blank(degraded.truth, self.synthesised, self.protocol)
        self.blank = len(self.scored) - len(metrics.leave_out_blank(degraded.truth, self.scored, self.protocol))
        body_above = noise.BODY_THRESHOLD_HU
        if degraded.data_range is not None:
            body_above = self.protocol.low_hu + BODY_SHARE * self.protocol.data_range
        self._masks = {j: noise.find_smooth_body(self._hu(degraded.truth, j), body_above) for j in range(count)}
        acquired = [j for j in range(count) if j % degraded.factor == 0]
        acquired = metrics.leave_out_blank(degraded.truth, acquired, self.protocol)
        window = degraded.grid.locate()[0]
        self._acquired_noise = [
            noise.estimate_deviation(self._hu(degraded.acquired, int(window[j])), self._masks[j]) for j in acquired
        ]

    def score(self, method: str, result: np.ndarray, *, model: str | None = None, seconds: float | None) -> Score:
        """The figures of a restoration [X, Y, slices] of the degraded scan."""
        degraded, span = self.degraded, self.protocol.data_range
        psnr = metrics.psnr_by_protocol(degraded.truth, result, degraded.factor, self.protocol)
        ssim = metrics.ssim_by_protocol(degraded.truth, result, degraded.factor, self.protocol)
        bias = [np.mean(self._view(result, j) - self._view(degraded.truth, j), dtype=float) for j in self.varied]
        noisy = [noise.estimate_deviation(self._hu(result, j), self._masks[j]) for j in self.varied]
        is_ct, mean_bias = self.protocol.is_ct, float(np.mean(bias))
        return Score(
            volume=degraded.volume,
            factor=factor_as_number(degraded.factor),
            slices=degraded.grid.count,
            scored=len(self.scored),
            model=model,
            method=method,
            psnr_db=round(psnr, 3),
            ssim=_round_or_none(ssim, 4),
            bias_hu=round(mean_bias, 3) if is_ct else None,
            noise_ratio=_round_or_none(noise.compute_ratio(noisy, self._acquired_noise), 3),
            seconds=None if seconds is None else round(seconds, 3),
            data_range=span,
            bias_percent=None if is_ct else round(100 * mean_bias / span, 4),
            inconsistency=_round_or_none(degraded.measure_consistency(result), 3),
            blank=self.blank,
        )

    def collect_errors(self, result: np.ndarray, difference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """|I_sag - I_cor| and |result - truth| of every compared voxel of the synthesised slices, flat.

        Both in the protocol's ``unit``: HU, or of what is not CT percent of the range.
        result: [X, Y, slices]; difference: [X, Y, synthesised slices].
        """
        errors = [np.abs(self._view(result, j) - self._view(self.degraded.truth, j)) for j in self.synthesised]
        found = self.protocol.cut(difference).ravel(), np.stack(errors, -1).ravel()
        if self.protocol.is_ct:
            return found
        return found[0] * (100 / self.protocol.data_range), found[1] * (100 / self.protocol.data_range)

    def _view(self, volume: np.ndarray, j: int) -> np.ndarray:
        return self.protocol.view(volume[..., j])

    def _hu(self, volume: np.ndarray, j: int) -> np.ndarray:
        return self._view(volume, j) + np.float32(self.protocol.low_hu)


def factor_as_number(factor: Factor) -> float:
    """A factor as JSON and tables show it: whole where it is."""
    return int(factor) if factor == int(factor) else float(factor)


def _round_or_none(value: float | None, digits: int) -> float | None:
    return None if value is None or np.isnan(value) else round(value, digits)


def average_scores(scores: list[Score]) -> list[Score]:
    """Per factor and method the mean over volumes of every figure; one that some volume lacks is None.

    Methods that were not scored on every volume are left out, such as a model for MR where CT was scored too: their
    means would be of other volumes than those beside them.
    """
    groups: dict[tuple[float, str], list[Score]] = {}
    for score in scores:
        groups.setdefault((score.factor, score.label), []).append(score)
    volumes = {factor: max(len(group) for (f, _), group in groups.items() if f == factor) for factor, _ in groups}
    return [_average_group(group) for (factor, _), group in groups.items() if len(group) == volumes[factor]]


def _average_group(group: list[Score]) -> Score:
    return replace(
        group[0],
        volume=f"mean of {format_count(len(group), 'volume')}",
        slices=sum(s.slices for s in group),
        scored=sum(s.scored for s in group),
        blank=sum(s.blank for s in group),
        psnr_db=float(np.mean([s.psnr_db for s in group])),
        ssim=_mean_or_none(s.ssim for s in group),
        bias_hu=_mean_or_none(s.bias_hu for s in group),
        data_range=group[0].data_range if len({s.data_range for s in group}) == 1 else None,
        bias_percent=_mean_or_none(s.bias_percent for s in group),
        noise_ratio=_mean_or_none(s.noise_ratio for s in group),
        seconds=_mean_or_none(s.seconds for s in group),
        inconsistency=_mean_or_none(s.inconsistency for s in group),
    )


def _mean_or_none(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else float(np.mean([v for v in known if v is not None]))
