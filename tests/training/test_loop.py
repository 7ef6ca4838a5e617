import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import tiny
from torch import Tensor, nn

from saint_cli.method import intensity
from saint_cli.nets import AMI
from saint_cli.training import loop, stages
from saint_cli.training.dataset import AmiSampler
from saint_cli.training.journal import LOG
from saint_cli.training.loop import CHECKPOINT, Schedule, TrainingState
from saint_cli.training.muon import Muon
from saint_cli.training.volumes import DenseVolume


def fresh(seed: int = 0) -> TrainingState:
    torch.manual_seed(seed)
    model = AMI(*tiny.AMI_SIZE)
    return TrainingState(model, copy.deepcopy(model), Muon.for_model(model, 1e-3))


def loss() -> Callable[[nn.Module, int], Tensor]:
    voxels = np.random.default_rng(0).integers(-500, 900, (12, 11, 20)).astype(np.int16)
    return stages.make_ami_loss(AmiSampler([DenseVolume("v", voxels, (0.5, 0.8, 1.0), intensity.CT)], 2, (7, 3), 1))


def objective(figures: dict[str, float] | None = None) -> loop.Objective:
    return loop.Objective(loss(), lambda m: figures or {})


def schedule(steps: int = 6, **changes: Any) -> Schedule:
    return Schedule(steps, **{"warmup": 2, "save_every": math.inf, "validate_every": 2, **changes})


def train(state: TrainingState, plan: Schedule, folder: Path, *, stop: int | None = None) -> list[loop.StepResult]:
    """Run, and leave without a word after step ``stop``, as a killed process does."""
    heard = []
    for progress in loop.run_loop(state, objective({"figure": 1.0}), plan, folder):
        heard.append(progress)
        if progress.step == stop:
            break
    return heard


def flat(value: Any) -> list[Tensor]:
    """All tensors and numbers of a nested state, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [t for key in value for t in flat(value[key])]
    if isinstance(value, list | tuple):
        return [t for item in value for t in flat(item)]
    return [torch.tensor(float(value))] if isinstance(value, int | float) else []


def everything(state: TrainingState) -> list[Tensor]:
    return flat([part.state_dict() for part in (state.model, state.average, state.optimiser)])


def assert_equal(one: TrainingState, other: TrainingState) -> None:
    assert one.step == other.step
    pairs = list(zip(everything(one), everything(other), strict=True))
    assert len(pairs) > 60
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize(("stop", "saved"), [(2, 2), (3, 2), (5, 4)])
def test_resume_after_a_kill_equals_an_uninterrupted_run(stop: int, saved: int, bf16: bool, tmp_path: Path) -> None:
    whole, plan = fresh(), schedule(bf16=bf16)
    train(whole, plan, tmp_path / "whole")
    train(fresh(), plan, tmp_path / "killed", stop=stop)
    resumed = fresh(seed=99)  # whatever it starts with, the checkpoint replaces
    resumed.load(tmp_path / "killed")
    assert resumed.step == saved
    heard = train(resumed, plan, tmp_path / "killed")
    assert [p.step for p in heard] == list(range(saved + 1, 7))
    assert_equal(whole, resumed)


def test_a_checkpoint_holds_the_whole_state(tmp_path: Path) -> None:
    state = fresh()
    train(state, schedule(3), tmp_path)
    other = fresh(seed=5)
    other.load(tmp_path)
    assert_equal(state, other)
    assert other.seconds == state.seconds


def test_training_changes_network_and_average_differently(tmp_path: Path) -> None:
    state, start = fresh(), fresh()
    train(state, schedule(4), tmp_path)
    pairs = zip(state.model.parameters(), start.model.parameters(), strict=True)
    assert all(not torch.equal(a, b) for a, b in pairs)
    pairs = zip(state.model.parameters(), state.average.parameters(), strict=True)
    assert all(not torch.equal(a, b) for a, b in pairs)


def test_the_average_follows_the_network_by_its_decay(tmp_path: Path) -> None:
    state = fresh()
    mean = next(fresh().model.parameters()).detach().clone()
    for progress in loop.run_loop(state, objective(), schedule(4, ema=0.2), tmp_path):
        decay = min(0.2, progress.step / (9 + progress.step))
        mean = decay * mean + (1 - decay) * next(state.model.parameters()).detach()
        torch.testing.assert_close(next(state.average.parameters()).detach(), mean)


def test_an_interrupted_checkpoint_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = fresh()
    train(state, schedule(2), tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def half(_: object, path: Path) -> None:
        assert Path(path).name != CHECKPOINT
        Path(path).write_bytes(before[: len(before) // 2])
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="disk full"):
        state.save(tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    fresh().load(tmp_path)


def test_the_first_interrupted_checkpoint_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(_: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="disk full"):
        fresh().save(tmp_path)
    assert not (tmp_path / CHECKPOINT).exists()


def test_rate_warms_up_stays_and_falls_in_a_straight_line_to_the_final_rate() -> None:
    plan = Schedule(1000, learning_rate=4e-4, final_rate=1e-5, warmup=100, decay=0.4)
    rates = [plan.learning_rate_at(step) for step in range(1001)]
    np.testing.assert_allclose(rates[:100], 4e-4 * np.arange(1, 101) / 100)
    np.testing.assert_allclose(rates[100:601], 4e-4)
    np.testing.assert_allclose(rates[600:], np.linspace(4e-4, 1e-5, 401))
    assert plan.learning_rate_at(5000) == pytest.approx(1e-5)


def test_rate_without_warm_up_starts_at_its_peak() -> None:
    assert Schedule(10, learning_rate=3e-4, warmup=0).learning_rate_at(0) == pytest.approx(3e-4)


def test_the_rate_of_the_schedule_is_used(tmp_path: Path) -> None:
    state, plan = fresh(), schedule(4)
    for progress in loop.run_loop(state, objective(), plan, tmp_path):
        assert state.optimiser.param_groups[0]["lr"] == plan.learning_rate_at(progress.step - 1)


def test_validation_is_logged_when_due_and_at_the_end(tmp_path: Path) -> None:
    heard = train(fresh(), schedule(5), tmp_path)
    assert [p.step for p in heard if p.validation] == [2, 4, 5]
    entries = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [(e["step"], e["figure"]) for e in entries] == [(2, 1.0), (4, 1.0), (5, 1.0)]
    assert entries[0]["loss"] == heard[1].loss
    assert json.loads((tmp_path / "schedule.json").read_text())["steps"] == 5


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    state = fresh()
    train(state, schedule(2), tmp_path)
    before = copy.deepcopy(everything(state))
    assert train(state, schedule(2), tmp_path) == []
    assert all(torch.equal(a, b) for a, b in zip(before, everything(state), strict=True))


def test_a_large_gradient_is_clipped(tmp_path: Path) -> None:
    state = fresh()
    large = loop.Objective(lambda m, s: 1e6 * loss()(m, s), lambda m: {})
    steps = loop.run_loop(state, large, schedule(1, clip=0.5), tmp_path)
    next(iter(steps))
    gradients = [p.grad for p in state.model.parameters() if p.grad is not None]
    assert float(torch.linalg.vector_norm(torch.cat([g.flatten() for g in gradients]))) == pytest.approx(0.5, rel=1e-3)
