import numpy as np
import pytest

from saint_cli.evaluation.tissue_measures import TissueComparison
from saint_cli.evaluation.tissues import BONE, LUNG

SPACING_MM = (0.5, 0.5, 2.0)


def block(first: int, last: int) -> np.ndarray:
    """Soft tissue with a block of bone in slices first ... last - 1, (30, 30, 20) HU."""
    scan = np.full((30, 30, 20), 40.0)
    scan[10:20, 10:20, first:last] = 800
    return scan


def test_a_tissue_compared_with_itself_has_no_error() -> None:
    (bone,) = TissueComparison(block(5, 15), SPACING_MM, [BONE]).compare(block(5, 15))
    assert (bone.true_ml, bone.found_ml, bone.surface_mm, bone.volume_error) == (0.5, 0.5, 0.0, 0.0)


def test_volume_and_surface_are_in_millilitres_and_millimetres() -> None:
    (bone,) = TissueComparison(block(5, 15), SPACING_MM, [BONE]).compare(block(5, 16))
    assert bone.found_ml == pytest.approx(0.55)
    assert bone.volume_error == pytest.approx(0.1)
    assert bone.surface_mm is not None
    assert 0 < bone.surface_mm < 2  # at one of six faces


def test_a_surface_that_shifts_by_a_slice_is_that_far_away() -> None:
    half = [np.where(np.arange(20) < cut, 40.0, 800.0) * np.ones((30, 30, 1)) for cut in (8, 9)]
    (bone,) = TissueComparison(half[0], SPACING_MM, [BONE]).compare(half[1])
    assert bone.surface_mm == pytest.approx(2.0)


def test_where_a_tissue_is_missing_there_is_no_surface() -> None:
    bone, lung = TissueComparison(block(5, 15), SPACING_MM, [BONE, LUNG]).compare(np.full((30, 30, 20), 40.0))
    assert (bone.found_ml, bone.surface_mm, bone.volume_error) == (0, None, -1)
    assert (lung.surface_mm, lung.volume_error) == (None, None)
