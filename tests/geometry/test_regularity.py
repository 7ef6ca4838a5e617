"""Even spacing is judged relative to the spacing, whatever its size."""

import numpy as np
import pytest

from saint_cli import geometry
from saint_cli.errors import GeometryError, UsageError
from saint_cli.geometry import regularity

AXIAL = np.array([1.0, 0, 0, 0, 1.0, 0])

SPACINGS = [0.002, 0.009, 0.1, 0.625, 1.0, 5.0, 10.0]


def stack(heights: np.ndarray, pixel: float) -> geometry.SliceStack:
    places = np.zeros((len(heights), 3))
    places[:, 2] = heights
    return geometry.stack_slices(places, AXIAL, (pixel, pixel))


def heights(spacing: float, count: int = 12) -> np.ndarray:
    """Positions that are no round numbers, so that no printing explains what is added to them."""
    return spacing * (np.pi / 3 + np.arange(count)) * 1.0000037


def test_a_coordinate_that_all_slices_share_is_no_rounded_one() -> None:
    places = np.array([[10.0, -20.0, z] for z in (0.0, 5.1, 10.2)])
    found = regularity.printed_units_mm(places, np.array([0.0, 0.6, 0.8]))
    assert found == pytest.approx([0.08] * 3)  # a tenth of a millimetre along z alone


def test_a_position_that_is_off_by_more_than_a_misprint_is_printed_with_all_its_digits() -> None:
    along = np.array([[0, 0, z] for z in (0.0, 5.1006, 10.2012)])
    assert regularity.printed_units_mm(along, np.array([0.0, 0.0, 1.0])) == pytest.approx([0.1, 1e-4, 1e-4])


@pytest.mark.parametrize("spacing", SPACINGS)
def test_stacks_of_every_spacing_are_judged_alike(spacing: float) -> None:
    even = heights(spacing)
    assert stack(even, spacing).affine_lps[2, 2] == pytest.approx(spacing, rel=1e-4)
    rng = np.random.default_rng(1)
    stack(even + rng.uniform(-0.009, 0.009, 12) * spacing, spacing)
    for moved, words in ((0.08, "unevenly"), (0.5, "unevenly")):
        uneven = even.copy()
        uneven[5] += moved * spacing
        with pytest.raises(GeometryError, match=words):
            stack(uneven, spacing)
    with pytest.raises(GeometryError, match="1 slice missing"):
        stack(np.delete(even, 4), spacing)
    with pytest.raises(GeometryError, match="3 slices missing"):
        stack(np.delete(even, [4, 5, 8]), spacing)
    with pytest.raises(GeometryError, match="duplicated slices at"):
        stack(np.append(even, even[4]), spacing)
    with pytest.raises(GeometryError, match="too close together"):
        stack(np.append(even, even[4] + 0.08 * spacing), spacing)


@pytest.mark.parametrize(
    ("spacing", "digits"), [(0.009, 3), (0.0085, 3), (0.0091, 4), (0.625, 1), (7.0005, 1), (1.25, 1)]
)
def test_positions_are_regular_to_the_digits_they_are_printed_with(spacing: float, digits: int) -> None:
    printed = (spacing * np.arange(40)).round(digits)
    assert stack(printed, spacing).affine_lps[2, 2] == pytest.approx(spacing, rel=0.02)
    with pytest.raises(GeometryError, match="missing"):
        stack(np.delete(printed, 7), spacing)


def test_500_slices_of_a_micro_ct_are_one_stack() -> None:
    found = stack((0.009 * np.arange(500)).round(3), 0.009)
    assert len(found.order) == 500
    assert found.affine_lps[2, 2] == pytest.approx(0.009)


def test_digits_that_are_printed_explain_no_drift() -> None:
    """Each gap lies within a tenth of the mean, but the tenths add up."""
    with pytest.raises(GeometryError):
        stack(np.concatenate([np.arange(10) * 0.9, 8.1 + np.arange(1, 11) * 1.1]).round(1), 0.7)


def test_the_expected_gap_is_one_that_slices_have() -> None:
    with pytest.raises(GeometryError, match="between 10 and 20; 10 mm between 20 and 30, expected 5 mm: 2 slices"):
        stack(np.array([0, 5.0, 10, 20, 30, 35]), 0.7)


@pytest.mark.parametrize("shift", [1 / 3, 0.4, 0.2])
def test_two_interleaved_scans_are_named_and_found(shift: float) -> None:
    along = np.sort(np.concatenate([heights(5.0), heights(5.0) + 5 * shift]))
    with pytest.raises(GeometryError, match="either two scans of 12 and 12 slices, both 5 mm apart"):
        stack(along, 0.7)
    masks = regularity.find_interleaved(along, np.zeros(24))
    assert masks is not None
    np.testing.assert_allclose(along[masks[0]], heights(5.0))


def test_a_gap_of_several_slices_may_be_off_by_what_each_of_them_may() -> None:
    assert regularity.is_even_with_gaps(np.array([0, 5, 10, 40.3, 45.3]), 0.0)
    assert not regularity.is_even_with_gaps(np.array([0, 5, 10, 40.7, 45.7]), 0.0)


def test_slices_far_finer_than_their_pixels_have_positions_of_their_own() -> None:
    assert regularity.number_positions(0.002 * np.arange(9), 0.5).tolist() == [*range(9)]


def test_an_even_stack_is_not_two() -> None:
    assert regularity.find_interleaved(np.delete(heights(5.0, 20), 7), np.zeros(19)) is None


def test_two_scans_one_behind_the_other_do_not_lie_between_each_other() -> None:
    places = np.concatenate([5.0 * np.arange(4), 22.5 + 5.0 * np.arange(4)])
    assert regularity.find_interleaved(places, np.zeros(8)) is None


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_wanted_spacing_snaps_to_a_whole_fraction_whatever_the_scale(spacing: float) -> None:
    grid = geometry.grid_by_spacing(40, 2, spacing, spacing / 4 * 1.00005)
    assert grid.step == 0.25
    assert geometry.grid_by_spacing(40, 2, spacing, spacing / 4 * 1.01).step != 0.25
    with pytest.raises(UsageError):
        geometry.grid_by_spacing(40, 2, spacing, spacing)
