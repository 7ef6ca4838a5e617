"""Several processes on one network, as torchrun starts them (gloo on the CPU stands in for GPUs)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from nets import tiny
from safetensors.torch import load_file
from training.folders import write_train_and_val

from saint_cli.training import run, settings
from saint_cli.training.journal import LOG
from saint_cli.training.loop import Schedule
from saint_cli.training.parallel import join_processes
from saint_cli.training.settings import TrainingSettings

PROGRAM = """
import os, sys
from dataclasses import replace
from pathlib import Path
import torch
from training.test_parallel import SETTINGS, run, shrink
shrink()
data, out, networks = (Path(a) for a in sys.argv[1:])
states = []
make_state = run._Run.make_state
run._Run.make_state = lambda self, model: states.append(make_state(self, model)) or states[-1]
paths = run.TrainingPaths(data / "train", data / "val", out)
schedule = replace(SETTINGS.schedule, **eval(os.environ.get("SCHEDULE", "{}")))
for _ in run.train(replace(SETTINGS, schedule=schedule), paths, resume=False, on_progress=lambda *a: None):
    pass
state = states[0]
result = {"model": state.model.state_dict(), "step": state.step, "seconds": state.seconds}
torch.save(result, networks / f"{os.environ['RANK']}.pt")
"""

SETTINGS = TrainingSettings("ami", "base", Schedule(3, warmup=1, validate_every=3), batch=1, patch=(7, 3))


def shrink() -> None:
    settings.AMI_SIZES, settings.RFN_SIZES = {"base": tiny.AMI_SIZE}, {"base": (8, 4, 2, 1)}


def launch(processes: int, data: Path, out: Path) -> Path:
    """Train under torchrun; returns the folder with every process's network."""
    script, networks = data / "program.py", data / "networks"
    script.write_text(PROGRAM)
    networks.mkdir()
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    words = ["--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(processes), script, data, out]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *map(str, words), str(networks)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return networks


def test_two_processes_train_one_network_and_one_of_them_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_train_and_val(tmp_path)
    networks = launch(2, data, data / "run")
    one, other = (torch.load(networks / f"{rank}.pt", weights_only=True)["model"] for rank in (0, 1))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert json.loads((data / "run" / "ami" / run.DATA).read_text())["processes"] == 2
    assert len((data / "run" / "ami" / LOG).read_text().splitlines()) == 1
    for name in ("AMI_SIZES", "RFN_SIZES"):  # put back afterwards
        monkeypatch.setattr(settings, name, getattr(settings, name))
    shrink()
    paths = run.TrainingPaths(data / "train", data / "val", data / "alone")
    list(run.train(SETTINGS, paths, resume=False, on_progress=lambda *a: None))
    pair = (load_file(data / name / run.MODEL) for name in ("run", "alone"))
    assert any(not np.array_equal(a, b) for a, b in zip(*(m.values() for m in pair), strict=True))


def test_two_processes_end_at_one_step_when_their_minutes_are_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHEDULE", repr({"steps": None, "minutes": 0.01, "validate_every": 1000}))
    data = write_train_and_val(tmp_path)
    networks = launch(2, data, data / "run")
    one, other = (torch.load(networks / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert one["seconds"] >= 0.6
    assert (one["step"], one["seconds"]) == (other["step"], other["seconds"])
    assert all(torch.equal(one["model"][key], other["model"][key]) for key in one["model"])


def test_a_single_process_joins_nobody() -> None:
    with join_processes("cpu") as process_group:
        assert (process_group.rank, process_group.world_size, process_group.is_leader) == (0, 1, True)
