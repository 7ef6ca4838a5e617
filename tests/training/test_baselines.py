"""Training of the paper's baselines, and of AMI and RFN as published."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nets import tiny, tiny_baselines
from nets.tiny_baselines import NAMES
from safetensors.torch import load_file
from training.tiny_runs import AMI, assert_same_tensors, run_stage

from saint_cli.errors import UsageError
from saint_cli.geometry import grid_by_factor
from saint_cli.method import intensity
from saint_cli.method.baseline_networks import restore_by_baseline
from saint_cli.method.pipeline import ResultStage, restore
from saint_cli.models.baseline_weights import load_any_model
from saint_cli.models.weights import load_model
from saint_cli.nets.baselines import ARCHITECTURES, PublishedAMI
from saint_cli.training.block_sampler import BlockSampler
from saint_cli.training.dense_volume import DenseVolume
from saint_cli.training.objectives import validate_baseline
from saint_cli.training.patch_places import PatchShape
from saint_cli.training.run import MODEL
from saint_cli.training.settings import PUBLISHED, TrainingSettings

SETTINGS = replace(AMI, cube=(6, 3), optimiser="adam", augment=False, context=False, factors=(4, 6))


@pytest.fixture(autouse=True)
def _tiny_networks(tiny_networks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, build in tiny_baselines.BUILDERS.items():
        small = replace(ARCHITECTURES[name], build=lambda share, factors, build=build: build().train())
        monkeypatch.setitem(ARCHITECTURES, name, small)


def settings_of(name: str) -> TrainingSettings:
    factors = ARCHITECTURES[name].default_factors
    return replace(SETTINGS, stage=name, arch=name, factors=factors)


@pytest.mark.parametrize("name", NAMES)
def test_a_baseline_trains_and_its_run_restores_volumes(name: str, data: Path, tmp_path: Path) -> None:
    results = run_stage(settings_of(name), data, tmp_path)
    model = load_any_model(str(tmp_path))
    validation = results[-1].validation
    assert validation is not None
    assert set(validation) == {
        key for r in settings_of(name).factors for key in (f"v.nii.gz x{r} over cubic dB", f"x{r} over cubic dB")
    }
    assert model.architecture.name == name
    dense = restore_by_baseline(tiny.volume((9, 8, 4)), model, grid_by_factor(4, 2, 2), tiny.CPU)
    assert dense.shape == (9, 8, 7)


@pytest.mark.parametrize("name", ["rdn", "mdcsrn"])
def test_a_resumed_run_ends_in_the_same_model(name: str, data: Path, tmp_path: Path) -> None:
    run_stage(settings_of(name), data, tmp_path / "whole")
    run_stage(settings_of(name), data, tmp_path / "cut", stop=2)
    run_stage(settings_of(name), data, tmp_path / "cut", resume=True)
    assert_same_tensors(tmp_path / "whole" / MODEL, tmp_path / "cut" / MODEL)


def test_statistics_of_batch_normalisation_reach_the_saved_model(data: Path, tmp_path: Path) -> None:
    run_stage(settings_of("mdcsrn"), data, tmp_path)
    saved = load_file(tmp_path / MODEL)
    means = [tensor for name, tensor in saved.items() if name.endswith("running_mean")]
    assert means
    assert all(tensor.any() for tensor in means)


def test_another_architecture_is_not_resumed(data: Path, tmp_path: Path) -> None:
    run_stage(settings_of("rdn"), data, tmp_path, stop=2)
    with pytest.raises(UsageError, match="begun with --factors 4, not with --factors 6;"):
        run_stage(replace(settings_of("rdn"), factors=(6,)), data, tmp_path, resume=True)


@pytest.mark.parametrize("dims", [2, 3])
def test_published_networks_train_and_restore(dims: int, data: Path, tmp_path: Path) -> None:
    ami = replace(SETTINGS, arch=PUBLISHED)
    run_stage(ami, data, tmp_path)
    run_stage(replace(ami, stage="rfn", dims=dims), data, tmp_path)
    model = load_model(str(tmp_path))
    assert isinstance(model.ami, PublishedAMI)
    assert not model.rfn.has_context
    scan = tiny.volume((20, 18, 4))
    restored = restore(scan, model, grid_by_factor(4, 2, 4), tiny.CPU)
    assert np.array_equal(restored.stage(ResultStage.FUSED)[..., ::4], scan.voxels)


def make_volume() -> DenseVolume:
    """A volume whose value tells the voxel: 4 HU along x, 20 along y, 100 along z, 1 x 2 x 3 mm."""
    x, y, z = np.indices((12, 11, 14))
    return DenseVolume.from_array("v", (4 * x + 20 * y + 100 * z).astype(np.int16), (1.0, 2.0, 3.0), intensity.CT)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_truth_lies_between_the_slices_of_its_batch(dims: int) -> None:
    sampler = BlockSampler([make_volume()], 4, PatchShape(5, 3), dims, (2, 4))
    factors = set()
    for step in range(12):
        batch = sampler.draw_batch(step)
        factors.add(batch.factor)
        acquired = batch.sparse[:, 0] if dims == 3 else batch.sparse[:, 1]
        t = torch.arange(1, batch.factor).view(-1, *[1] * (acquired.ndim - 1)) / batch.factor
        line = torch.lerp(acquired[:, None, ..., :-1], acquired[:, None, ..., 1:], t)
        torch.testing.assert_close(batch.truth, line)  # all values of the volume are linear in z
        assert batch.through_plane_mm.tolist() == [3.0 * batch.factor] * 4
        assert set(batch.in_plane_mm.tolist()) <= {1.0, 2.0}
    assert factors == {2, 4}


def test_slices_lie_between_their_neighbours_and_in_plane_spacing_is_that_along_them() -> None:
    sampler, seen = BlockSampler([make_volume()], 8, PatchShape(5, 3), 2, (4,)), set()
    for step in range(4):
        batch = sampler.draw_batch(step)
        across, along = (batch.sparse.diff(dim=axis).abs().mean((1, 2, 3)) * 1000 for axis in (1, 2))
        for steps in zip(across.round().tolist(), along.round().tolist(), batch.in_plane_mm.tolist(), strict=True):
            seen.add(steps)
    assert seen == {(4.0, 20.0, 2.0), (20.0, 4.0, 1.0)}


def test_a_batch_depends_on_step_seed_and_rank_alone() -> None:
    def draw(step: int, seed: tuple[int, int]) -> torch.Tensor:
        return BlockSampler([make_volume()], 3, PatchShape(5, 3), 2, (2, 4), seed).draw_batch(step).sparse

    assert torch.equal(draw(3, (1, 0)), draw(3, (1, 0)))
    assert not any(torch.equal(draw(3, (1, 0)), other) for other in (draw(4, (1, 0)), draw(3, (2, 0)), draw(3, (1, 1))))


def test_volumes_too_short_for_a_factor_are_not_validated_at_it() -> None:
    assert validate_baseline(tiny_baselines.build("mdsr"), [make_volume()], (4, 16)).keys() == {
        "v x4 over cubic dB",
        "x4 over cubic dB",
    }
