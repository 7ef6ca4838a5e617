"""What a CUDA GPU computes is what a CPU does. Needs torch, numpy, safetensors and pytest alone (``--noconftest``)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from nets import tiny

from saint_cli.geometry import grid_by_factor
from saint_cli.method import intensity, pipeline
from saint_cli.models import weights
from saint_cli.options.method import MethodOptions
from saint_cli.progress import silent
from saint_cli.runtime.device_selection import Compute
from saint_cli.training import settings as training_settings
from saint_cli.training.dataset import AmiSampler
from saint_cli.training.dense_volume import DenseVolume, TrainingData
from saint_cli.training.fusion_blocks import FusionBlock
from saint_cli.training.fusion_sampler import FusionSampler
from saint_cli.training.loop import Schedule
from saint_cli.training.patch_places import PatchShape, Variation
from saint_cli.training.run import MODEL, train_on
from saint_cli.training.settings import TrainingSettings
from saint_cli.volume import Header, Volume

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

GPU = torch.device("cuda")
SHAPE = (40, 36, 64)


def voxels(seed: int) -> np.ndarray:
    """Noise about soft tissue, HU."""
    return np.random.default_rng(seed).integers(-100, 160, SHAPE).astype(np.int16)


def dense(seed: int) -> DenseVolume:
    return DenseVolume.from_array(f"v{seed}", voxels(seed), (0.7, 0.8, 1.0), intensity.CT)


def make_sampler(device: str, variation: Variation) -> AmiSampler:
    return AmiSampler([dense(0).to(torch.device(device))], 12, PatchShape(12, 4), variation=variation)


def test_a_scan_is_restored_as_on_a_cpu() -> None:
    scan = Volume(voxels(0)[..., :9], np.diag([0.7, 0.8, 4.0, 1.0]), Header(modality="CT"))
    grid, options = grid_by_factor(9, 2, 4), MethodOptions(skip_air=False)
    on_cpu, on_gpu = (
        pipeline.restore(scan, tiny.model(), grid, Compute(device, torch.float32), options).result().voxels
        for device in (torch.device("cpu"), GPU)
    )
    assert np.abs(on_cpu.astype(int) - on_gpu).max() <= 1
    np.testing.assert_array_equal(on_gpu[..., ::4], scan.voxels)


def test_patches_are_those_of_a_cpu() -> None:
    on_cpu, on_gpu = (make_sampler(device, Variation.NONE) for device in ("cpu", "cuda"))
    for step in range(5):
        for one, other in zip(on_cpu.draw_batch(step), on_gpu.draw_batch(step), strict=True):
            assert other.device.type == "cuda"
            torch.testing.assert_close(one, other.cpu(), rtol=1e-4, atol=1e-5)


def test_drawing_does_not_wait_for_the_gpu() -> None:
    sampler, steps = make_sampler("cuda", Variation.MR), range(20)
    for step in steps:  # the difficulty of every volume and distance is measured once
        sampler.draw_batch(step)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in steps:
            sampler.draw_batch(step)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_patches_of_fusion_are_those_of_a_cpu() -> None:
    rng, plane = np.random.default_rng(0), (12, 12)
    parts = [rng.normal(0, 0.1, (2, 3, *plane)).astype(np.float16) for _ in range(3)]
    offsets = np.array([0.25, 0.5, 0.75], np.float32)
    block = FusionBlock(*parts, rng.random((3, *plane), np.float32), offsets, 4.0, 0.1)
    on_cpu, on_gpu = (FusionSampler([block], 12, 8, 0, device=device) for device in ("cpu", "cuda"))
    for step in range(5):
        for one, other in zip(on_cpu.draw_batch(step), on_gpu.draw_batch(step), strict=True):
            torch.testing.assert_close(one, other.cpu(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bf16", [False, True])
def test_both_stages_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bf16: bool) -> None:
    monkeypatch.setitem(training_settings.AMI_SIZES, "fast", tiny.AMI_SIZE)
    monkeypatch.setitem(training_settings.RFN_SIZES, "fast", (8, 4, 2, 1))
    data = TrainingData([dense(0), dense(1)], [dense(2)])
    for stage in ("ami", "rfn"):
        settings = TrainingSettings(
            stage,
            "fast",
            Schedule(4, validate_every=2, bf16=bf16),
            patch=(12, 4),
            rfn_patch=12,
            blocks=6,
            block=(32, 3),
            device="cuda",
        )
        results = list(train_on(settings, data, tmp_path, resume=False, on_progress=silent))
        assert [r.step for r in results] == [1, 2, 3, 4]
        assert all(bool(r.loss.isfinite()) for r in results)
        assert results[-1].validation is not None
    weights.load_model(str(tmp_path / MODEL))  # refuses what is not finite
