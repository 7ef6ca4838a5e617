"""AMI and RFN trained together: what a block becomes, what learns from it, and whole runs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nets import tiny
from safetensors.torch import load_file
from torch import Tensor
from training import tiny_runs
from training.folders import write_train_and_val

from saint_cli.errors import UsageError
from saint_cli.geometry import SlabProfile, SliceGrid, grid_by_factor
from saint_cli.method import intensity, slab_ends
from saint_cli.method.directions import interpolate_directions
from saint_cli.method.network_input import NetworkInput
from saint_cli.method.slice_plan import SlicePlan
from saint_cli.models import weights
from saint_cli.nets import AMI, RFN
from saint_cli.nets.blocks import TrunkSize
from saint_cli.nets.slab_network import make_slab_network
from saint_cli.training import joint, slab_patches
from saint_cli.training.dense_volume import DenseVolume, TrainingData
from saint_cli.training.joint import MARGIN, JointBlock, JointNetworks
from saint_cli.training.loop import Schedule, StepResult
from saint_cli.training.patch_places import Variation
from saint_cli.training.patch_source import PatchSource
from saint_cli.training.run import MODEL
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


def cut_slabs(factor: int, *between: int, thickness: float = 1.0) -> JointBlock:
    """Of noise, whose slabs are means of dense slices."""
    random, slices = np.random.default_rng(2), slab_patches.count_dense_slices(ACQUIRED + 1, factor)
    dense = torch.from_numpy(random.uniform(-1, 1, (SIDE, SIDE + 2, slices))).float()
    return JointBlock.cut(dense, SPACING_MM, factor, np.array(between or range(factor)), SlabProfile(thickness))


def fuse_in_use(networks: JointNetworks, block: JointBlock, grid: SliceGrid) -> Tensor:
    """(W - 1, T, x, y) what the pipeline's directions and RFN make of a block's acquired slices, without the margin."""
    inner = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    spacing, sparse, windows = block.spacing_mm, block.sparse, block.sparse.shape[2] - 1
    thickness = None if block.slab is None else block.slab.thickness * spacing[2]
    network_input = NetworkInput(sparse, (WHOLE, WHOLE), spacing, intensity.CT, thickness_mm=thickness)
    plan, ends = SlicePlan.from_grid(grid), slab_ends.count_ends(grid)
    plan = replace(plan, window=plan.window - ends, above=plan.above - ends)  # blocks have no repeated ends
    views = [view.values for view in interpolate_directions(network_input, networks.ami, plan, tiny.CPU)]
    sagittal, coronal = (view.float().unflatten(0, (windows, -1))[inner] for view in views)
    acquired, t = sparse.permute(2, 0, 1)[inner], block.offsets
    fused = []
    for w in range(windows):
        line = torch.lerp(acquired[w], acquired[w + 1], t[:, None, None])
        added = networks.rfn.fuse(sagittal[w], coronal[w], acquired[w], acquired[w + 1], t, spacing[2])
        fused.append(line + added)
    return torch.stack(fused)


@torch.no_grad()
def test_fused_slices_are_those_of_the_pipeline() -> None:
    both, block = networks(), cut(4)
    fused, mean = both(block)
    assert fused.shape == (ACQUIRED - 1, 3, INNER, INNER + 2)
    in_use = fuse_in_use(both, block, grid_by_factor(ACQUIRED, 2, 4))
    np.testing.assert_allclose(fused, in_use, atol=2e-3)  # residuals are kept in half precision
    assert float((fused - mean).abs().max()) > 0.02


@torch.no_grad()
@pytest.mark.parametrize("thickness", [1.0, 1.5])
def test_fused_slices_of_slabs_are_those_of_the_pipeline(thickness: float) -> None:
    rfn, block = tiny.rfn(), cut_slabs(3, thickness=thickness)
    ami = make_slab_network(tiny.ami())
    for parameter in ami.filters.layers[0].parameters():
        parameter.add_(torch.randn_like(parameter))  # so that thickness counts
    both = JointNetworks(ami, rfn)
    windows = ACQUIRED
    grid = SliceGrid(2, windows + 1, 1 / 3, 3 * windows, slab=SlabProfile(thickness))
    fused, mean = both(block)
    assert fused.shape == (windows, 3, INNER, INNER + 2)
    np.testing.assert_allclose(fused, fuse_in_use(both, block, grid), atol=5e-3)
    assert float((fused - mean).abs().max()) > 0.02


def test_slabs_are_means_of_what_surrounds_the_truth_and_of_the_truth_itself() -> None:
    block = cut_slabs(3)
    thin = block.truth.flatten(0, 1)  # from the middle of the first slab to just below that of the last
    for k in range(1, ACQUIRED):
        slab = block.sparse[MARGIN:-MARGIN, MARGIN:-MARGIN, k]
        np.testing.assert_allclose(thin[3 * k - 1 : 3 * k + 2].mean(0), slab, atol=1e-6)
    some = cut_slabs(3, 0, 2)
    assert torch.equal(some.truth, block.truth[:, [0, 2]])
    assert some.offsets.tolist() == pytest.approx([0, 2 / 3])


def test_consistent_slices_have_the_means_of_the_slabs_and_the_truth_is_consistent() -> None:
    block = cut_slabs(3)
    np.testing.assert_allclose(block.make_consistent(block.truth), block.truth, atol=1e-6)
    thin = block.make_consistent(torch.zeros_like(block.truth)).flatten(0, 1)
    for k in range(1, ACQUIRED):
        slab = block.sparse[MARGIN:-MARGIN, MARGIN:-MARGIN, k]
        np.testing.assert_allclose(thin[3 * k - 1 : 3 * k + 2], slab.expand(3, -1, -1), atol=1e-6)


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
    monkeypatch.setattr(
        joint, "draw_block", lambda *given, **more: drawn.append(draw_block(*given, **more)) or drawn[-1]
    )
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


def run_joint(
    data: Path, out: Path, *, resume: bool = False, stop: int | None = None, slabs: bool = False, frozen: int = 0
) -> list[StepResult]:
    settings = replace(tiny_runs.AMI, stage="joint", init=str(data / "init.safetensors"), slabs=slabs, frozen=frozen)
    return tiny_runs.run_stage(settings, data, out, resume=resume, stop=stop)


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
    tiny_runs.assert_same_tensors(tmp_path / "parts" / MODEL, tmp_path / "whole" / MODEL)


def test_frozen_blocks_and_what_is_before_them_stay_as_they_are(data: Path, tmp_path: Path) -> None:
    run_joint(data, tmp_path, frozen=1)
    before, after = load_file(data / "init.safetensors"), load_file(tmp_path / MODEL)
    kept = {name for name in after if torch.equal(before[name], after[name])}
    frozen = ("ami.features.first.", "ami.features.second.", "ami.features.blocks.0.")
    assert {name for name in after if name.startswith(frozen)} <= kept
    for part in ("ami.features.fuse.", "ami.features.last.", "ami.filters.", "rfn.features.blocks."):
        assert not all(name in kept for name in after if name.startswith(part)), part


def test_more_blocks_than_there_are_cannot_be_frozen(data: Path) -> None:
    settings = TrainingSettings("joint", "base", Schedule(1), init=str(data / "init.safetensors"), frozen=3)
    with pytest.raises(UsageError, match=r"--freeze 3: the AMI of .*init\.safetensors has 2 blocks; give at most 2"):
        joint.load_networks(settings)


def test_a_run_on_slabs_may_start_from_networks_for_single_slices(tmp_path: Path) -> None:
    data = write_train_and_val(tmp_path, (26, 25, 40))
    weights.save_model(tiny.ami(), tiny.rfn(), data / "init.safetensors")
    results = run_joint(data, tmp_path / "run", slabs=True)
    assert {"slabs of 3 over cubic dB", "slabs of 5 over mean dB"} <= results[-1].validation.keys()
    before, after = (weights.load_model(str(path)) for path in (data / "init.safetensors", tmp_path / "run" / MODEL))
    assert (before.ami.slabs, after.ami.slabs) == (False, True)
    second_matrix = after.ami.filters.layers[0].weight[:, 1:].detach()
    assert float(second_matrix.abs().max()) > 0
    assert not torch.equal(before.rfn.output.weight, after.rfn.output.weight)


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
