"""Fill values: one constant that a program wrote wherever nothing was measured, and that no header declares.

Outside the scanned circle stand -3024 or -8192 HU, around a resampled image -32768, -1e6, the lowest float or 1e20.
Such a value says nothing about the patient, but it would decide percentiles, and whether a volume is CT at all. It is
told from what was measured by three marks: many voxels share exactly this value, it lies far outside the range of all
others, and it fills slices from their border inwards.

A constant inside the CT window cannot be told from air (-1024, -1000) or from water (0 HU outside the circle), and
zero is the background of MR and PET: both stay what they are, measured values.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from saint_cli import intensity
from saint_cli.volume import Range, Volume

SAMPLES = 500_000
"""Voxels looked at; enough for a share of 0.1 % to be known to a twentieth of itself."""

LEAST_SHARE, LEAST_VOXELS = 0.001, 8
"""Of the sample, voxels that share a value before it may be fill. Fewer move no percentile that anything depends on."""

SPREAD, LEAST_SPREAD_OUT = 0.004, 1000.0
"""Of a fill value, how far values that count as the same lie from each other: lossy compression and resampling leave
-2000 +- 1. Neighbours among smaller values are levels of 8-bit images."""

MOST_CONSTANTS = 2
"""Fill values looked for on either side: that of the scanner, and that of a program which resampled its image."""

ODD_SHARE = 0.25
"""Of the fill voxels, how many others may lie as far out as they do; a constant amid the others is none."""

LEAST_KINDS = 16
"""Distinct values that the rest of the volume must have: a noise-free phantom or a label map has constants only."""

BODY, FAR = (10.0, 90.0), 0.5
"""Percentiles of the other voxels, and how many times the span between them a fill value that fills slices from their
border lies outside. Wide enough that a thin rim, where an interpolation mixed fill and tissue, does not hide the
gap."""

FAR_HU = 200.0
"""The same of CT below its window, in HU: no CT number lies there, and a scan of mostly air spans all of the window."""

FAR_BACKGROUND = 4.0
"""The same of other modalities where the least of the others are negative too: shifted or normalised to a mean of 0,
a background of 0 is a negative constant, in MR up to 3.5 spans below the tissue. Where they are not, a value below -1
is no background of theirs."""

TAIL, ALONE = (0.05, 99.95), 4.0
"""The same for a fill value that does not touch the border. A tail beyond the last percentile is too small to be
vessels or metal of which the brightest are saturated: those continue into the saturated value without a gap."""

RIM, DISTANT = 0.9, 25.0
"""Within this part of the gap values are mixtures with the fill value, and fill too: in CT those below the window,
where the gap is more than ``ALONE``; elsewhere only where it is that many spans wide, so that no bright tail lies in
it, and below 0 where the body is not."""

BORDER_SHARE = 0.1
"""Of the border of those slices that hold the value. Metal and burnt-in marks lie inside; a scanned circle leaves
most of the border to fill, and a turned slice at least a corner."""

CORNER_SHARE = 0.75
"""Of the corners of those slices, for a value above all others that holds no corner of the volume: implants, a hot
bladder and bright fat may run from the first slice to the last, or reach a side of the image, and saturate; none fills
corners."""

MOST_PLANES = 64
"""Planes along each axis whose border is looked at."""

LARGEST_MEASURED = 65535.0
"""No scanner's values go beyond 16 bits; up to them a constant inside the body is saturated: metal, a hot bladder."""


@dataclass(frozen=True)
class Fill:
    """A fill value, the range of scanner values that count as it, and the share of voxels in that range."""

    value: float
    range: Range
    share: float

    @property
    def sentence(self) -> str:
        """What the user is told."""
        share = f"{100 * self.share:.2g}" if self.share < 0.1 else f"{100 * self.share:.0f}"
        return f"{self.value:g} in {share} % of the voxels is a fill value: kept there, hidden from the networks"


def with_fill(volume: Volume) -> Volume:
    """The volume with its fill values among ``Header.padding``, and a warning for each; itself where there are none."""
    found = find_fill(volume)
    if not found:
        return volume
    header = volume.header
    padding = (*header.padding, *(fill.range for fill in found))
    return replace(
        volume, header=replace(header, padding=padding, warnings=(*header.warnings, *(f.sentence for f in found)))
    )


def find_fill(volume: Volume) -> list[Fill]:
    """The fill values of a volume besides the padding that its header knows of, lowest first."""
    sample = _sample(volume)
    kinds, counts = np.unique(sample, return_counts=True)
    many = counts >= max(LEAST_VOXELS, LEAST_SHARE * sample.size)
    shared = _groups(kinds[many], counts[many])
    low_hu, high_hu = intensity.CT_WINDOW_HU
    beyond = [one for one in shared if one.range[1] < low_hu or one.range[0] > high_hu]
    kind, found = volume.header.modality, list[_Constant]()
    if kind in (None, "CT"):
        found, rest = _constants(volume.voxels, sample, beyond, ct=True)
        if kind == "CT" or intensity.looks_hu(rest):
            return [_fill(volume.voxels, one) for one in found]
    found, _ = _constants(volume.voxels, sample, [one for one in shared if one.value], ct=False)
    return [_fill(volume.voxels, one) for one in found]


@dataclass(frozen=True)
class _Constant:
    """A value that many voxels share, and the range of those that count as it."""

    value: float
    range: Range


def _sample(volume: Volume) -> np.ndarray:
    """Sorted finite values of some voxels, none of them known padding. At random, for a regular grid may lie on a
    border."""
    flat = volume.voxels.ravel(order="K")
    if flat.size > SAMPLES:
        flat = flat[np.random.default_rng(0).integers(flat.size, size=SAMPLES)]
    measured = flat[np.isfinite(flat) & ~volume.header.is_padding(flat)]
    return np.sort(measured)


def _groups(values: np.ndarray, counts: np.ndarray) -> list[_Constant]:
    """Ascending values, those together that differ by no more than ``SPREAD``; of each group the most frequent."""
    groups = list[_Constant]()
    start = 0
    while start < values.size:
        low = float(values[start])
        width = SPREAD * abs(low) if abs(low) >= LEAST_SPREAD_OUT else 0.0
        stop = int(np.searchsorted(values, low + width, "right"))
        value = float(values[start + int(np.argmax(counts[start:stop]))])
        spread = SPREAD * abs(value) if stop - start > 1 else 0.0
        groups.append(_Constant(value, (value - spread, value + spread)))
        start = stop
    return groups


def _constants(
    voxels: np.ndarray, sample: np.ndarray, shared: list[_Constant], *, ct: bool
) -> tuple[list[_Constant], np.ndarray]:
    """As many of the ``shared`` values as are fill at either end of a sorted sample; and the sample without them."""
    for below, above in _numbers(len(shared)):
        lows, highs = shared[:below], shared[len(shared) - above :]
        first = np.searchsorted(sample, lows[-1].range[1], "right") if below else 0
        last = np.searchsorted(sample, highs[0].range[0]) if above else sample.size
        rest = sample[first:last]
        odd, same = sample.size - rest.size, sum(_count(sample, one.range) for one in (*lows, *highs))
        if odd - same > ODD_SHARE * same or np.count_nonzero(rest[1:] != rest[:-1]) + 1 < LEAST_KINDS:
            continue
        found = [_judged(voxels, one, rest, below=one in lows, ct=ct) for one in (*lows, *highs)]
        if None not in found:
            return [one for one in found if one is not None], rest
    return [], sample


def _count(sample: np.ndarray, values: Range) -> int:
    """How many of a sorted sample lie in a range."""
    return int(np.searchsorted(sample, values[1], "right") - np.searchsorted(sample, values[0]))


def _numbers(count: int) -> Iterator[tuple[int, int]]:
    """How many values to take from the lower and the upper end, the most first; at least one."""
    pairs = [(a, b) for a in range(MOST_CONSTANTS + 1) for b in range(MOST_CONSTANTS + 1) if 0 < a + b <= count]
    yield from sorted(pairs, key=lambda pair: -sum(pair))


def _judged(voxels: np.ndarray, one: _Constant, rest: np.ndarray, *, below: bool, ct: bool) -> _Constant | None:
    """A value as fill beside the ``rest`` of the sample, its mixtures with it in its range; None where it may have been
    measured.
    """
    gap, span = _gap(one.value, rest, BODY, below=below)
    tail_gap, tail_span = _gap(one.value, rest, TAIL, below=below)
    alone = 0 < ALONE * tail_span <= tail_gap and (below or one.value > LARGEST_MEASURED)
    if not alone:
        if not 0 < _least_gap(one.value, rest, span, below=below, ct=ct) <= gap:
            return None
        if not (ct and below) and not _at_border(voxels, one, corners=not below):  # no CT number is below the window
            return None
    return _Constant(one.value, _with_mixtures(one, gap, span, below=below, ct=ct))


def _with_mixtures(one: _Constant, gap: float, span: float, *, below: bool, ct: bool) -> Range:
    """The range of a fill value with its mixtures: only where nothing that was measured can lie in it."""
    low, high = one.range
    if ct and below and gap >= ALONE * span:
        return low, max(high, min(one.value + RIM * gap, np.nextafter(intensity.CT_WINDOW_HU[0], -np.inf)))
    if gap < DISTANT * span or not (below or one.value > LARGEST_MEASURED):
        return low, high
    if not below:
        return min(low, one.value - RIM * gap), high
    end = one.value + RIM * gap
    return low, max(high, min(end, np.nextafter(0, -1)) if one.value + gap >= 0 else end)


def _least_gap(value: float, rest: np.ndarray, span: float, *, below: bool, ct: bool) -> float:
    """How far outside the body's percentiles, which lie ``span`` apart, a value must lie that fills borders."""
    if ct and below:
        return min(FAR_HU, FAR * span)
    is_background = below and not value < -1 < 0 <= rest[round(BODY[0] / 100 * (rest.size - 1))]
    return (FAR_BACKGROUND if is_background else FAR) * span


def _gap(value: float, rest: np.ndarray, percentiles: tuple[float, float], *, below: bool) -> tuple[float, float]:
    """How far a value lies outside percentiles of a sorted sample, and how far these lie apart."""
    low, high = (float(rest[round(share / 100 * (rest.size - 1))]) for share in percentiles)
    return (low - value if below else value - high), high - low


def _at_border(voxels: np.ndarray, one: _Constant, *, corners: bool) -> bool:
    """Whether along some axis the slices that hold a value hold it along their border too, and in ``corners``."""
    ends = voxels[np.ix_(*((0, n - 1) for n in voxels.shape))]
    corners = corners and not ((ends >= one.range[0]) & (ends <= one.range[1])).any()
    for axis in range(3):
        border, corner = _border_shares(np.moveaxis(voxels, axis, 0), one.range)
        if border >= BORDER_SHARE and (corner >= CORNER_SHARE or not corners):
            return True
    return False


def _border_shares(planes: np.ndarray, values: Range) -> tuple[float, float]:
    """Shares of border and of corner voxels within ``values``, of those planes [plane, ...] that hold some."""
    held = length = corners = count = 0
    for k in np.unique(np.linspace(0, len(planes) - 1, MOST_PLANES).round().astype(int)):
        same = (planes[k] >= values[0]) & (planes[k] <= values[1])
        if same.any():
            border = np.concatenate([same[0], same[-1], same[1:-1, 0], same[1:-1, -1]])
            held, length = held + int(border.sum()), length + border.size
            corners, count = corners + int(same[[0, 0, -1, -1], [0, -1, 0, -1]].sum()), count + 4
    return held / max(1, length), corners / max(1, count)


def _fill(voxels: np.ndarray, one: _Constant) -> Fill:
    low, high = one.range
    slices = (voxels[:, :, k] for k in range(voxels.shape[2]))
    count = sum(int(np.count_nonzero((plane >= low) & (plane <= high))) for plane in slices)
    return Fill(one.value, one.range, count / voxels.size)
