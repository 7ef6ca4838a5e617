"""AMI and RFN trained together: what a block becomes, what learns from it, and whole runs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from nets import tiny
from safetensors.torch import load_file
from torch import Tensor
from training.folders import write_train_and_val

from saint_cli.errors import UsageError
from saint_cli.geometry import grid_by_factor
from saint_cli.method import intensity
from saint_cli.method.directions import interpolate_directions
from saint_cli.method.network_input import NetworkInput
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.models import weights
from saint_cli.nets import AMI, RFN
from saint_cli.nets.blocks import TrunkSize
from saint_cli.nets.slab_network import make_slab_network
from saint_cli.training import joint
from saint_cli.training.dense_volume import DenseVolume, TrainingData
from saint_cli.training.joint import MARGIN, JointBlock, JointNetworks
from saint_cli.training.loop import Schedule, StepResult
from saint_cli.training.patch_places import Variation
from saint_cli.training.patch_source import PatchSource
from saint_cli.training.run import MODEL, TrainingPaths, train
from saint_cli.training.settings import TrainingSettings

SIDE, ACQUIRED, SPACING_MM = 20, 3, (0.7, 0.9, 1.5)
INNER = SIDE - 2 * MARGIN
WHOLE = slice(None)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joint, "BLOCK", (16, 3))


def networks(fewest: int = 1) -> JointNetworks:
    rfn = tiny.rfn()
    rfn.fewest.fill_(fewest)
    return JointNetworks(tiny.ami(), rfn)


def cut(factor: int, *between: int, lines: bool = False) -> JointBlock:
    """Of noise, or of a straight line through the slices for every voxel; network range."""
    random, slices = np.random.default_rng(1), (ACQUIRED - 1) * factor + 1
    dense = random.uniform(-1, 1, (SIDE, SIDE + 2, slices))
    if lines:
        dense = dense[..., :1] + random.uniform(-0.1, 0.1, (SIDE, SIDE + 2, 1)) * np.arange(slices)
    wanted = np.array(between or range(1, factor))
    return JointBlock.cut(torch.from_numpy(dense).float(), SPACING_MM, factor, wanted)


def fuse_in_use(networks: JointNetworks, block: JointBlock) -> Tensor:
    """(W - 1, T, x, y) what the pipeline's directions and RFN make of a block's acquired slices, without the margin."""
    inner = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    spacing, sparse = block.spacing_mm, block.sparse
    network_input = NetworkInput(sparse, (WHOLE, WHOLE), spacing, intensity.CT)
    plan = SlicePlan.from_grid(grid_by_factor(ACQUIRED, 2, block.factor))
    views = [view.values for view in interpolate_directions(network_input, networks.ami, plan, tiny.CPU)]
    sagittal, coronal = (view.float().unflatten(0, (ACQUIRED - 1, -1))[inner] for view in views)
    acquired, t = sparse.permute(2, 0, 1)[inner], torch.arange(1, block.factor) / block.factor
    fused = []
    for w in range(ACQUIRED - 1):
        line = torch.lerp(acquired[w], acquired[w + 1], t[:, None, None])
        added = networks.rfn.fuse(sagittal[w], coronal[w], acquired[w], acquired[w + 1], t, spacing[2])
        fused.append(line + added)
    return torch.stack(fused)


@torch.no_grad()
def test_fused_slices_are_those_of_the_pipeline() -> None:
    both, block = networks(), cut(4)
    fused, mean = both(block)
    assert fused.shape == (ACQUIRED - 1, 3, INNER, INNER + 2)
    np.testing.assert_allclose(fused, fuse_in_use(both, block), atol=2e-3)  # residuals are kept in half precision
    assert float((fused - mean).abs().max()) > 0.02


@torch.no_grad()
def test_some_of_the_slices_are_the_same_as_among_all() -> None:
    both = networks()
    for fused in (0, 1):
        some, whole = (both(cut(5, *between))[fused] for between in ((2, 4), ()))
        np.testing.assert_allclose(some, whole[:, [1, 3]], atol=1e-5)


@torch.no_grad()
def test_the_truth_of_straight_lines_is_what_an_untrained_network_makes() -> None:
    model = tiny.linear_model()
    block = cut(4, 1, 3, lines=True)
    fused, mean = JointNetworks(model.ami, model.rfn)(block)
    for made in (fused, mean):
        np.testing.assert_allclose(made, block.truth, atol=1e-5)


@pytest.mark.parametrize(("factor", "is_used"), [(2, False), (3, True)])
def test_rfn_learns_only_where_it_is_used_and_ami_everywhere(factor: int, is_used: bool) -> None:
    both = networks(fewest=2)
    fused, mean = both(cut(factor))
    assert torch.equal(fused, mean) != is_used
    fused.square().sum().backward()
    learns = {name: any(p.grad.abs().max() > 0 for p in part.parameters()) for name, part in both.named_children()}
    assert learns == {"ami": True, "rfn": is_used}


def test_blocks_of_a_step_are_always_the_same_and_show_every_factor_and_both_ends_first() -> None:
    random = np.random.default_rng(0)
    values = random.integers(0, 900, (30, 28, 1)) + 10 * np.arange(40)  # rising slice by slice
    volume = DenseVolume.from_array("v", values.astype(np.int16), (0.5, 0.8, 1.0), intensity.CT)
    source = PatchSource([volume], *joint.BLOCK)
    blocks = [joint.draw_block(source, np.random.default_rng(i), Variation.NONE) for i in range(60)]
    again = joint.draw_block(source, np.random.default_rng(7), Variation.NONE)
    assert torch.equal(again.truth, blocks[7].truth)
    assert len({block.factor for block in blocks}) > 4
    rising = [bool((block.sparse[..., 1] > block.sparse[..., 0]).all()) for block in blocks]
    assert 10 < sum(rising) < 50
    for block in blocks:
        assert len(block.offsets) == min(block.factor - 1, joint.MOST_OFFSETS)
        start, t = block.sparse[MARGIN:-MARGIN, MARGIN:-MARGIN, 0], block.offsets
        step = block.sparse[..., 1].mean() - block.sparse[..., 0].mean()
        np.testing.assert_allclose(block.truth[0], start + t[:, None, None] * step, atol=1e-4)


def test_volumes_of_thin_slices_are_also_seen_along_their_in_plane_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, z = 1.0, 1.2, 1.4
    voxels = np.random.default_rng(0).integers(-500, 900, (40, 40, 40)).astype(np.int16)
    volume = DenseVolume.from_array("v", voxels, (x, y, z), intensity.CT)
    drawn, draw_block = [], joint.draw_block
    monkeypatch.setattr(joint, "draw_block", lambda *given: drawn.append(draw_block(*given)) or drawn[-1])
    settings = TrainingSettings("joint", "base", Schedule(1), augment=False, batch=30)
    joint.make_joint_objective(settings, TrainingData([volume], []), rank=0).loss(networks(), 0)
    assert {block.spacing_mm[:2] for block in drawn} == {(x, y), (y, z), (x, z)}


def test_rfn_learns_at_a_rate_of_its_own() -> None:
    both = networks()
    before = {name: p.detach().clone() for name, p in both.named_parameters()}
    optimiser = both.make_optimiser(1e-3)
    for parameter in both.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    moved = {name: float((p.detach() - before[name]).abs().max()) for name, p in both.named_parameters()}
    assert moved["rfn.output.bias"] == pytest.approx(joint.RFN_TIMES * 1e-3, rel=1e-3)
    biases = [moved[name] for name in moved if name.startswith("ami.") and name.endswith("bias")]
    np.testing.assert_allclose(biases, 1e-3, rtol=1e-2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of volumes, and a model to start from."""
    folder = write_train_and_val(tmp_path_factory.mktemp("volumes"))
    weights.save_model(tiny.ami(), tiny.rfn(), folder / "init.safetensors")
    return folder


def run_joint(data: Path, out: Path, *, resume: bool = False, stop: int | None = None) -> list[StepResult]:
    settings = TrainingSettings(
        "joint", "base", Schedule(4, warmup=1, validate_every=2), batch=2, init=str(data / "init.safetensors")
    )
    results = []
    paths = TrainingPaths(data / "train", data / "val", out, data / "cache")
    for result in train(settings, paths, resume=resume, on_progress=lambda *_: None):
        results.append(result)
        if result.step == stop:
            break
    return results


def test_a_run_changes_both_networks_and_goes_on_where_it_was(data: Path, tmp_path: Path) -> None:
    results = run_joint(data, tmp_path / "whole")
    assert [result.step for result in results] == [0, 1, 2, 3, 4]
    assert {"x2 over cubic dB", "x4 over mean dB"} <= results[-1].validation.keys()
    before, after = load_file(data / "init.safetensors"), load_file(tmp_path / "whole" / MODEL)
    assert before.keys() == after.keys()
    for part in ("ami.", "rfn."):
        assert any(not torch.equal(before[name], after[name]) for name in after if name.startswith(part))
    run_joint(data, tmp_path / "parts", stop=2)
    assert [result.step for result in run_joint(data, tmp_path / "parts", resume=True)] == [3, 4]
    parts = load_file(tmp_path / "parts" / MODEL)
    assert all(torch.equal(parts[name], after[name]) for name in after)


@pytest.mark.parametrize(
    ("ami", "rfn", "said"),
    [
        (tiny.ami, lambda: tiny.rfn(size=TrunkSize(6, 8, 4, 2, 1, 3)), "3-D RFN"),
        (lambda: make_slab_network(tiny.ami()), tiny.rfn, "weights for slabs"),
    ],
)
def test_networks_that_cannot_be_trained_together_are_refused(
    ami: Callable[[], AMI], rfn: Callable[[], RFN], said: str, tmp_path: Path
) -> None:
    weights.save_model(ami(), rfn(), tmp_path / "init.safetensors")
    settings = TrainingSettings("joint", "base", Schedule(1), init=str(tmp_path / "init.safetensors"))
    with pytest.raises(UsageError, match=said):
        joint.load_networks(settings)
