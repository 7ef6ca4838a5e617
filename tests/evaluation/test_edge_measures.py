import numpy as np
import pytest

from saint_cli.evaluation import interpolators
from saint_cli.evaluation.edge_measures import find_edges
from saint_cli.geometry import SliceGrid


def steps(width: float, count: int = 33, falling: bool = False) -> np.ndarray:
    """Ramps of ``width`` slices from -800 to 40 HU around positions that differ from column to column."""
    centre = 12 + 8 * np.random.default_rng(0).random((20, 20, 1))
    height = np.clip((np.arange(count) - centre) / width + 0.5, 0, 1)
    return -800 + 840 * (1 - height if falling else height)


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("width", [4.0, 5.0])
def test_a_ramp_rises_from_10_to_90_percent_over_four_fifths_of_its_width(width: float, falling: bool) -> None:
    scan = steps(width, falling=falling)
    found = find_edges(scan, 4, 1.5).measure_rise(scan)
    assert found == pytest.approx(0.8 * width * 1.5, rel=0.12)


@pytest.mark.parametrize(("ripple", "is_edge"), [(20, True), (100, False)])
def test_a_step_between_levels_that_are_not_even_is_no_edge(ripple: float, is_edge: bool) -> None:
    profile = np.repeat([-400.0, 40.0], 8) + ripple * (np.arange(16) % 2)
    assert bool(len(find_edges(profile * np.ones((4, 4, 1)), 2, 1.0).place)) == is_edge


def test_linear_interpolation_between_far_slices_widens_a_sharp_edge() -> None:
    scan = steps(1.0)
    restored = interpolators.interpolate_linear(scan[..., ::4], SliceGrid(2, 9, 0.25, 33))
    edges = find_edges(scan, 4, 1.0)
    rise = edges.measure_rise(scan)
    assert rise is not None
    assert edges.measure_rise(restored) == pytest.approx(0.8 * 4, rel=0.01)
    assert rise < 1.6


def test_noise_alone_has_no_edges_and_few_edges_give_no_width() -> None:
    noise = np.random.default_rng(0).normal(40, 20, (30, 30, 25))
    assert len(find_edges(noise, 4, 1.0).place) == 0
    assert find_edges(noise, 4, 1.0).measure_rise(noise) is None
    few = steps(2.0)[:3, :3]
    assert find_edges(few, 4, 1.0).measure_rise(few) is None


def test_a_stack_shorter_than_a_profile_has_no_edges() -> None:
    assert find_edges(np.zeros((5, 5, 6)), 4, 1.0).measure_rise(np.zeros((5, 5, 6))) is None
