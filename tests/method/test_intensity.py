import numpy as np
import pytest

from saint_cli.method import intensity
from saint_cli.method.intensity import CT, IntensityMap, choose_map, find_data_range, find_modality, is_ct
from saint_cli.volume import Header, Volume


def scan(voxels: np.ndarray, modality: str | None = None) -> Volume:
    return Volume(voxels, np.eye(4), Header(modality))


def brain(shape: tuple[int, int, int] = (12, 11, 10)) -> np.ndarray:
    """MR-like: much background near zero, tissue up to about 800, and two bright voxels."""
    random = np.random.default_rng(1)
    voxels = np.where(random.random(shape) < 0.4, random.exponential(5, shape), random.normal(400, 120, shape))
    voxels.ravel()[:2] = 5000, 9000
    return voxels.clip(0).astype(np.float32)


MAPS = [CT, IntensityMap(0.0, 900.0, 600.0), IntensityMap(-3.0, 7.5, 0.7)]


@pytest.mark.parametrize("mapped", MAPS, ids=str)
def test_inside_the_window_network_values_determine_scanner_values(mapped: IntensityMap) -> None:
    values = np.linspace(mapped.low, mapped.high, 999, dtype=np.float32)
    again = mapped.low + mapped.scale * mapped.to_network(values)
    np.testing.assert_allclose(again, values, atol=1e-6 * (mapped.high - mapped.low))


@pytest.mark.parametrize("mapped", MAPS, ids=str)
def test_values_outside_the_window_are_clipped_to_its_ends(mapped: IntensityMap) -> None:
    beyond = np.array([mapped.low - 1e4, mapped.low, mapped.high, mapped.high + 1e4])
    network = mapped.to_network(beyond)
    top = (mapped.high - mapped.low) / mapped.scale
    np.testing.assert_allclose(network, [0, 0, top, top], rtol=1e-6)
    assert network.dtype == np.float32


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_no_value_of_any_dtype_wraps(dtype: str) -> None:
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo("float32")
    values = np.array([limits.min, 0, 1, 100, limits.max], dtype)
    network = CT.to_network(values)
    wanted = (np.clip(values.astype(np.float64), -1024, 3071) + 1024) / 1000
    np.testing.assert_allclose(network, wanted, rtol=1e-6)
    assert (np.diff(network) >= 0).all()


def test_the_input_is_not_modified() -> None:
    values = np.array([-5000.0, 0.0, 5000.0], np.float32)
    CT.to_network(values)
    assert values.tolist() == [-5000.0, 0.0, 5000.0]


HU = np.concatenate([np.full(400, -1000.0), np.full(600, 40.0)]).reshape(10, 10, 10)


@pytest.mark.parametrize(
    ("voxels", "modality", "decision"),
    [
        (HU, None, True),
        (HU, "MR", False),
        (HU, "PT", False),
        (HU + 1000, "CT", True),
        (HU + 1000, None, False),
        (brain(), None, False),
        (np.where(HU < 0, -3024.0, HU), None, True),
        (HU * 10, None, False),
        (np.where(HU > 0, 9000.0, HU), None, False),
        (np.zeros((4, 4, 4)), None, False),
        (np.full((4, 4, 4), np.nan), None, False),
    ],
)
def test_ct_is_known_by_its_modality_or_by_its_air(voxels: np.ndarray, modality: str | None, decision: bool) -> None:
    assert is_ct(scan(voxels.astype(np.float32), modality)) is decision


def test_ct_has_the_fixed_window() -> None:
    assert choose_map(scan(brain(), "CT")) is CT


def test_mr_puts_its_robust_percentiles_at_fixed_network_values() -> None:
    voxels = brain()
    mapped = choose_map(scan(voxels, "MR"))
    low, high = np.percentile(voxels, intensity.ROBUST_PERCENTILES)
    np.testing.assert_allclose(mapped.to_network(np.array([low, high])), [0, intensity.MR_UPPER_UNITS], atol=1e-5)


def test_mr_map_does_not_depend_on_the_scanners_scale() -> None:
    voxels = brain()
    small, large = (choose_map(scan(v, "MR")).to_network(v) for v in (voxels, voxels * 37 + 11))
    np.testing.assert_allclose(small, large, atol=2e-3)


def test_voxels_that_are_not_finite_do_not_move_the_mr_map() -> None:
    voxels = brain()
    holed = voxels.copy()
    holed[3, 3, :3] = np.nan, np.inf, -np.inf
    wanted, found = choose_map(scan(voxels, "MR")), choose_map(scan(holed, "MR"))
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=5)
    assert found.scale == pytest.approx(wanted.scale, rel=0.02)


MASK = np.where(np.arange(1000) == 500, 255, 0).reshape(10, 10, 10)


@pytest.mark.parametrize(
    "voxels",
    [
        np.zeros((4, 4, 4), np.int16),
        np.full((4, 4, 4), 7, np.uint8),
        np.full((4, 4, 4), -1024, np.int16),
        np.full((4, 4, 4), 1e6, np.float32),
        np.full((4, 4, 4), np.nan, np.float32),
        MASK.astype(np.uint8),
    ],
    ids=["zero", "seven", "air", "large", "nan", "mask"],
)
@pytest.mark.parametrize("modality", [None, "MR"])
def test_constant_and_empty_volumes_get_a_usable_map(voxels: np.ndarray, modality: str | None) -> None:
    mapped = choose_map(scan(voxels, modality))
    finite = np.nan_to_num(voxels)
    network = mapped.to_network(finite)
    assert np.isfinite(network).all()
    assert mapped.scale > 0
    np.testing.assert_allclose(mapped.low + mapped.scale * network, finite, atol=1e-3)


@pytest.mark.parametrize("order", ["C", "F"])
def test_large_volumes_are_sampled_in_any_memory_order(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intensity, "SAMPLE_VOXELS", 200)
    voxels = np.random.default_rng(1).uniform(100, 900, (12, 11, 10)).astype(np.float32)
    mapped = choose_map(scan(np.asarray(voxels, order=order), "MR"))
    assert mapped.low == pytest.approx(100, abs=30)
    assert mapped.scale * intensity.MR_UPPER_UNITS == pytest.approx(800, rel=0.06)


@pytest.mark.parametrize(("scale", "offset"), [(3.5, 0.0), (0.01, 0.0), (2.0, 700.0), (250.0, -40.0)])
def test_network_values_of_mr_do_not_depend_on_a_positive_linear_change(scale: float, offset: float) -> None:
    voxels = brain()
    changed = (voxels * scale + offset).astype(np.float32)
    one, other = (choose_map(scan(v, "MR")).to_network(v) for v in (voxels, changed))
    np.testing.assert_allclose(one, other, atol=2e-4)
    low, high = find_data_range(scan(voxels, "MR"))
    np.testing.assert_allclose(
        find_data_range(scan(changed, "MR")), (scale * low + offset, scale * high + offset), rtol=1e-4
    )


def test_the_data_range_leaves_out_the_brightest_and_darkest_thousandth() -> None:
    voxels = np.arange(10_001, dtype=np.float32).reshape(-1, 73, 1)
    assert find_data_range(scan(voxels, "MR")) == pytest.approx((10, 9990))


def test_the_data_range_of_a_constant_is_not_empty() -> None:
    for value in (0, 7, -1e20):
        low, high = find_data_range(scan(np.full((4, 4, 4), value, np.float32), "MR"))
        assert low == np.float32(value)
        assert high > low


@pytest.mark.parametrize(
    ("modality", "voxels", "found"),
    [("MR", brain() - 1000, "MR"), ("PT", brain(), "PT"), (None, brain(), "MR"), (None, brain() - 1000, "CT")],
)
def test_the_modality_is_that_of_the_file_else_told_by_the_values(
    modality: str | None, voxels: np.ndarray, found: str
) -> None:
    assert find_modality(scan(voxels, modality)) == found


def lesion() -> np.ndarray:
    """A map that is 0 but for one voxel in four hundred, so that its robust percentiles are equal."""
    voxels = np.zeros((20, 20, 20))
    voxels[9:11, 9:11, 8:13] = np.random.default_rng(1).uniform(0.5, 1.5, (2, 2, 5))
    return voxels


@pytest.mark.parametrize("unit", [1e-60, 1e-3, 1.0, 1e3, 1e60])
def test_sparse_volumes_fill_the_networks_range_in_any_unit(unit: float) -> None:
    one, other = (choose_map(scan(v, "MR")).to_network(v) for v in (lesion(), unit * lesion()))
    np.testing.assert_allclose(other, one, rtol=1e-5)
    assert other.max() == pytest.approx(intensity.MR_UPPER_UNITS)


@pytest.mark.parametrize("unit", [1e-60, 1e-3, 1.0, 1e3, 1e60])
def test_the_data_range_scales_with_the_unit(unit: float) -> None:
    for voxels in (lesion(), brain().astype(np.float64)):
        wanted, found = (np.array(find_data_range(scan(v, "MR"))) for v in (voxels, unit * voxels))
        np.testing.assert_allclose(found / unit, wanted, rtol=1e-6)


@pytest.mark.parametrize("value", [3.4028234663852886e38, 1e39, -1e39, 1e308, -1e308])
def test_the_data_range_of_a_huge_constant_is_finite_and_not_empty(value: float) -> None:
    low, high = find_data_range(scan(np.full((4, 4, 4), value), "MR"))
    assert -np.inf < low <= value <= high < np.inf
    assert low < high
