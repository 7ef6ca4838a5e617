"""Slices that alternate under the same headers: which stacks get the warning, and what judging them takes."""

import tracemalloc
from pathlib import Path

import fabricate
import numpy as np
import pytest
from scan_passes import FIRST, SAME, SECOND, scan_pass, without_numbers

from saint_cli.io import read_volume
from saint_cli.io.dicom.alternation import describe_alternation


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_scans_between_each_other_that_only_their_images_distinguish_are_reported(
    modality: str, tmp_path: Path
) -> None:
    series = without_numbers(
        [
            *scan_pass(SAME, FIRST, modality=modality),
            *scan_pass([2.5 + z for z in SAME[:-1]], SECOND, modality=modality),
        ]
    )
    volume = read_volume(fabricate.save(series, tmp_path / "s", shuffle=1))
    assert volume.shape[2] == 15
    (warning,) = [one for one in volume.header.warnings if one.startswith("slices alternate: ")]
    assert "one scan of 15 slices, but check whether it is two, of 8 and 7 between each other" in warning


@pytest.mark.parametrize("noise", [0, 300])
def test_slices_that_change_little_by_little_do_not_alternate(noise: int, tmp_path: Path) -> None:
    series = scan_pass([2.5 * k for k in range(12)], FIRST)
    for k, data in enumerate(series):
        noisy = 1000 + 20 * k + np.random.default_rng(k).integers(-noise, noise + 1, (12, 16))
        fabricate.set_pixels(data, noisy.astype("u2"))
    assert read_volume(fabricate.save(series, tmp_path / "s")).header.warnings == ()


def test_mr_whose_every_second_slice_is_darker_does_not_alternate(tmp_path: Path) -> None:
    """Anatomy as coarse as in MR of thick slices: neighbours share three quarters of the variation."""
    layers = np.random.default_rng(5).integers(100, 500, (15, 12, 16))
    series = scan_pass([5.0 * k for k in range(12)], FIRST, modality="MR")
    for k, data in enumerate(series):
        anatomy = layers[k : k + 4].sum(axis=0) * (0.85 if k % 2 else 1.0)
        fabricate.set_pixels(data, anatomy.round().astype("u2"))
    assert read_volume(fabricate.save(series, tmp_path / "s")).header.warnings == ()


def test_a_stack_of_a_little_more_than_64_pixels_is_not_copied() -> None:
    voxels = np.full((127, 127, 40), 100, np.int16)
    voxels[..., ::2] = 900
    tracemalloc.start()
    try:
        assert describe_alternation(voxels)
        assert tracemalloc.get_traced_memory()[1] < voxels.nbytes / 4
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", [1e308, np.inf, np.nan])
def test_values_too_large_to_compare_do_not_alternate(value: float) -> None:
    voxels = np.zeros((12, 16, 8))
    voxels[..., ::2] = value
    voxels[..., 4] = -value
    assert describe_alternation(voxels) == ()
