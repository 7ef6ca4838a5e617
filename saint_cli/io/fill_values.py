"""Fill values: one constant that a program wrote wherever nothing was measured, and that no header declares.

Outside the scanned circle stand -3024 or -8192 HU, around a resampled image -32768, -1e6, the lowest float or 1e20.
Such a value says nothing about the patient, but would change percentiles, and whether a volume is taken for CT. It
differs from measured values in three ways: many voxels share exactly this value, it lies far outside the range of all
others, and it fills slices from their border inwards.

A constant inside the CT window may be air (-1024, -1000) or water (0 HU outside the circle), and zero is the background
of MR and PET: both count as measured values.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from saint_cli.volume import Header, ValueRange, Volume, hounsfield, warning_words

SAMPLES = 500_000
"""Voxels sampled; enough to know a share of 0.1 % to a twentieth of itself."""

LEAST_SHARE, LEAST_VOXELS = 0.001, 8
"""Of the sample, voxels that share a value before it may be fill. Fewer move no percentile that anything depends on."""

SPREAD, LEAST_SPREAD_OUT = 0.004, 1000.0
"""Of a fill value, how far values that count as the same lie from each other: lossy compression and resampling leave
-2000 +- 1. Neighbours among smaller values are levels of 8-bit images."""

MOST_CONSTANTS = 2
"""Fill values at either end: that of the scanner, and that of a program which resampled its image."""

ODD_SHARE = 0.25
"""Of the fill voxels, how many others may lie as far out; a constant amid the others is no fill value."""

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
"""Planes along each axis whose border is checked."""

LARGEST_MEASURED = 65535.0
"""No scanner's values go beyond 16 bits; up to them a constant inside the body is saturated: metal, a hot bladder."""


@dataclass(frozen=True)
class FillValue:
    """A value that many voxels share, the range of scanner values that count as it, and their share of the voxels."""

    value: float
    range: ValueRange
    share: float = 0.0

    @property
    def warning(self) -> str:
        """A sentence for the user."""
        share = f"{100 * self.share:.2g}" if self.share < 0.1 else f"{100 * self.share:.0f}"
        return f"{self.value:g} in {share} % of the voxels is a fill value: {warning_words.HIDDEN}"


def mark_fill_values(volume: Volume) -> Volume:
    """The volume with its fill values among ``Header.padding``, and a warning for each; itself where there are none."""
    fills = find_fill_values(volume)
    if not fills:
        return volume
    padding = (*volume.header.padding, *(fill.range for fill in fills))
    marked = replace(volume, header=replace(volume.header, padding=padding))
    return marked.with_warning(*(fill.warning for fill in fills))


def find_fill_values(volume: Volume) -> list[FillValue]:
    """The fill values of a volume besides the padding that its header declares, lowest first."""
    sample = _take_sample(volume)
    kinds, counts = np.unique(sample, return_counts=True)
    many = counts >= max(LEAST_VOXELS, LEAST_SHARE * sample.size)
    shared = _group(kinds[many], counts[many])
    low_hu, high_hu = hounsfield.CT_WINDOW_HU
    beyond = [one for one in shared if one.range[1] < low_hu or one.range[0] > high_hu]
    modality, fills = volume.header.modality, list[FillValue]()
    if modality in (None, "CT"):
        fills, rest = _find_fills(volume.voxels, sample, beyond, ct=True)
    if modality not in (None, "CT") or (modality is None and not hounsfield.is_likely_hu(rest)):
        fills, _ = _find_fills(volume.voxels, sample, [one for one in shared if one.value], ct=False)
    return [replace(one, share=_measure_share(volume.voxels, one.range)) for one in fills]


def _take_sample(volume: Volume) -> np.ndarray:
    """Sorted finite values of some voxels but padding; at random, for a regular grid may lie on a border."""
    flat = volume.voxels.ravel(order="K")
    if flat.size > SAMPLES:
        flat = flat[np.random.default_rng(0).integers(flat.size, size=SAMPLES)]
    measured = flat[np.isfinite(flat) & ~volume.header.is_padding(flat)]
    return np.sort(measured)


def _group(values: np.ndarray, counts: np.ndarray) -> list[FillValue]:
    """Ascending values, those together that differ by no more than ``SPREAD``; of each group the most frequent."""
    groups = list[FillValue]()
    start = 0
    while start < values.size:
        low = float(values[start])
        width = SPREAD * abs(low) if abs(low) >= LEAST_SPREAD_OUT else 0.0
        stop = int(np.searchsorted(values, low + width, "right"))
        value = float(values[start + int(np.argmax(counts[start:stop]))])
        spread = SPREAD * abs(value) if stop - start > 1 else 0.0
        groups.append(FillValue(value, (value - spread, value + spread)))
        start = stop
    return groups


def _find_fills(
    voxels: np.ndarray, sample: np.ndarray, shared: list[FillValue], *, ct: bool
) -> tuple[list[FillValue], np.ndarray]:
    """As many of the ``shared`` values as are fill at either end of a sorted sample; and the sample without them."""
    for below, above in _split_counts(len(shared)):
        lows, highs = shared[:below], shared[len(shared) - above :]
        first = np.searchsorted(sample, lows[-1].range[1], "right") if below else 0
        last = np.searchsorted(sample, highs[0].range[0]) if above else sample.size
        rest = sample[first:last]
        odd, same = sample.size - rest.size, sum(_count(sample, one.range) for one in (*lows, *highs))
        if odd - same > ODD_SHARE * same or np.count_nonzero(rest[1:] != rest[:-1]) + 1 < LEAST_KINDS:
            continue
        fills = [_confirm(voxels, one, rest, below=one in lows, ct=ct) for one in (*lows, *highs)]
        if None not in fills:
            return [one for one in fills if one is not None], rest
    return [], sample


def _count(sample: np.ndarray, values: ValueRange) -> int:
    """How many of a sorted sample lie in a range."""
    return int(np.searchsorted(sample, values[1], "right") - np.searchsorted(sample, values[0]))


def _split_counts(count: int) -> Iterator[tuple[int, int]]:
    """How many values to take from the lower and the upper end, the most first; at least one."""
    pairs = [(a, b) for a in range(MOST_CONSTANTS + 1) for b in range(MOST_CONSTANTS + 1) if 0 < a + b <= count]
    yield from sorted(pairs, key=lambda pair: -sum(pair))


def _confirm(voxels: np.ndarray, one: FillValue, rest: np.ndarray, *, below: bool, ct: bool) -> FillValue | None:
    """A value with its mixtures in its range if it is fill beside the ``rest`` of the sample; None if not."""
    gap, span = _gap(one.value, rest, BODY, below=below)
    tail_gap, tail_span = _gap(one.value, rest, TAIL, below=below)
    is_alone = 0 < ALONE * tail_span <= tail_gap and (below or one.value > LARGEST_MEASURED)
    if not is_alone:
        if not 0 < _least_gap(one.value, rest, span, below=below, ct=ct) <= gap:
            return None
        if not (ct and below) and not _at_border(voxels, one, corners=not below):  # no CT number is below the window
            return None
    return FillValue(one.value, _with_mixtures(one, gap, span, below=below, ct=ct))


def _with_mixtures(one: FillValue, gap: float, span: float, *, below: bool, ct: bool) -> ValueRange:
    """The range of a fill value with its mixtures: only where nothing that was measured can lie in it."""
    low, high = one.range
    if ct and below and gap >= ALONE * span:
        return low, max(high, min(one.value + RIM * gap, np.nextafter(hounsfield.CT_WINDOW_HU[0], -np.inf)))
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


def _at_border(voxels: np.ndarray, one: FillValue, *, corners: bool) -> bool:
    """Whether along some axis the slices that hold a value hold it along their border too, and in ``corners``."""
    ends = voxels[np.ix_(*((0, n - 1) for n in voxels.shape))]
    corners = corners and not Header(padding=(one.range,)).is_padding(ends).any()
    for axis in range(3):
        border, corner = _border_shares(np.moveaxis(voxels, axis, 0), one.range)
        if border >= BORDER_SHARE and (corner >= CORNER_SHARE or not corners):
            return True
    return False


def _border_shares(planes: np.ndarray, values: ValueRange) -> tuple[float, float]:
    """Shares of border and of corner voxels within ``values``, of those planes [plane, ...] that hold some."""
    held = length = corners = count = 0
    for k in np.unique(np.linspace(0, len(planes) - 1, MOST_PLANES).round().astype(int)):
        same = Header(padding=(values,)).is_padding(planes[k])
        if same.any():
            border = np.concatenate([same[0], same[-1], same[1:-1, 0], same[1:-1, -1]])
            held, length = held + int(border.sum()), length + border.size
            corners, count = corners + int(same[[0, 0, -1, -1], [0, -1, 0, -1]].sum()), count + 4
    return held / max(1, length), corners / max(1, count)


def _measure_share(voxels: np.ndarray, values: ValueRange) -> float:
    """The share of voxels within ``values``, counted slice by slice so that no mask of the volume is held."""
    slices = (voxels[:, :, k] for k in range(voxels.shape[2]))
    return sum(int(np.count_nonzero(Header(padding=(values,)).is_padding(plane))) for plane in slices) / voxels.size
