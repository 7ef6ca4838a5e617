"""Several processes on one network, as torchrun starts them (gloo on the CPU stands in for GPUs)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from safetensors.torch import load_file

from saint_cli.training.journal import LOG
from saint_cli.training.parallel import join
from saint_cli.training.run import DATA, MODEL

TWO = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from nets import tiny
from saint_cli.training import run
from saint_cli.training.loop import Schedule
run.AMI_SIZES, run.RFN_SIZES = {"base": tiny.AMI_SIZE}, {"base": (8, 4, 2, 1)}
data, out, seen = (Path(a) for a in sys.argv[1:])
settings = run.Settings("ami", "base", Schedule(3, warmup=1, validate_every=3), batch=1, patch=(7, 3))
states = []
made = run._Run._state
run._Run._state = lambda self, *a: states.append(made(self, *a)) or states[-1]
for _ in run.train(settings, run.Places.of(data / "train", data / "val", out), resume=False, say=lambda *a: None):
    pass
import os
torch.save(states[0].model.state_dict(), seen / f"{os.environ['RANK']}.pt")
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for seed, name in enumerate(("train", "val")):
        (tmp_path / name).mkdir()
        voxels = np.random.default_rng(seed).integers(-700, 900, (26, 25, 20)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.5, 0.8, 2.0, 1.0])), tmp_path / name / "v.nii")
    return tmp_path


def launch(processes: int, data: Path, out: Path) -> Path:
    """Train under torchrun; returns the folder with every process's network."""
    script, seen = data / "two.py", data / f"seen{processes}"
    script.write_text(TWO)
    seen.mkdir()
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    words = ["--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(processes), script, data, out, seen]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *map(str, words)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return seen


def test_two_processes_train_one_network_and_one_of_them_writes(data: Path) -> None:
    import torch

    seen = launch(2, data, data / "run")
    one, other = (torch.load(seen / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert json.loads((data / "run" / "ami" / DATA).read_text())["processes"] == 2
    assert len((data / "run" / "ami" / LOG).read_text().splitlines()) == 1
    launch(1, data, data / "alone")
    pair = (load_file(data / name / MODEL) for name in ("run", "alone"))
    assert any(not np.array_equal(a, b) for a, b in zip(*(m.values() for m in pair), strict=True))


def test_a_single_process_joins_nobody() -> None:
    with join("cpu") as ranks:
        assert (ranks.rank, ranks.world, ranks.leads) == (0, 1, True)
