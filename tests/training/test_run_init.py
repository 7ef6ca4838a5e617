from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training.tiny_runs import AMI, assert_same_tensors, run_stage, start

from saint_cli.errors import UsageError
from saint_cli.models import weights
from saint_cli.training.loop import Schedule
from saint_cli.training.run import MODEL

pytestmark = pytest.mark.usefixtures("tiny_networks")


def test_a_run_with_init_starts_from_those_weights_and_keeps_their_rfn(data: Path, tmp_path: Path) -> None:
    first = start(data, tmp_path)
    still = Schedule(1, learning_rate=0.0, final_rate=0.0, warmup=0)
    run_stage(replace(AMI, init=str(first), schedule=still, seed=9), data, tmp_path / "second")
    assert_same_tensors(first, tmp_path / "second" / MODEL)
    run_stage(replace(AMI, init=str(first), seed=9), data, tmp_path / "third")
    with pytest.raises(AssertionError):
        assert_same_tensors(first, tmp_path / "third" / MODEL)


def test_a_folded_network_starts_from_the_weights_of_a_plain_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(data, tmp_path)
    monkeypatch.setattr("saint_cli.training.settings.AMI_SIZES", {"base": (16, 8, 2, 2, 2)})
    still = Schedule(1, learning_rate=0.0, final_rate=0.0, warmup=0)
    run_stage(replace(AMI, init=str(first), schedule=still), data, tmp_path / "second")
    plain, folded = (weights.load_model(str(path)).ami for path in (first, tmp_path / "second" / MODEL))
    slices, fdm = torch.rand(1, 3, 12, 5), 4 * torch.rand(1, 2, 3, 3)
    with torch.no_grad():
        torch.testing.assert_close(folded(slices, fdm), plain(slices, fdm), rtol=1e-3, atol=1e-4)


def test_folded_weights_are_not_folded_once_more(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saint_cli.training.settings.AMI_SIZES", {"base": (16, 8, 2, 2, 2)})
    first = start(data, tmp_path)
    monkeypatch.setattr("saint_cli.training.settings.AMI_SIZES", {"base": (32, 16, 2, 2, 4)})
    with pytest.raises(UsageError, match="another size"):
        run_stage(replace(AMI, init=str(first)), data, tmp_path / "second")


def test_weights_of_another_size_to_start_from_are_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(data, tmp_path)
    monkeypatch.setattr("saint_cli.training.settings.AMI_SIZES", {"base": (12, 4, 2, 1)})
    with pytest.raises(UsageError, match="another size"):
        run_stage(replace(AMI, init=str(first)), data, tmp_path / "second")


def test_a_teacher_changes_what_is_learnt(data: Path, tmp_path: Path) -> None:
    first = start(data, tmp_path)
    run_stage(replace(AMI, teacher=str(first), seed=3), data, tmp_path / "taught")
    run_stage(replace(AMI, seed=3), data, tmp_path / "alone")
    with pytest.raises(AssertionError):
        assert_same_tensors(tmp_path / "taught" / MODEL, tmp_path / "alone" / MODEL)
