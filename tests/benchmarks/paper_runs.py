"""A folder of runs as ``benchmarks/paper_tables.py`` leaves it, of untrained tiny networks, and volumes to score."""

from importlib import import_module
from pathlib import Path

import nibabel
import numpy as np
import torch
from nets import tiny

from saint_cli.models.baseline_weights import save_baseline
from saint_cli.models.weights import save_model
from saint_cli.nets.baselines import ARCHITECTURES

WIDTH = 0.05
SHAPE = (40, 36, 13)
"""Dense voxels: three acquired slices at factor 6, seven at 2."""


def write_scan(path: Path, seed: int = 0) -> None:
    """Bone in soft tissue in air, three cylinders with noise, 0.8 x 0.8 x 2 mm."""
    random = np.random.default_rng(seed)
    x, y, _ = np.meshgrid(*(np.arange(n) - n / 2 for n in SHAPE), indexing="ij")
    distance = np.hypot(x, y)
    values = np.where(distance < 8, 700, np.where(distance < 17, 40, -1000))
    voxels = (values + random.normal(0, 25, SHAPE)).astype(np.int16)
    path.parent.mkdir(exist_ok=True, parents=True)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.8, 0.8, 2.0, 1.0])), path)


def write_network(runs: Path, regime: str, name: str, seed: int = 0) -> None:
    """The weights and the record of a network, as if it had been trained."""
    records = import_module("paper_records")
    folder = runs / regime / name
    folder.mkdir(parents=True, exist_ok=True)
    arch, _, factor = name.rpartition("-x")
    architecture = ARCHITECTURES.get(arch or name)
    torch.manual_seed(seed)
    if architecture is None:
        save_model(tiny.ami(seed), tiny.rfn(seed), folder / records.MODEL)
    else:
        factors = (int(factor),) if arch else architecture.default_factors
        save_baseline(architecture.build(WIDTH, factors), architecture, folder / records.MODEL)
    stages = len(import_module("paper_systems").NETWORKS[name].stages)
    words = [["--arch", name, "--width", str(WIDTH)]] * stages
    sha256 = records.hash_file(folder / records.MODEL)
    record = records.TrainingRecord(name, words, [60.0] * stages, [100] * stages, ["0" * 64], sha256)
    records.write_record(record, folder)
