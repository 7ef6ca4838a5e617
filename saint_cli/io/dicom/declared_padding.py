"""Padding that headers declare, as scanner values (PixelPaddingValue, PixelPaddingRangeLimit; PS3.3 C.7.5.1.1.2)."""

from collections.abc import Sequence

import numpy as np

from saint_cli.io.dicom.slice_header import SliceHeader
from saint_cli.volume import Header, ValueRange

ALL_IN_RANGE = "all voxels lie in the range of PixelPaddingValue and PixelPaddingRangeLimit: it is ignored"

ALL_NAMED = "all voxels have a value that PixelPaddingValue names: it is ignored"

MEASURED_PADDING = (
    "slices differ in RescaleSlope or RescaleIntercept, and padding of some has values that are measured in others: "
    "there it is interpolated as if it were measured"
)


def find_padding(
    stored: np.ndarray, voxels: np.ndarray, slices: Sequence[SliceHeader]
) -> tuple[tuple[ValueRange, ...], tuple[str, ...]]:
    """The ranges of scanner values that are padding in any slice, and warnings: what one names holds for all.

    stored, voxels: [x, y, z] before and after rescale. Padding is declared in stored values, which are other scanner
    values in slices of another rescale. There only values that a slice has count, and none that is measured in
    another slice with padding of its own.
    """
    if len({header.rescale for header in slices}) == 1:
        named = {header.padding: header for header in slices if header.padding is not None}
        ranges = {_to_scanner(range_, header, voxels.dtype) for range_, header in named.items()}
        warnings: tuple[str, ...] = ()
    else:
        ranges, warnings = _find_padding_by_slice(stored, voxels.dtype, slices)
    padding = tuple(sorted(ranges))
    if padding and all(Header(padding=padding).is_padding(plane).all() for plane in voxels.T):
        has_range = any(low < high for low, high in filter(None, (header.padding for header in slices)))
        return (), (ALL_IN_RANGE if has_range else ALL_NAMED,)
    return padding, warnings


def _find_padding_by_slice(
    stored: np.ndarray, dtype: np.dtype, slices: Sequence[SliceHeader]
) -> tuple[set[ValueRange], tuple[str, ...]]:
    """The ranges of slices of different rescale: of each the values it has, without those measured in another."""
    found: set[ValueRange] = set()
    measured: list[np.ndarray] = []
    for plane, header in zip(np.moveaxis(stored, 2, 0), slices, strict=True):
        if header.padding is not None:
            values = np.unique(plane)
            is_padding = (values >= header.padding[0]) & (values <= header.padding[1])
            measured.append(np.sort(_rescale(values[~is_padding], header, dtype)))
            if is_padding.any():
                found.add(_to_scanner((values[is_padding].min(), values[is_padding].max()), header, dtype))
    ends = np.array(sorted(found)).reshape(-1, 2)
    is_measured = np.zeros(len(ends), bool)
    for values in measured:
        is_measured |= np.searchsorted(values, ends[:, 0]) < np.searchsorted(values, ends[:, 1], "right")
    sure = {(float(low), float(high)) for low, high in ends[~is_measured]}
    return sure, (MEASURED_PADDING,) if is_measured.any() else ()


def _to_scanner(stored: tuple[int, int], header: SliceHeader, dtype: np.dtype) -> ValueRange:
    low, high = np.sort(_rescale(np.array(stored), header, dtype))
    return float(low), float(high)


def _rescale(stored: np.ndarray, header: SliceHeader, dtype: np.dtype) -> np.ndarray:
    """Scanner values of stored ones, as exact as voxels of ``dtype`` are."""
    values = stored.astype(np.float64) * header.slope + header.intercept
    return values.astype(dtype if dtype.kind == "f" else np.float32)
