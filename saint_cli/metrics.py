"""PSNR and protocols whose numbers can be compared: every score says which slices, which crop, which data range."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Protocol:
    """How volumes are compared.

    paper: HU + 1024 clipped to 0...4000, data range 4000, acquired slices excluded, central 256 x 256.
    all: every slice, whole plane, range 4095, as later papers report.
    """

    name: str
    low_hu: float
    data_range: float
    synthesised_only: bool
    crop: int | None


PAPER = Protocol("paper", -1024.0, 4000.0, True, 256)
ALL = Protocol("all", -1024.0, 4095.0, False, None)


def psnr(truth: np.ndarray, result: np.ndarray, data_range: float) -> float:
    """10 log10(data_range^2 / mean squared error) in dB over arrays of one shape; inf where they are equal."""
    error = float(np.mean(np.square(truth.astype(np.float64) - result.astype(np.float64))))
    return float("inf") if error == 0 else float(10 * np.log10(data_range**2 / error))


def psnr_by_protocol(
    truth: np.ndarray, result: np.ndarray, axis: int, factor: int, protocol: Protocol = PAPER
) -> float:
    """Mean over slices of PSNR, dB.

    truth, result: [x, y, z] scanner values of one shape; slice j * factor along ``axis`` is acquired.
    The mean over slices weights each slice equally, and so volumes by their slices.
    """
    scores = [
        psnr(_prepare(truth, axis, j, protocol), _prepare(result, axis, j, protocol), protocol.data_range)
        for j in range(truth.shape[axis])
        if j % factor or not protocol.synthesised_only
    ]
    return float(np.mean(scores))


def _prepare(volume: np.ndarray, axis: int, j: int, protocol: Protocol) -> np.ndarray:
    plane = np.take(volume, j, axis).astype(np.float32)
    if protocol.crop is not None:
        plane = central_crop(plane, protocol.crop)
    clipped: np.ndarray = np.clip(plane - protocol.low_hu, 0, protocol.data_range)
    return clipped


def central_crop(plane: np.ndarray, size: int) -> np.ndarray:
    """The central ``size`` x ``size`` pixels of a plane, or as much of it as there is."""
    corners = [max(0, (n - size) // 2) for n in plane.shape]
    return plane[tuple(slice(c, c + size) for c in corners)]
