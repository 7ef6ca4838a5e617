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
from training.no_waiting import NoWaiting

from saint_cli.method import intensity
from saint_cli.nets import AMI
from saint_cli.training import loop, stages
from saint_cli.training.dataset import AmiSampler
from saint_cli.training.dense_volume import DenseVolume
from saint_cli.training.journal import LOG
from saint_cli.training.loop import CHECKPOINT, Schedule, TrainingState
from saint_cli.training.muon import Muon
from saint_cli.training.patch_places import PatchShape


def fresh(seed: int = 0) -> TrainingState:
    torch.manual_seed(seed)
    model = AMI(*tiny.AMI_SIZE)
    return TrainingState(model, copy.deepcopy(model), Muon.for_model(model, 1e-3))


def loss() -> Callable[[nn.Module, int], Tensor]:
    voxels = np.random.default_rng(0).integers(-500, 900, (12, 11, 20)).astype(np.int16)
    return stages.make_ami_loss(
        AmiSampler([DenseVolume.from_array("v", voxels, (0.5, 0.8, 1.0), intensity.CT)], 2, PatchShape(7, 3), (1, 0))
    )


def objective(figures: dict[str, float] | None = None) -> loop.Objective:
    return loop.Objective(loss(), lambda m: figures or {})


def schedule(steps: int | None = 6, **changes: Any) -> Schedule:
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


def test_rate_of_a_schedule_in_minutes_falls_with_the_clock() -> None:
    plan = Schedule(None, learning_rate=4e-4, final_rate=0.0, warmup=10, decay=0.4, minutes=10)
    assert plan.learning_rate_at(4, 599.0) == pytest.approx(2e-4)  # warm-up counts steps
    rates = [plan.learning_rate_at(5000, 60.0 * minute) for minute in range(13)]
    np.testing.assert_allclose(rates, [4e-4] * 7 + [3e-4, 2e-4, 1e-4, 0, 0, 0], atol=1e-9)


class Clock:
    """Seconds that pass as the loop asks for them."""

    def __init__(self, each: float, processor: float = 0.0) -> None:
        self.now, self.each = 1000.0, each
        self.used, self.share = 0.0, processor

    def monotonic(self) -> float:
        self.now += self.each
        return self.now

    def process_time(self) -> float:
        self.used += self.share
        return self.used


def test_a_run_of_minutes_ends_in_time_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "time", Clock(6.0))
    plan = schedule(None, minutes=1.0, validate_every=2, warmup=1, decay=0.5)
    heard = train(fresh(), plan, tmp_path / "whole")
    assert heard[-1].seconds >= 60 > heard[-2].seconds
    assert heard[-1].validation is not None
    train(fresh(), plan, tmp_path / "killed", stop=2)
    resumed = fresh()
    resumed.load(tmp_path / "killed")
    rest = train(resumed, plan, tmp_path / "killed")
    assert rest[0].seconds > heard[1].seconds
    assert 60 <= rest[-1].seconds < 90
    assert len(rest) < len(heard)


def rates_used(plan: Schedule, folder: Path, stop: int | None = None) -> list[float]:
    """The rate of every step of a run, which goes on where that of the folder stands."""
    state, rates = fresh(), list[float]()
    if folder.exists():
        state.load(folder)
    for progress in loop.run_loop(state, objective(), plan, folder):
        rates += {group["lr"] for group in state.optimiser.param_groups}
        if progress.step == stop:
            break
    return rates


RISE_AND_FALL = {"learning_rate": 8e-4, "final_rate": 4e-4, "warmup": 2, "decay": 0.5}
RATES = [4e-4, 8e-4, 8e-4, 8e-4, 8e-4, 7e-4, 6e-4, 5e-4]
"""Of eight steps by these: warm-up, plateau, a straight line that ends in the final rate after the last step."""


@pytest.mark.parametrize("stop", [None, 2, 6])
@pytest.mark.parametrize("length", [{"steps": 8}, {"steps": None, "minutes": 0.8}], ids=["steps", "minutes"])
def test_every_step_of_a_run_has_the_rate_of_its_place_in_the_schedule(
    length: dict[str, Any], stop: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "time", Clock(0.0, processor=6.0))  # a step takes 6 s
    plan = schedule(**length, **RISE_AND_FALL, clock="processor")
    rates = rates_used(plan, tmp_path / "run", stop) + rates_used(plan, tmp_path / "run")
    np.testing.assert_allclose(rates, RATES)


def test_minutes_of_processor_time_do_not_pass_while_other_programs_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "time", Clock(6.0, processor=3.0))
    wall, processor = (
        train(fresh(), schedule(None, minutes=1.0, warmup=1, clock=clock), tmp_path / clock)
        for clock in ("wall", "processor")
    )
    assert processor[-1].seconds >= 60
    assert len(processor) > 1.5 * len(wall)


def test_a_step_asks_for_no_number_that_a_gpu_computes(tmp_path: Path) -> None:
    steps = loop.run_loop(fresh(), objective(), schedule(9, validate_every=100), tmp_path)
    next(steps)
    with NoWaiting():
        results = [next(steps) for _ in range(3)]
    assert all(float(result.loss) > 0 for result in results if result.loss is not None)


def test_networks_of_images_are_laid_out_for_bf16_and_those_of_blocks_always() -> None:
    model = loop.place_network(tiny.ami(), torch.device("cpu"), bf16=True)
    assert next(model.parameters()).is_contiguous(memory_format=torch.channels_last)
    model = loop.place_network(tiny.ami(), torch.device("cpu"), bf16=False)
    assert all(p.is_contiguous() for p in model.parameters())
    for bf16 in (True, False):
        volumetric = loop.place_network(nn.Conv3d(2, 2, 3), torch.device("cpu"), bf16=bf16)
        assert next(volumetric.parameters()).is_contiguous(memory_format=torch.channels_last_3d)


def test_rate_without_warm_up_starts_at_its_peak() -> None:
    assert Schedule(10, learning_rate=3e-4, warmup=0).learning_rate_at(0) == pytest.approx(3e-4)


def test_validation_is_logged_when_due_and_at_the_end(tmp_path: Path) -> None:
    heard = train(fresh(), schedule(5), tmp_path)
    assert [p.step for p in heard if p.validation] == [2, 4, 5]
    entries = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [(e["step"], e["figure"]) for e in entries] == [(2, 1.0), (4, 1.0), (5, 1.0)]
    assert entries[0]["loss"] == heard[1].loss
    assert json.loads((tmp_path / "schedule.json").read_text())["steps"] == 5


def test_a_step_says_whether_it_was_saved(tmp_path: Path) -> None:
    assert [r.is_saved for r in train(fresh(), schedule(5), tmp_path / "seldom")] == [False, True, False, True, True]
    always = train(fresh(), schedule(5, save_every=0.0), tmp_path / "always")
    assert [r.is_saved for r in always] == [True] * 5


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    state = fresh()
    train(state, schedule(2), tmp_path)
    before = copy.deepcopy(everything(state))
    assert train(state, schedule(2), tmp_path) == []
    assert all(torch.equal(a, b) for a, b in zip(before, everything(state), strict=True))


def test_the_journal_is_closed_when_a_run_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    monkeypatch.setattr(loop.Journal, "close", lambda journal: closed.append(journal))

    def fail(model: nn.Module) -> dict[str, float]:
        raise ValueError("no figures")

    with pytest.raises(ValueError, match="no figures"):
        list(loop.run_loop(fresh(), loop.Objective(loss(), fail), schedule(2), tmp_path))
    assert len(closed) == 1


def test_a_large_gradient_is_clipped(tmp_path: Path) -> None:
    state = fresh()
    large = loop.Objective(lambda m, s: 1e6 * loss()(m, s), lambda m: {})
    steps = loop.run_loop(state, large, schedule(1, clip=0.5), tmp_path)
    next(iter(steps))
    gradients = [p.grad for p in state.model.parameters() if p.grad is not None]
    assert float(torch.linalg.vector_norm(torch.cat([g.flatten() for g in gradients]))) == pytest.approx(0.5, rel=1e-3)
