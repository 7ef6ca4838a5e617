from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d

from saint_cli.errors import UsageError
from saint_cli.geometry import SlabProfile
from saint_cli.method import intensity
from saint_cli.training import patch_source
from saint_cli.training.dense_volume import DenseVolume
from saint_cli.training.patch_source import AIR_UNITS, FACTORS, LEAST_DIFFICULTY, PatchSource
from saint_cli.training.slice_profile import SliceProfile


def dense(voxels: np.ndarray) -> DenseVolume:
    return DenseVolume.from_array("made", voxels, (0.5, 0.8, 2.0), intensity.CT)


def deep(slices: int, seed: int = 0) -> DenseVolume:
    return dense(np.random.default_rng(seed).integers(-500, 900, (12, 11, slices)).astype(np.int16))


def test_difficulty_is_the_root_mean_square_error_of_linear_interpolation_in_the_body() -> None:
    zigzag = dense(np.broadcast_to(100.0 * (np.arange(20) % 2), (12, 11, 20)))  # at x2 every other slice is 100 HU off
    straight = dense(np.broadcast_to(5.0 * np.arange(20), (12, 11, 20)))
    source = PatchSource([zigzag], 7, 3)
    assert float(source.measure_difficulty(zigzag, 2)) == pytest.approx(0.1, rel=1e-4)
    assert float(source.measure_difficulty(straight, 2)) == pytest.approx(LEAST_DIFFICULTY)


@pytest.mark.parametrize(("distance", "averaged"), [(2, 1), (3, 2), (6, 3), (8, 1)])
def test_difficulty_in_plain_loops(distance: int, averaged: int, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = deep(40)
    monkeypatch.setattr(patch_source, "MOST_MEASURED_VOXELS", volume.voxels.numel() // 4)
    values = intensity.CT.to_network(volume.voxels.numpy()[::2, ::2])
    values = uniform_filter1d(values, averaged, axis=2, mode="nearest")
    squares = [
        np.square(low + (high - low) * c / distance - truth)
        for row in values.reshape(-1, 40)
        for first in range(0, 40 - distance, distance)
        for low, high in [(row[first], row[first + distance])]
        for c in range(1, distance, max(1, distance // 4))
        if (truth := row[first + c]) > AIR_UNITS
    ]
    found = PatchSource([volume], 7, 3).measure_difficulty(volume, distance, SliceProfile.box(averaged))
    assert float(found) == pytest.approx(np.mean(squares) ** 0.5, rel=1e-4)


@pytest.mark.parametrize(("thickness", "averaged"), [(1.0, 4), (0.5, 2), (0.1, 1)])
def test_difficulty_of_slabs_in_plain_loops(thickness: float, averaged: int) -> None:
    volume, distance = deep(40), 4
    values = intensity.CT.to_network(volume.voxels.numpy())
    slabs = uniform_filter1d(values, averaged, axis=2, mode="nearest")
    squares = [
        np.square(low + (high - low) * c / distance - truth)
        for row, means in zip(values.reshape(-1, 40), slabs.reshape(-1, 40), strict=True)
        for first in range(0, 40 - distance, distance)
        for low, high in [(means[first], means[first + distance])]
        for c in range(distance)
        if (truth := row[first + c]) > AIR_UNITS
    ]
    found = PatchSource([volume], 7, 3).measure_difficulty(volume, distance, slab=SlabProfile(thickness))
    assert float(found) == pytest.approx(np.mean(squares) ** 0.5, rel=1e-4)


def test_a_volume_of_air_has_the_least_difficulty() -> None:
    air = dense(np.full((12, 11, 20), -1000, np.int16))
    assert float(PatchSource([air], 7, 3).measure_difficulty(air, 3)) == pytest.approx(LEAST_DIFFICULTY)


def test_factors_are_those_that_some_volume_can_serve_and_small_ones_are_drawn_more_often() -> None:
    source, rng = PatchSource([deep(20)], 7, 3), np.random.default_rng(0)
    assert source.factors == [f for f in FACTORS if 2 * f + 1 <= 20]
    drawn = [source.draw_factor(rng) for _ in range(1500)]
    odds = np.divide(1, source.factors) / np.divide(1, source.factors).sum()
    np.testing.assert_allclose([drawn.count(f) / 1500 for f in source.factors], odds, atol=0.04)


def test_large_volumes_are_drawn_more_often_and_only_where_they_are_deep_enough() -> None:
    small, large = deep(10), deep(40, seed=1)
    source, rng = PatchSource([small, large], 7, 3), np.random.default_rng(0)
    share = np.mean([source.draw(rng, 2)[0] is large for _ in range(1500)])
    assert share == pytest.approx(2 / 3, abs=0.04)  # by the root of their voxels
    assert {source.draw(rng, 8)[0] for _ in range(20)} == {large}


def test_extra_decimations_leave_enough_slices_for_the_patch() -> None:
    long = replace(deep(240), spacing_mm=(0.5, 0.8, 1.0))
    source, rng = PatchSource([long], 7, 12), np.random.default_rng(0)
    assert {source.draw(rng, 2)[1] for _ in range(60)} == {1, 2, 3, 4}
    assert {source.draw(rng, 16)[1] for _ in range(60)} == {1}


THIN, THICK = (1.0, 1.0, 1.0), (0.5, 0.8, 2.0)


def sized(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float] = THICK) -> DenseVolume:
    return replace(dense(np.zeros(shape, np.int16)), spacing_mm=spacing_mm)


def test_volumes_that_are_too_small_for_every_factor_are_refused_with_what_they_have_and_need() -> None:
    with pytest.raises(UsageError, match=r": made has 12 x 11 x 4 and needs 7 x 7 x 5$"):
        PatchSource([deep(4), sized((9, 9, 3))], 7, 3)
    ways = r": made has 4 x 6 x 2 and needs 7 x 7 x 5; made along x has 2 x 6 x 4 and needs 3 x 7 x 5; made along y .*"
    with pytest.raises(UsageError, match=ways):
        PatchSource([sized((4, 6, 2))], 7, 3, sideways=True, thick=True)
    with pytest.raises(UsageError, match=r"made along x has 6 x 6 x 4 and needs 7 x 7 x 5"):
        PatchSource([sized((4, 6, 6), THIN)], 7, 3, sideways=True)


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "sideways"),
    [((7, 7, 5), THICK, False), ((5, 7, 3), THICK, True), ((7, 5, 3), THICK, True), ((5, 7, 7), THIN, True)],
    ids=["as it is", "along x alone", "along y alone", "along x"],
)
def test_exactly_the_voxels_that_the_refusal_names_are_enough(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], *, sideways: bool
) -> None:
    assert PatchSource([sized(shape, spacing_mm)], 7, 3, sideways=sideways, thick=sideways).factors == [2]
    for axis in range(3):
        less = [n - (i == axis) for i, n in enumerate(shape)]
        with pytest.raises(UsageError):
            PatchSource([sized((less[0], less[1], less[2]), spacing_mm)], 7, 3, sideways=sideways, thick=sideways)
