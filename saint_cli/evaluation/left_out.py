"""Acquired slices that were left out and predicted: their own noise, and the errors of the prediction."""

import math
from dataclasses import dataclass

import numpy as np

from saint_cli.evaluation.noise_measures import (
    find_noise_patches,
    make_guide,
    measure_pooled_deviation,
    measure_slice_correlation,
)
from saint_cli.evaluation.tissues import FAT_AND_SOFT, Tissue, find_body

NOISE_ALONE = math.sqrt(2 / math.pi)
"""Mean absolute value of a normal distribution of standard deviation 1."""


@dataclass(frozen=True)
class LeftOutNoise:
    """The noise of acquired slices.

    body: [x, y, slices] bool; mean_error: the mean absolute error that a slice's noise alone makes in the body, scanner
    values, None where no part of it is uniform enough to measure noise; correlation: of neighbouring slices' noise.
    """

    body: np.ndarray
    mean_error: float | None
    correlation: float


@dataclass(frozen=True)
class LeftOutErrors:
    """The errors of predicted slices, and what is known of those over half the gap; scanner values.

    difference, error: |I_sag - I_cor| and |prediction - truth| of every predicted voxel, arrays of one shape;
    noise: the mean absolute error that noise alone makes in all these voxels, air around the body included, None where
    it could not be measured; noise_correlation: of neighbouring slices' noise; change: mean absolute difference of
    neighbouring slices over that of slices two apart.
    """

    difference: np.ndarray
    error: np.ndarray
    noise: float | None
    noise_correlation: float
    change: float


def measure_left_out(slices: np.ndarray, foreground: float | None) -> LeftOutNoise:
    """The body and the noise of acquired slices.

    slices: [x, y, slices] scanner values; foreground: None for CT, else the value above which voxels belong to the
    body. Noise is measured where the neighbouring slices are uniform: in CT in fat and soft tissue, for lung has a
    texture and bone a structure that cannot be distinguished from it. The rest of the body is taken to be as noisy.
    """
    if foreground is None:
        tissue, body = FAT_AND_SOFT, find_body(slices)
    else:
        tissue, body = Tissue("foreground", foreground, math.inf), slices > foreground
    patches = find_noise_patches(make_guide(slices), tissue)
    deviation, correlation = measure_pooled_deviation(slices, patches), measure_slice_correlation(slices, patches)
    is_known = not math.isnan(deviation)
    return LeftOutNoise(
        body, NOISE_ALONE * deviation if is_known else None, 0.0 if math.isnan(correlation) else correlation
    )


def measure_change(slices: np.ndarray) -> float:
    """Mean absolute difference of neighbouring slices over that of slices two apart; 1 where nothing changes.

    slices: [x, y, slices] scanner values.
    """
    near, far = (
        float(np.abs(slices[..., step:].astype(np.float32) - slices[..., :-step]).mean(dtype=np.float64))
        for step in (1, 2)
    )
    return near / far if far > 0 else 1.0
