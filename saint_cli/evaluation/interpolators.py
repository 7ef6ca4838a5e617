"""Interpolation without a network, which evaluations compare networks with."""

from collections.abc import Callable

import numpy as np

from saint_cli.geometry import SliceGrid
from saint_cli.geometry.sampling_weights import cubic_kernel

TORCH_A = -0.75
"""The coefficient of PyTorch's bicubic."""


def interpolate_linear(slices: np.ndarray, grid: SliceGrid) -> np.ndarray:
    """[..., acquired] values to [..., grid.count] float32; constant beyond the last acquired slice."""
    window, offset = grid.locate()
    above = np.minimum(window + 1, grid.acquired - 1)
    t = offset.astype(np.float32)
    return slices[..., window].astype(np.float32) * (1 - t) + slices[..., above].astype(np.float32) * t


def interpolate_cubic(slices: np.ndarray, grid: SliceGrid) -> np.ndarray:
    """[..., acquired] values to [..., grid.count] float32 by Keys' cubic convolution; end slices are repeated."""
    window, offset = grid.locate()
    result = np.zeros((*slices.shape[:-1], grid.count), np.float32)
    for tap in range(-1, 3):
        at = np.clip(window + tap, 0, grid.acquired - 1)
        result += slices[..., at].astype(np.float32) * cubic_kernel(tap - offset).astype(np.float32)
    return result


def interpolate_bspline(slices: np.ndarray, grid: SliceGrid) -> np.ndarray:
    """[..., acquired] values to [..., grid.count] float32 by SimpleITK's interpolating cubic B-spline."""
    return _apply_weights(slices, _itk_weights(grid, "sitkBSpline3"))


def interpolate_lanczos(slices: np.ndarray, grid: SliceGrid) -> np.ndarray:
    """[..., acquired] values to [..., grid.count] float32 by SimpleITK's Lanczos-windowed sinc of radius 5."""
    return _apply_weights(slices, _itk_weights(grid, "sitkLanczosWindowedSinc"))


def interpolate_bicubic_misaligned(slices: np.ndarray, grid: SliceGrid) -> np.ndarray:
    """[..., acquired] values to [..., grid.count] float32 as ``torch.nn.functional.interpolate`` resizes, bicubic.

    ``align_corners=False`` aligns the outer faces of the stacks rather than slice centres: the result lies half an
    input slice minus half an output slice off, and no acquired slice comes back. It is the paper's baseline, compared
    with the truth slice for slice; shown beside ``interpolate_cubic`` to show how much of a margin is that shift.
    """
    position = (np.arange(grid.count) + 0.5) * grid.step - 0.5
    below = np.floor(position).astype(int)
    weights = np.zeros((grid.acquired, grid.count))
    for tap in range(-1, 3):
        at = np.clip(below + tap, 0, grid.acquired - 1)
        np.add.at(weights, (at, np.arange(grid.count)), cubic_kernel(below + tap - position, TORCH_A))
    return _apply_weights(slices, weights)


def _apply_weights(slices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    result: np.ndarray = slices.astype(np.float32) @ weights.astype(np.float32)
    return result


def _itk_weights(grid: SliceGrid, kind: str) -> np.ndarray:
    """(acquired, count) what each acquired slice counts in each output slice: SimpleITK's answer to unit impulses.

    Interpolation is linear in the slices, so that a whole volume then takes one matrix product instead of minutes.
    The weights of a slice are divided by their sum, for without that SimpleITK's Lanczos adds up to 1 HU to air.
    """
    import SimpleITK as sitk

    impulses = sitk.GetImageFromArray(np.eye(grid.acquired))
    size, spacing, identity = [grid.count, grid.acquired], [grid.step, 1.0], sitk.Transform()
    method, upright = getattr(sitk, kind), [1.0, 0.0, 0.0, 1.0]
    image = sitk.Resample(impulses, size, identity, method, [0.0, 0.0], spacing, upright, 0.0, sitk.sitkFloat64)
    weights = sitk.GetArrayFromImage(image)
    window, offset = grid.locate()
    copied = (offset == 0) | (window == grid.acquired - 1)  # exact to the last bit, and constant beyond the end
    weights[:, copied] = np.eye(grid.acquired)[:, window[copied]]
    normal: np.ndarray = weights / weights.sum(axis=0)
    return normal


INTERPOLATORS: dict[str, Callable[[np.ndarray, SliceGrid], np.ndarray]] = {
    "linear": interpolate_linear,
    "cubic": interpolate_cubic,
    "bspline": interpolate_bspline,
    "lanczos": interpolate_lanczos,
    "bicubic-misaligned": interpolate_bicubic_misaligned,
}
"""Every interpolator by the name that users and tables give it; ``cli.evaluate`` lists the names too."""
