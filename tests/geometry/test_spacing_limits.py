"""Spacings that no scan has are refused; in place of those that networks do not know, they get smaller ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nets import tiny

from saint_cli.errors import GeometryError
from saint_cli.geometry import grid_by_factor, spacing_limits
from saint_cli.io import describe, images, write_volume
from saint_cli.jobs import GridRequest
from saint_cli.jobs.job import LoadedJob, LocalJob
from saint_cli.jobs.preflight import add_warnings
from saint_cli.method.network_input import prepare_input
from saint_cli.volume import Volume


def spaced(x: float, y: float, z: float) -> Volume:
    return replace(tiny.volume(), affine_lps=np.diag([x, y, z, 1.0]))


PLAUSIBLE = [(1e-6, 1e-6, 5e-6), (0.009, 0.009, 0.02), (0.7, 0.7, 5.0), (5.5, 5.5, 5.0), (1.0, 1.0, 100.0)]

IMPLAUSIBLE = [
    *((s, s, 5 * s) for s in (5e-324, 1e-45, 1e-30, 1e-8, 21.0, 700.0, 1e6, 1e11, 1e30, 1e300)),
    *((1.0, 1.0, s) for s in (0.0, 1e-8, 101.0, np.nan, np.inf)),
]


@pytest.mark.parametrize("spacing", PLAUSIBLE, ids=str)
def test_spacings_from_electron_microscopes_to_localisers_are_taken(spacing: tuple[float, float, float]) -> None:
    assert GridRequest(factor=2, axis=2).make_grid(spaced(*spacing)).count == 9


@pytest.mark.parametrize("spacing", IMPLAUSIBLE, ids=str)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_other_spacings_are_refused_with_the_values_and_what_to_do(spacing: tuple[float, float, float]) -> None:
    with pytest.raises(
        GeometryError, match=r"spacing .* mm: no scan has one (above|below|that is not) .* header first"
    ) as caught:
        GridRequest(factor=2, axis=2).make_grid(spaced(*spacing))
    assert "\n" not in str(caught.value)


def test_info_says_what_upsample_would_refuse(tmp_path: Path) -> None:
    write_volume(spaced(700.0, 700.0, 5000.0), tmp_path / "um.nrrd")
    (stack,) = describe(tmp_path / "um.nrrd").stacks
    assert "no scan has one above 100 mm" in str(stack.problem)
    assert stack.exit_code == 4


def test_a_numpy_array_in_micrometres_is_refused() -> None:
    scan = images.to_volume(tiny.volume().voxels, voxel_spacing_mm=(700, 700, 5000))
    with pytest.raises(GeometryError, match="700 x 700 x 5000 mm"):
        GridRequest(factor=2).make_grid(scan)


@pytest.mark.parametrize("spacing", [(0.7, 0.9, 5.0), (5.5, 5.5, 5.0), (1e-6, 1e-6, 1e-3), (6.0, 1.0, 60.0)], ids=str)
def test_known_spacings_reach_the_networks_as_they_are(spacing: tuple[float, float, float]) -> None:
    assert spacing_limits.network_spacing_mm(spacing, 2) == pytest.approx(spacing)


@pytest.mark.parametrize(
    ("spacing", "axis", "expected"),
    [
        ((20.0, 10.0, 100.0), 2, (6.0, 3.0, 30.0)),
        ((1.0, 1.0, 100.0), 2, (0.6, 0.6, 60.0)),
        ((100.0, 2.0, 1.0), 0, (1.2, 0.6, 60.0)),
        ((10.0, 20.0, 100.0), 2, (3.0, 6.0, 30.0)),
    ],
)
def test_larger_ones_are_scaled_in_proportion(
    spacing: tuple[float, float, float], axis: int, expected: tuple[float, float, float]
) -> None:
    assert spacing_limits.network_spacing_mm(spacing, axis) == pytest.approx(expected)


def test_networks_get_no_distance_that_they_do_not_know_and_the_user_is_warned() -> None:
    far, grid = spaced(20.0, 20.0, 100.0), grid_by_factor(5, 2, 2)
    assert prepare_input(far, grid).spacing_mm == pytest.approx((6.0, 6.0, 30.0))
    job, model = LocalJob(Path("in.nii"), Path("out.nii")), tiny.model()
    warned = add_warnings(LoadedJob(job, far, grid, None, model, tiny.CPU))
    assert "they treat slices as 30 mm apart" in " ".join(warned.header.warnings)
    usual = add_warnings(LoadedJob(job, spaced(0.7, 0.9, 5.0), grid, None, model, tiny.CPU))
    assert usual.header.warnings == ()
