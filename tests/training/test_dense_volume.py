import numpy as np
import pytest
import torch

from saint_cli.method.intensity import CT, IntensityMap
from saint_cli.training.dense_volume import DenseVolume, place_volumes, quantise


def made(voxels: np.ndarray, values: IntensityMap = CT) -> DenseVolume:
    return DenseVolume.from_array("made", voxels, (1.0, 1.0, 2.0), values)


MR = IntensityMap(12.5, 1612.5, 400.0)
WIDE = IntensityMap(0.0, 90_000.0, 30_000.0)


def random(shape: tuple[int, int, int] = (9, 8, 7), high: float = 2500) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1200, high, shape)


def test_int16_voxels_are_shared() -> None:
    voxels = random().astype(np.int16)
    volume = made(voxels)
    voxels[0, 0, 0] = 7
    assert int(volume.voxels[0, 0, 0]) == 7


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("values", [CT, MR])
def test_whole_numbers_stay_exact(dtype: type, values: IntensityMap) -> None:
    voxels = np.rint(random()).astype(dtype)
    volume = made(voxels, values)
    assert volume.values == values
    np.testing.assert_allclose(volume.to_network(volume.voxels).numpy(), values.to_network(voxels), rtol=0, atol=3e-7)


def test_unsigned_whole_numbers_stay_exact() -> None:
    voxels = np.arange(60_000, dtype=np.uint16).reshape(30, 40, 50)
    np.testing.assert_array_equal(made(voxels, MR).voxels, np.clip(voxels, 12, 1613))


@pytest.mark.parametrize(("values", "high"), [(CT, 3500.0), (MR, 2500.0), (WIDE, 100_000.0)])
def test_other_values_are_rounded_finely(values: IntensityMap, high: float) -> None:
    voxels = random(high=high).astype(np.float32)
    volume = made(voxels, values)
    level = (values.high - values.low) / values.scale / 65_535
    error = np.abs(volume.to_network(volume.voxels).numpy() - values.to_network(voxels))
    assert level / 8 < error.max() < level / 2 + 1e-6


def test_quantising_twice_changes_nothing() -> None:
    codes, values = quantise(random(), MR)
    again = quantise(codes, values)
    assert again[0] is codes
    assert again[1] == values


@pytest.mark.parametrize(
    ("slices", "spacing", "steps"),
    [
        (20, 1.0, [1]),
        (119, 1.0, [1]),
        (120, 1.0, [1, 2]),
        (300, 1.0, [1, 2, 3, 4, 5]),
        (300, 2.0, [1, 2]),
        (60, 9.0, [1]),
    ],
)
def test_volumes_are_decimated_further_within_the_papers_limits(slices: int, spacing: float, steps: list[int]) -> None:
    volume = DenseVolume.from_array("made", np.zeros((4, 4, slices), np.int16), (1.0, 1.0, spacing), CT)
    assert volume.decimations == steps


def test_views_sideways_share_the_voxels() -> None:
    volume = made(np.arange(24 * 23 * 9, dtype=np.int16).reshape(24, 23, 9))
    along_x, along_y = volume.view_sideways(thick=True)
    assert along_x.voxels.data_ptr() == along_y.voxels.data_ptr() == volume.voxels.data_ptr()
    assert torch.equal(along_x.voxels[2, 3], volume.voxels[:, 3, 2])
    assert torch.equal(along_y.voxels[2, 3], volume.voxels[3, :, 2])
    assert volume.view_sideways() == []


def test_volumes_that_do_not_fit_a_gpu_stay_and_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    volumes = [made(random().astype(np.int16))]
    assert place_volumes(volumes, torch.device("cpu")) == (volumes, None)
    monkeypatch.setattr(
        torch.cuda, "mem_get_info", lambda device: (1500, 10_000)
    )  # half of it is less than 1,008 bytes
    placed, note = place_volumes(volumes, torch.device("cuda"))
    assert placed == volumes
    assert note is not None
    assert "stay in main memory" in note
