"""Runs of tiny networks on tiny volumes."""

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from saint_cli.training.loop import Schedule, StepResult
from saint_cli.training.run import MODEL, TrainingPaths, train
from saint_cli.training.settings import TrainingSettings

AMI = TrainingSettings(
    "ami",
    "base",
    Schedule(4, warmup=1, validate_every=2),
    batch=2,
    patch=(7, 3),
    slices=6,
    rfn_patch=8,
    blocks=3,
    block=(24, 3),
)
RFN = replace(AMI, stage="rfn")


def paths(data: Path, out: Path) -> TrainingPaths:
    return TrainingPaths(data / "train", data / "val", out, data / "cache")


def run_stage(
    settings: TrainingSettings, data: Path, out: Path, *, resume: bool = False, stop: int | None = None
) -> list[StepResult]:
    results = []
    for result in train(settings, paths(data, out), resume=resume, on_progress=lambda *_: None):
        results.append(result)
        if result.step == stop:
            break
    return results


def assert_same_tensors(one: Path, other: Path) -> None:
    a, b = load_file(one), load_file(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)


def start(data: Path, tmp_path: Path) -> Path:
    """Weights of an earlier run, under a name of their own."""
    run_stage(AMI, data, tmp_path / "first")
    kept = tmp_path / "first.safetensors"
    kept.write_bytes((tmp_path / "first" / MODEL).read_bytes())
    return kept
