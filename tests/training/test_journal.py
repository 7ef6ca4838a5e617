import json
from pathlib import Path

import pytest
import torch

from saint_cli.training.journal import EVENTS, LOG, Journal, write_json


def test_every_step_is_a_tensorboard_event_and_every_validation_also_a_line(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    journal = Journal(tmp_path)
    for step in (1, 2, 3):
        journal.log_step(step, torch.tensor(1 / step), 1e-3)
    journal.log_validation(3, 12.3, 1 / 3, {"x4 over cubic dB": 2.5})
    journal.close()
    events = EventAccumulator(str(tmp_path / EVENTS)).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(s, pytest.approx(1 / s)) for s in (1, 2, 3)]
    assert events.Scalars("validation/x4 over cubic dB")[0].value == 2.5
    (line,) = (tmp_path / LOG).read_text().splitlines()
    assert json.loads(line) == {"step": 3, "seconds": 12, "loss": 1 / 3, "x4 over cubic dB": 2.5}


def test_a_figure_without_a_value_is_null_in_the_log(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.log_validation(1, 1.0, float("nan"), {"fused dB": float("inf"), "over mean dB": 0.5})
    journal.close()
    line = json.loads((tmp_path / LOG).read_text(), parse_constant=lambda word: pytest.fail(word))
    assert line == {"step": 1, "seconds": 1, "loss": None, "fused dB": None, "over mean dB": 0.5}


def test_without_tensorboard_the_log_is_written_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    journal = Journal(tmp_path)
    journal.log_step(1, torch.tensor(0.5), 1e-3)
    journal.log_validation(1, 1.0, 0.5, {})
    journal.close()
    assert (tmp_path / LOG).is_file()
    assert not (tmp_path / EVENTS).exists()


def test_a_file_that_cannot_be_written_to_the_end_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json({"steps": 1}, tmp_path / "settings.json")

    def full(_: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="the disk is full"):
        write_json({"steps": 2}, tmp_path / "settings.json")
    assert [file.name for file in tmp_path.iterdir()] == ["settings.json"]
    assert json.loads((tmp_path / "settings.json").read_text()) == {"steps": 1}
