"""AMI can be trained from volumes in memory where torch, numpy and safetensors are all that is installed."""

from pathlib import Path

from bare_machine import list_hidden, run_bare

PROGRAM = """
import copy
from pathlib import Path

import numpy as np
import torch

from saint_cli.method import intensity
from saint_cli.models import weights
from saint_cli.nets import AMI, RFN
from saint_cli.nets.blocks import TrunkSize
from saint_cli.training import loop, stages
from saint_cli.training.dataset import AmiSampler
from saint_cli.training.dense_volume import DenseVolume, place_volumes
from saint_cli.training.muon import Muon
from saint_cli.training.patch_places import PatchShape

out = Path(sys.argv[1])
voxels = np.random.default_rng(0).integers(-500, 900, (30, 28, 40)).astype(np.int16)
held = DenseVolume.from_array("v", voxels, (0.5, 0.8, 1.0), intensity.CT)
volumes, note = place_volumes([held], torch.device("cpu"))
model = loop.place_network(AMI(8, 4, 2, 1), torch.device("cpu"), bf16=False)
state = loop.TrainingState(model, copy.deepcopy(model), Muon.for_model(model, 8e-4))
sampler = AmiSampler(volumes, 6, PatchShape(9, 4))
objective = loop.Objective(stages.make_ami_loss(sampler), lambda network: stages.validate_ami(network, [held]))
schedule = loop.Schedule(None, minutes=0.02, validate_every=1000)
steps = list(loop.run_loop(state, objective, schedule, out))
assert "x4 over cubic dB" in steps[-1].validation
weights.save_model(state.average, RFN(TrunkSize(6, 4, 4, 2, 1)), out / "model.safetensors")
assert weights.load_model(str(out / "model.safetensors")).ami.features.size.width == 8
"""


def test_ami_trains_where_only_torch_numpy_and_safetensors_are_installed(tmp_path: Path) -> None:
    done = run_bare(PROGRAM, tmp_path / "run")
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_bare_machine_lacks_what_reads_files_and_draws_pages() -> None:
    hidden = list_hidden()
    assert {"scipy", "pydicom", "SimpleITK", "typer", "rich", "nibabel", "psutil", "dask"} <= hidden
    assert not {"torch", "numpy", "safetensors", "saint_cli"} & hidden
