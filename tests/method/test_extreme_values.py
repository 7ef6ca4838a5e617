"""Constants, huge, tiny and non-finite values: a result is finite where its source is, and never beyond it."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest
import torch
from nets import tiny
from nets.tiny import CPU

from saint_cli.errors import NonFiniteError, SaintError, UsageError
from saint_cli.evaluation import selfcheck
from saint_cli.geometry import grid_by_factor
from saint_cli.io import images
from saint_cli.method import assembly, pipeline
from saint_cli.method.intensity import choose_map
from saint_cli.method.network_input import prepare_input
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.options.method import MethodOptions
from saint_cli.report import quality_control
from saint_cli.report.anatomy import UprightVolume
from saint_cli.report.windows import Window, choose_windows
from saint_cli.volume import Header, Volume
from saint_cli.volume.float_limits import limit_values

GRID = grid_by_factor(5, 2, 3)
SHAPE = (12, 11, 5)
AFFINE = np.diag([0.7, 0.9, 5.0, 1.0])

LARGEST = float(np.finfo(np.float64).max)

CONSTANTS = [
    *(("float32", c) for c in (0.0, 1e-45, 1e-40, 1e3, -1e6, 1e20, -1e20, 1e30, 3.4e38, -3.4e38)),
    *(("float64", c) for c in (5e-324, 1e-310, 1e15, 1e39, -1e200, LARGEST, -LARGEST)),
    *(("int64", c) for c in (2**63 - 1, -(2**63), 2**60 + 1)),
    *(("uint64", c) for c in (2**64 - 1, 2**60 + 1)),
]

SPREADS = [
    *(("float32", s) for s in (1e-45, 1e-40, 1e10, 1e19, 1e30, 3e38)),
    *(("float64", s) for s in (5e-324, 1e-310, 1e39, 1e200, 8e307)),
]


def restored(voxels: np.ndarray, options: MethodOptions = MethodOptions(), modality: str | None = None) -> np.ndarray:  # noqa: B008
    volume = Volume(voxels, AFFINE, Header(modality))
    return tiny.upsample(volume, tiny.model(), GRID, CPU, options).voxels


def random(spread: float, dtype: str) -> np.ndarray:
    return np.asarray(np.random.default_rng(3).uniform(-1, 1, SHAPE) * spread, dtype)


@pytest.mark.parametrize(("dtype", "value"), CONSTANTS, ids=str)
@pytest.mark.parametrize("options", [MethodOptions(), MethodOptions(regenerate=True)], ids=["plain", "regenerate"])
def test_a_constant_is_interpolated_to_itself(dtype: str, value: float, options: MethodOptions) -> None:
    dense = restored(np.full(SHAPE, value, dtype), options)
    assert dense.dtype == np.dtype(dtype)
    assert (dense == np.full(1, value, dtype)).all()


@pytest.mark.parametrize(("dtype", "spread"), SPREADS, ids=str)
@pytest.mark.parametrize(
    "options", [MethodOptions(), MethodOptions(directions=4), MethodOptions(tta=True)], ids=["2", "4", "tta"]
)
def test_huge_and_tiny_values_stay_finite_and_within_those_around(
    dtype: str, spread: float, options: MethodOptions
) -> None:
    sparse = random(spread, dtype)
    dense = restored(sparse, options)
    np.testing.assert_array_equal(dense[..., ::3], sparse)
    assert np.isfinite(dense).all()
    for k in range(4):
        low, high = np.minimum(sparse[..., k], sparse[..., k + 1]), np.maximum(sparse[..., k], sparse[..., k + 1])
        assert (dense[..., 3 * k : 3 * k + 3].min(2) >= low.min()).all()
        assert (dense[..., 3 * k : 3 * k + 3].max(2) <= high.max()).all()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_integers_from_end_to_end_of_their_range_stay_within_it(dtype: str) -> None:
    limits = np.iinfo(dtype)
    sparse = np.random.default_rng(3).integers(limits.min, limits.max, SHAPE, dtype=dtype, endpoint=True)
    dense = restored(sparse)
    np.testing.assert_array_equal(dense[..., ::3], sparse)
    assert len(np.unique(dense[..., 1])) > 3


@pytest.mark.parametrize("offset", [1e6, 1e9, 1e12])
def test_values_that_hardly_vary_reach_the_networks_as_they_vary(offset: float) -> None:
    fine = np.random.default_rng(3).normal(0, 1, SHAPE)
    for dtype in ("float64", "int64"):
        near, far = (np.rint(1000 * fine) + o for o in (1000.0, 1000 * offset))
        networks = [prepare_input(Volume(v.astype(dtype), AFFINE, Header("MR")), GRID).voxels for v in (near, far)]
        torch.testing.assert_close(networks[0], networks[1], rtol=0, atol=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_what_is_not_finite_stays_and_spreads_no_further_than_halfway(value: float) -> None:
    sparse = random(1e30, "float32")
    sparse[:3, :, 2], sparse[6, 6, 1] = value, -value
    dense = restored(sparse)
    np.testing.assert_array_equal(dense[..., ::3], sparse)
    both = np.isfinite(sparse[..., :-1]) & np.isfinite(sparse[..., 1:])
    assert all(np.isfinite(dense[..., 3 * k + t][both[..., k]]).all() for k in range(4) for t in (1, 2))


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_a_residual_that_is_not_finite_is_never_a_result(dtype: str, value: float) -> None:
    volume = tiny.volume(dtype=dtype)
    plan, network_input = SlicePlan.from_grid(GRID), prepare_input(volume, GRID)
    residual = torch.zeros(len(plan.synthesised), *network_input.voxels.shape[:2]).half()
    residual[3, 4, 5] = value
    with pytest.raises(NonFiniteError, match="output slice 5 came out NaN or infinite; nothing was written"):
        assembly.assemble(volume.voxels, plan, network_input, residual, volume.voxels)


def test_values_that_span_more_than_a_float_holds_are_refused() -> None:
    with pytest.raises(UsageError, match="span too much for float64"):
        restored(random(LARGEST, "float64"))


@pytest.mark.parametrize(("dtype", "spread"), SPREADS, ids=str)
def test_the_normalisation_is_finite_and_its_range_positive(dtype: str, spread: float) -> None:
    found = choose_map(Volume(random(spread, dtype), AFFINE, Header("MR")))
    assert found.low <= found.high < np.inf
    assert 0 < found.scale < np.inf
    network = found.to_network(random(spread, dtype))
    assert network.dtype == np.float32
    assert ((network >= 0) & (network <= 4)).all()


@pytest.mark.parametrize(
    "options",
    [*(MethodOptions(noise=handling) for handling in ("match", "smooth")), MethodOptions(regenerate=True)],
    ids=["match", "smooth", "regenerate"],
)
@pytest.mark.parametrize(("dtype", "value"), [("float32", 3e38), ("float64", 1e300), ("int32", 2**31 - 1)])
def test_what_is_no_hu_passes_through_a_ct(options: MethodOptions, dtype: str, value: float) -> None:
    sparse = np.random.default_rng(3).normal(40, 30, (48, 48, 5)).astype(dtype)
    sparse[10:14, 10:14] = value
    dense = restored(sparse, options, "CT")
    assert np.isfinite(dense).all()
    assert (dense[11:13, 11:13] == np.full(1, value, dtype)).all()


def test_regenerated_slices_keep_their_own_padding() -> None:
    volume = tiny.volume()
    volume.voxels[:4, :, 2] = -3000
    padded = replace(volume, header=replace(volume.header, padding=((-3000.0, -3000.0),)))
    dense = tiny.upsample(padded, tiny.model(), GRID, CPU, MethodOptions(regenerate=True)).voxels
    assert (dense[:4, :, 6] == -3000).all()


@pytest.mark.parametrize(("dtype", "spread"), [*SPREADS, ("float32", 0.0)], ids=str)
def test_pictures_and_figures_of_such_values_are_made_or_refused_in_words(dtype: str, spread: float) -> None:
    volume = Volume(random(spread, dtype), AFFINE, Header("MR"))
    restoration = pipeline.restore(volume, tiny.model(), GRID, CPU)
    pictures = quality_control.make_pictures(restoration, restoration.result())
    for window in pictures.windows:
        assert window.to_grey(pictures.cuts[0].after).dtype == np.uint8
        assert len(window.range) < 60
    check = selfcheck.try_self_check(restoration, CPU)
    assert isinstance(check, selfcheck.SelfCheck) or check.startswith(("its values", "a slice"))


def test_fill_values_beyond_float32_stay_padding_in_pictures() -> None:
    voxels = random(1000, "float64")
    voxels[:4] = -LARGEST
    volume = Volume(voxels, AFFINE, Header("MR", padding=((-LARGEST, -LARGEST),)))
    drawn = limit_values(volume)
    assert drawn.voxels.dtype == np.float32
    assert (drawn.header.is_padding(drawn.voxels) == volume.header.is_padding(volume.voxels)).all()
    assert limit_values(tiny.volume()).voxels.dtype == np.int16


def test_a_window_of_no_width_is_black() -> None:
    assert not Window("all", 1e30, 1e30).to_grey(np.full((2, 2), 1e30, np.float32)).any()
    volume = Volume(np.full(SHAPE, 1e30, np.float32), AFFINE)
    upright = UprightVolume.from_voxels(volume.voxels, volume.affine_lps)
    for is_ct in (False, True):
        assert all(w.high >= w.low for w in choose_windows(volume, upright, is_ct=is_ct)[0])


def test_64_bit_integers_come_back_as_nibabel_images() -> None:
    voxels = np.random.default_rng(3).integers(0, 2**62, SHAPE)
    image = nibabel.Nifti1Image(voxels, AFFINE, dtype=np.int64)
    scan = images.to_volume(image)
    made = images.convert_like(image, tiny.upsample(scan, tiny.model(), GRID, CPU))
    np.testing.assert_array_equal(np.asanyarray(made.dataobj)[..., ::3], voxels)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_come_back_bit_exact_from_python(dtype: str) -> None:
    voxels = random(1000, dtype)
    volume = images.to_volume(voxels, voxel_spacing_mm=(0.7, 0.9, 5.0))
    dense = tiny.upsample(volume, tiny.model(), GRID, CPU).voxels
    np.testing.assert_array_equal(dense[..., ::3], voxels)


def test_an_image_too_long_for_its_class_is_known_before_anything_is_computed() -> None:
    image = nibabel.Nifti1Image(np.zeros((2, 2, 20_000), np.int16), AFFINE)
    scan, grid = images.to_volume(image), grid_by_factor(20_000, 2, 2)
    images.check_convertible(image, scan.placeholder_on(grid))
    result = Volume(np.zeros((2, 2, grid.count), np.int16), AFFINE)
    assert images.convert_like(image, result).shape == (2, 2, 39_999)


def test_an_image_that_its_library_refuses_is_refused_before_anything_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = nibabel.Nifti1Image(np.zeros(SHAPE, np.int16), AFFINE)

    def stumble(*_: object) -> None:
        raise KeyError(77)

    monkeypatch.setattr(images, "convert_like", stumble)
    with pytest.raises(SaintError, match="cannot hold the result"):
        images.check_convertible(image, images.to_volume(image).placeholder_on(GRID))
