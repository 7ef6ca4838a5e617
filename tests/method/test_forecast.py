"""The forecast counts the pixels that go through the networks, and compares with another shipped model."""

import copy
from dataclasses import replace

import fabricate
import numpy as np
import pytest
import torch
from nets import tiny

from saint_cli.jobs import GridRequest, ModelConfig
from saint_cli.method import forecast
from saint_cli.models import weights
from saint_cli.options.method import MethodOptions
from saint_cli.runtime import device_selection
from saint_cli.volume import Volume

CPU = device_selection.select_compute("cpu", "fp32")


def body(shape: tuple[int, int, int] = (70, 60, 6)) -> Volume:
    """Soft tissue of 30 x 26 voxels in air, as CT."""
    voxels = np.full(shape, -1000, np.int16)
    voxels[20:50, 18:44] = 40
    volume = fabricate.volume(shape)
    return replace(volume, voxels=voxels, header=replace(volume.header, modality="CT"))


@pytest.mark.parametrize(
    ("factor", "options"),
    [
        (4, MethodOptions()),
        (3, MethodOptions(skip_air=False)),
        (2, MethodOptions(directions=4)),
        (2, MethodOptions(tta=True)),
        (2, MethodOptions(regenerate=True)),
    ],
    ids=["plain", "with air", "diagonals", "flips", "regenerate"],
)
def test_as_many_pixels_are_counted_as_the_networks_see(
    factor: int, options: MethodOptions, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, model = body(), weights.load_model(model_config.model)
    seen = {id(model.ami.features): 0, id(model.rfn.features): 0}
    plain = type(model.ami.features).forward

    def counted(self: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        seen[id(self)] += x.numel() // x.shape[1]
        return plain(self, x)

    grid = GridRequest(factor=factor).make_grid(volume)
    expected = forecast.count_pixels(volume, model, grid, CPU, options)
    monkeypatch.setattr(type(model.ami.features), "forward", counted)
    tiny.upsample(volume, model, grid, CPU, options)
    assert (expected.ami, expected.rfn) == tuple(seen.values())


@pytest.mark.parametrize(
    ("is_small", "seconds", "is_announced"), [(True, 1e3, False), (False, 5, False), (False, 1e3, True)]
)
def test_a_short_job_is_not_announced(
    is_small: bool, seconds: float, is_announced: bool, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short is what has few multiplications, which is not even measured, or what was measured as less than a minute."""
    volume = body()
    monkeypatch.setattr(forecast, "measure_network_seconds", lambda *rest: seconds)
    monkeypatch.setattr(forecast, "SHORT_JOB_MACS", {"cpu": np.inf if is_small else 0})
    given = weights.load_model(model_config.model), GridRequest(factor=2).make_grid(volume), CPU, MethodOptions()
    assert (forecast.forecast(volume, *given) is not None) == is_announced


def test_a_long_job_on_slabs_has_no_other_model_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "measure_network_seconds", lambda *rest: 90.0)
    volume, model = body(), weights.load_model("slab-medium")
    grid = GridRequest(factor=2, slab=True).make_grid(volume)
    made = forecast.forecast(volume, model, grid, CPU, MethodOptions(), work=1e6)
    assert made is not None
    assert made.sentence(model.name).endswith("with slab-medium")


@pytest.mark.parametrize(("name", "other"), [("fast", "medium"), ("medium", "fast"), ("base", "medium")])
def test_a_long_job_has_a_forecast_of_its_time_and_that_of_another_model(
    name: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    speed = {"fast": 1e-5, "medium": 2e-5, "base": 1e-4}

    def seconds(model: weights.SaintModel, pixels: forecast.PixelCounts, *rest: object) -> float:
        return speed[model.name] * pixels.ami

    monkeypatch.setattr(forecast, "measure_network_seconds", seconds)
    monkeypatch.setattr(forecast, "count_pixels", lambda *a: forecast.PixelCounts(10**8, 0))
    volume = body()
    made = forecast.forecast(
        volume, weights.load_model(name), GridRequest(factor=2).make_grid(volume), CPU, MethodOptions()
    )
    assert made is not None
    assert made.other == other
    assert made.other_seconds / made.seconds == pytest.approx(speed[other] / speed[name])
    words = {"fast": "18 min", "medium": "35 min", "base": "2.9 h"}
    assert (
        made.sentence(name)
        == f"about {words[name]} with {name}; {other} would take about {words[other]} (`model={other}`)"
    )


@pytest.mark.parametrize(("name", "other"), [("mr-medium", "fast"), ("mr-fast", "medium")])
def test_the_other_model_of_an_mr_scan_is_that_for_mr_and_its_own_pixels_are_counted(
    name: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, forecast.PixelCounts]] = []

    def seconds(model: weights.SaintModel, pixels: forecast.PixelCounts, *rest: object) -> float:
        seen.append((model.name, pixels))
        return 90.0

    monkeypatch.setattr(forecast, "measure_network_seconds", seconds)
    volume = replace(body(), header=replace(body().header, modality="MR"))
    grid, model, same = GridRequest(factor=2).make_grid(volume), *map(weights.load_model, (name, f"mr-{other}"))
    without_rfn = replace(same, rfn=copy.deepcopy(same.rfn))
    without_rfn.rfn.fewest.fill_(2)  # which is not used at x2 then
    models = {name: model, f"mr-{other}": without_rfn}
    monkeypatch.setattr(forecast, "load_model", models.__getitem__)
    made = forecast.forecast(volume, model, grid, CPU, MethodOptions(), work=1e6)
    assert made is not None
    assert made.other == other
    wanted = {one: forecast.count_pixels(volume, model, grid, CPU, MethodOptions()) for one, model in models.items()}
    assert wanted[name].rfn != wanted[f"mr-{other}"].rfn
    assert set(seen) == set(wanted.items())


def test_a_forecast_leaves_out_another_model_that_takes_as_long_in_words() -> None:
    assert forecast.Forecast(370.0, "fast", 350.0).sentence("medium") == "about 6 min with medium"
    assert "fast would take about 4 min" in forecast.Forecast(370.0, "fast", 240.0).sentence("medium")


def test_the_speed_is_measured_by_running_the_networks(model_config: ModelConfig) -> None:
    model = weights.load_model(model_config.model)
    seconds = forecast.measure_network_seconds(model, forecast.PixelCounts(1000, 1000), CPU, 6, 100)
    assert 0 < seconds < 60
