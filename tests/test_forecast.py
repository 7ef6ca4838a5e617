"""The forecast counts the pixels that the networks see, and compares with the other shipped model."""

from dataclasses import replace

import fabricate
import numpy as np
import pytest
import torch

from saint_cli import compute, forecast, pipeline, weights
from saint_cli.choices import Choices
from saint_cli.jobs import Engine, Grid
from saint_cli.volume import Volume

CPU = compute.choose("cpu", "fp32")


def body(shape: tuple[int, int, int] = (70, 60, 6)) -> Volume:
    """Soft tissue of 30 x 26 voxels in air, as CT."""
    voxels = np.full(shape, -1000, np.int16)
    voxels[20:50, 18:44] = 40
    volume = fabricate.volume(shape)
    return replace(volume, voxels=voxels, header=replace(volume.header, modality="CT"))


@pytest.mark.parametrize(
    ("factor", "choices"),
    [
        (4, Choices()),
        (3, Choices(skip_air=False)),
        (2, Choices(directions=4)),
        (2, Choices(tta=True)),
        (2, Choices(regenerate=True)),
    ],
    ids=["plain", "with air", "diagonals", "flips", "regenerate"],
)
def test_as_many_pixels_are_counted_as_the_networks_see(
    factor: int, choices: Choices, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, model = body(), weights.load_model(engine.model)
    seen = {id(model.ami.features): 0, id(model.rfn.features): 0}
    plain = type(model.ami.features).forward

    def counted(self: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        seen[id(self)] += x.numel() // x.shape[1]
        return plain(self, x)

    grid = Grid(factor=factor).on(volume)
    expected = forecast.count_pixels(volume, grid, model, CPU, choices)
    monkeypatch.setattr(type(model.ami.features), "forward", counted)
    pipeline.upsample(volume, model, grid, CPU, choices)
    assert (expected.ami, expected.rfn) == tuple(seen.values())


def test_a_short_job_is_not_announced(engine: Engine) -> None:
    volume = body()
    assert (
        forecast.forecast(volume, Grid(factor=2).on(volume), weights.load_model(engine.model), CPU, Choices()) is None
    )


@pytest.mark.parametrize(("name", "other"), [("fast", "base"), ("base", "fast")])
def test_a_long_job_tells_its_time_and_that_of_the_other_model(
    name: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    speed = {"fast": 1e-5, "base": 1e-4}

    def seconds(model: weights.SaintModel, pixels: forecast.Pixels, *rest: object) -> float:
        return speed[model.name] * pixels.ami

    monkeypatch.setattr(forecast, "network_seconds", seconds)
    monkeypatch.setattr(forecast, "count_pixels", lambda *a: forecast.Pixels(10**8, 0))
    volume = body()
    made = forecast.forecast(volume, Grid(factor=2).on(volume), weights.load_model(name), CPU, Choices())
    assert made is not None
    assert made.other == other
    assert made.other_seconds / made.seconds == pytest.approx(speed[other] / speed[name])
    words = {"fast": "18 min", "base": "2.9 h"}
    assert (
        made.sentence(name)
        == f"about {words[name]} with {name}; {other} would take about {words[other]} (--model {other})"
    )


def test_the_speed_is_measured_by_running_the_networks(engine: Engine) -> None:
    model = weights.load_model(engine.model)
    seconds = forecast.network_seconds(model, forecast.Pixels(1000, 1000), CPU, 6, 100)
    assert 0 < seconds < 60


def test_seconds_are_told_as_exactly_as_they_are_known() -> None:
    told = [forecast.duration(s) for s in (0.2, 61, 100, 3599, 7200)]
    assert told == ["1 s", "61 s", "2 min", "60 min", "2.0 h"]
