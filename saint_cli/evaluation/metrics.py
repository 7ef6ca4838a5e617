"""PSNR, SSIM and protocols whose numbers can be compared: every score says which slices, crop and data range."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from saint_cli.models.calibration import HU, PERCENT

Factor = int | Fraction
"""How many times as many slices: an integer, or p/q where p is decimated by and every q-th dense slice compared."""

SSIM_WINDOW = 7
"""Pixels along each side of scikit-image's window; its default."""


@dataclass(frozen=True)
class Protocol:
    """How volumes are compared.

    paper: HU + 1024 clipped to 0...4000, data range 4000, acquired slices excluded, central 256 x 256.
    all: every slice, whole plane, range 4095, as later papers report. Its PSNR is that of the mean squared error of all
    slices (``pooled``), for a slice that came back exactly has none of its own.
    Both are about HU. Of other volumes scanner values are compared, in the range that ``with_range`` sets; is_ct is
    False then, and low_hu a scanner value too.
    """

    name: str
    low_hu: float
    data_range: float
    synthesised_only: bool
    crop: int | None
    pooled: bool
    is_ct: bool = True

    def with_range(self, low: float, high: float) -> "Protocol":
        """The same comparison of a volume that is not CT: its values clipped to low...high, which is the range."""
        return replace(self, low_hu=low, data_range=high - low, is_ct=False)

    def view(self, planes: np.ndarray) -> np.ndarray:
        """What is compared of [x, y, ...] planes of HU: their central crop as float32 in 0...data_range."""
        return self.clip(self.cut(planes))

    def clip(self, values_hu: np.ndarray) -> np.ndarray:
        """HU of any shape as float32 in 0...data_range, 0 being the lowest HU that counts."""
        clipped: np.ndarray = np.clip(values_hu.astype(np.float32) - self.low_hu, 0, self.data_range)
        return clipped

    def cut(self, planes: np.ndarray) -> np.ndarray:
        """The central crop of [x, y, ...] planes, or all of them."""
        return planes if self.crop is None else crop_centre(planes, self.crop)

    @property
    def unit(self) -> str:
        """Of errors: HU, or of a volume that is not CT percent of its range."""
        return HU if self.is_ct else PERCENT

    @property
    def description(self) -> str:
        """The protocol in words, for titles."""
        which = "synthesised slices" if self.synthesised_only else "every slice"
        where = "whole plane" if self.crop is None else f"central {self.crop}x{self.crop}"
        return f"{which}, {where}, HU+{-self.low_hu:.0f} in 0...{self.data_range:.0f} (data range)"


PAPER = Protocol("paper", -1024.0, 4000.0, True, 256, pooled=False)
ALL = Protocol("all", -1024.0, 4095.0, False, None, pooled=True)
PROTOCOLS = {protocol.name: protocol for protocol in (PAPER, ALL)}


def psnr(truth: np.ndarray, result: np.ndarray, data_range: float) -> float:
    """10 log10(data_range^2 / mean squared error) in dB over arrays of one shape; inf where they are equal."""
    return _to_decibels(_mean_squared_error(truth, result), data_range)


def _mean_squared_error(truth: np.ndarray, result: np.ndarray) -> float:
    return float(np.mean(np.square(truth.astype(np.float64) - result.astype(np.float64))))


def _to_decibels(squared_error: float, data_range: float) -> float:
    return float("inf") if squared_error == 0 else float(10 * np.log10(data_range**2 / squared_error))


def psnr_by_protocol(truth: np.ndarray, result: np.ndarray, factor: Factor, protocol: Protocol = PAPER) -> float:
    """PSNR of a volume, dB: the mean of its slices' or, with a pooled protocol, that of their mean squared error.

    truth, result: [X, Y, slices] scanner values of one shape; slice j is acquired if j is a multiple of ``factor``. The
    mean over slices weights each slice equally, but leaves out those that ``is_blank`` in the truth,
    whatever the result is there, unless all are: a single one that came back exactly would make it infinite.
    """
    pairs = _view_scored(truth, result, factor, protocol, varied_only=not protocol.pooled)
    errors = [_mean_squared_error(plane, restored) for plane, restored in pairs]
    counted = [float(np.mean(errors))] if protocol.pooled else errors
    return float(np.mean([_to_decibels(error, protocol.data_range) for error in counted]))


def ssim_by_protocol(truth: np.ndarray, result: np.ndarray, factor: Factor, protocol: Protocol = PAPER) -> float:
    """Mean SSIM of the slices of a volume that a protocol compares; arguments as of ``psnr_by_protocol``.

    Slices that ``is_blank`` in the truth are left out unless all are: two of one value have an SSIM of 1. nan where
    planes are too small.
    """
    pairs = _view_scored(truth, result, factor, protocol, varied_only=True)
    return float(np.mean([ssim(plane, restored, protocol.data_range) for plane, restored in pairs]))


def _view_scored(
    truth: np.ndarray, result: np.ndarray, factor: Factor, protocol: Protocol, *, varied_only: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What a protocol compares of each slice of the truth and of the result; varied_only: see ``leave_out_blank``."""
    slices = list_scored_slices(truth.shape[2], factor, protocol)
    for j in leave_out_blank(truth, slices, protocol) if varied_only else slices:
        yield protocol.view(truth[..., j]), protocol.view(result[..., j])


def is_blank(truth: np.ndarray) -> bool:
    """Whether all voxels of a true slice have one value, as beyond the body: there is nothing to restore."""
    return bool(truth.min() == truth.max())


def leave_out_blank(truth: np.ndarray, slices: Sequence[int], protocol: Protocol) -> list[int]:
    """Those of some slices of [X, Y, slices] that are not ``is_blank`` as a protocol views them; all if all are."""
    return [j for j in slices if not is_blank(protocol.view(truth[..., j]))] or list(slices)


def list_scored_slices(count: int, factor: Factor, protocol: Protocol) -> list[int]:
    """Which of ``count`` slices a protocol compares: all of them, or those that are no multiple of ``factor``."""
    return [j for j in range(count) if j % factor or not protocol.synthesised_only]


def ssim(truth: np.ndarray, result: np.ndarray, data_range: float) -> float:
    """Structural similarity of two planes by scikit-image: uniform 7 x 7 windows; nan where a plane is smaller."""
    from skimage.metrics import structural_similarity

    if min(truth.shape) < SSIM_WINDOW:
        return float("nan")
    planes = (truth.astype(np.float64), result.astype(np.float64))
    return float(structural_similarity(*planes, win_size=SSIM_WINDOW, data_range=data_range))


def crop_centre(planes: np.ndarray, size: int) -> np.ndarray:
    """The central ``size`` x ``size`` pixels of [x, y, ...] planes, or as much of them as there is."""
    corners = [max(0, (n - size) // 2) for n in planes.shape[:2]]
    return planes[tuple(slice(c, c + size) for c in corners)]
