import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nets import tiny
from torch import Tensor, nn

from saint_cli.errors import UsageError
from saint_cli.evaluation import interpolators
from saint_cli.evaluation.metrics import psnr
from saint_cli.geometry import grid_by_factor
from saint_cli.method import intensity
from saint_cli.nets import RFN
from saint_cli.nets.blocks import TrunkSize
from saint_cli.nets.rfn import INPUTS_WITH_CONTEXT, INPUTS_WITHOUT_CONTEXT
from saint_cli.nets.slab_network import make_slab_network
from saint_cli.training.dataset import AmiBatch, AmiSampler
from saint_cli.training.dense_volume import DenseVolume
from saint_cli.training.fusion_blocks import FusionBlock
from saint_cli.training.fusion_sampler import FusionSampler
from saint_cli.training.patch_places import PatchShape, Variation
from saint_cli.training.stages import (
    ABSOLUTE_SHARE,
    make_ami_loss,
    make_rfn_loss,
    relative_error,
    require_scorable,
    validate_ami,
    validate_rfn,
    validate_slabs,
)


def dense(shape: tuple[int, int, int] = (12, 11, 20), *, straight: bool = False) -> DenseVolume:
    voxels = np.random.default_rng(0).uniform(-300, 500, shape)
    if straight:
        voxels = np.broadcast_to(np.rint(voxels[..., :1]) + 30 * np.arange(shape[2]), shape)
    return DenseVolume.from_array("v", np.ascontiguousarray(voxels).astype(np.float32), (0.5, 0.8, 1.0), intensity.CT)


def block(factor: int = 3, size: int = 10) -> FusionBlock:
    """Two windows of noise, where the truth is 0.2 above linear interpolation."""
    random = np.random.default_rng(1)
    sparse = random.uniform(0.5, 1.5, (3, size, size)).astype(np.float32)
    sagittal, coronal = random.normal(0, 0.05, (2, 2, factor - 1, size, size)).astype(np.float16)
    offsets = (np.arange(1, factor) / factor).astype(np.float32)
    return FusionBlock(sagittal, coronal, np.full_like(sagittal, 0.2), sparse, offsets, 5.0, 0.1)


def relative(result: np.ndarray, truth: np.ndarray, difficulty: np.ndarray) -> float:
    error = (result - truth) / difficulty.reshape(-1, *[1] * (truth.ndim - 1))
    return float(np.mean(error**2) + ABSOLUTE_SHARE * np.mean(np.abs(error)))


def test_the_error_is_relative_to_each_patch_of_the_batch() -> None:
    truth, difficulty = torch.zeros(2, 3, 4, 4), torch.tensor([0.1, 0.4])
    off = torch.tensor([0.1, -0.4]).view(2, 1, 1, 1).expand_as(truth)
    assert float(relative_error(off, truth, difficulty)) == pytest.approx(1 + ABSOLUTE_SHARE)
    assert float(relative_error(off, truth, 2 * difficulty)) == pytest.approx(0.25 + 0.5 * ABSOLUTE_SHARE)


def test_ami_loss_of_linear_interpolation_is_its_relative_error() -> None:
    sampler = AmiSampler([dense()], 3, PatchShape(7, 3))
    batch = sampler.draw_batch(4)
    with torch.no_grad():
        found = float(make_ami_loss(sampler)(tiny.linear_model().ami, 4))
    wanted = relative(batch.linear.numpy(), batch.truth.numpy(), batch.difficulty.numpy())
    assert found == pytest.approx(wanted, rel=1e-4)


def test_a_teacher_counts_as_much_as_the_truth() -> None:
    sampler, student = AmiSampler([dense()], 3, PatchShape(7, 3)), tiny.ami()
    with torch.no_grad():
        alone = float(make_ami_loss(sampler)(student, 1))
        assert float(make_ami_loss(sampler, student)(student, 1)) == pytest.approx(alone / 2, rel=1e-5)
        other = float(make_ami_loss(sampler, tiny.linear_model().ami)(student, 1))
    assert other > alone / 2 + 1e-4


class Oracle(nn.Module):
    """Knows what to add between acquired columns w and w + 1; beyond the last column it says nonsense."""

    def __init__(self, batch: AmiBatch) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1))  # a network is where its parameters are
        self.answer = F.pad(batch.truth - batch.linear, (0, 1), value=100.0)

    def forward(self, slices: Tensor, fdm: Tensor) -> Tensor:
        assert self.answer.shape == (len(slices), fdm.shape[1], *slices.shape[2:])
        return self.answer


def test_ami_loss_of_the_right_answer_between_acquired_columns_is_zero() -> None:
    sampler = AmiSampler([dense()], 3, PatchShape(7, 3))
    for step in range(4):
        assert float(make_ami_loss(sampler)(Oracle(sampler.draw_batch(step)), step)) == pytest.approx(0, abs=1e-6)


def test_ami_loss_of_straight_lines_is_that_of_the_residual_alone() -> None:
    loss = make_ami_loss(AmiSampler([dense(straight=True)], 3, PatchShape(7, 3), variation=Variation.NONE))
    with torch.no_grad():
        assert float(loss(tiny.linear_model().ami, 0)) == pytest.approx(0, abs=1e-5)
        assert float(loss(tiny.ami(), 0)) > 1e-2


def test_rfn_loss_of_an_untrained_network_is_that_of_the_mean() -> None:
    sampler = FusionSampler([block()], 4, 6, 0)
    batch = sampler.draw_batch(2)
    with torch.no_grad():
        found = float(make_rfn_loss(sampler)(RFN(tiny.RFN_SIZE), 2))
    mean, truth, difficulty = ((batch.i_sag + batch.i_cor) / 2, batch.truth, batch.difficulty)
    wanted = relative(*(part.numpy() for part in (mean, truth, difficulty)))
    assert found == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    "size",
    [tiny.RFN_SIZE, TrunkSize(INPUTS_WITHOUT_CONTEXT, 8, 4, 2, 1), TrunkSize(INPUTS_WITH_CONTEXT, 4, 2, 2, 1, dims=3)],
    ids=str,
)
def test_a_few_steps_lower_the_fusion_loss_and_raise_its_figure(size: TrunkSize) -> None:
    torch.manual_seed(0)
    model, loss = RFN(size), make_rfn_loss(FusionSampler([block()], 4, 8, 0, stacks=size.dims == 3))
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    before, first = validate_rfn(model, [block()]), float(loss(model, 0).detach())
    for step in range(40):
        optimiser.zero_grad()
        loss(model, step).backward()
        optimiser.step()
    after = validate_rfn(model, [block()])
    assert float(loss(model, 0).detach()) < 0.8 * first
    assert before["over mean dB"] == pytest.approx(0, abs=0.01)
    assert after["over mean dB"] > 1
    assert after["fused dB"] == pytest.approx(before["fused dB"] + after["over mean dB"], abs=0.02)


def test_a_few_steps_lower_the_interpolation_loss() -> None:
    torch.manual_seed(0)
    model, loss = tiny.ami(), make_ami_loss(AmiSampler([dense()], 3, PatchShape(7, 3)))
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    first = float(loss(model, 0).detach())
    for _ in range(12):
        optimiser.zero_grad()
        loss(model, 0).backward()
        optimiser.step()
    assert float(loss(model, 0).detach()) < 0.95 * first


def test_the_figure_of_a_known_fusion_error_in_closed_form() -> None:
    made = block()
    flat = FusionBlock(*(np.zeros_like(made.truth) for _ in range(2)), made.truth, made.sparse, made.offsets, 5.0, 0.1)
    found = validate_rfn(RFN(tiny.RFN_SIZE), [flat, flat])
    assert found["fused dB"] == pytest.approx(20 * math.log10(4.0 / 0.2), abs=0.01)


def test_windows_without_anything_in_them_do_not_count_in_the_figure_of_fusion() -> None:
    made = block()
    residuals, sparse = (np.zeros_like(made.truth) for _ in range(3)), np.zeros_like(made.sparse)
    blank = FusionBlock(*residuals, sparse, made.offsets, 5.0, 0.1)
    model = RFN(tiny.RFN_SIZE)
    assert validate_rfn(model, [blank, made, blank]) == validate_rfn(model, [made])
    assert validate_rfn(model, [blank])["fused dB"] == math.inf


def test_validation_of_a_network_that_adds_nothing_gives_linear_interpolation() -> None:
    volume = dense((40, 11, 21))
    found = validate_ami(tiny.linear_model().ami, [volume])
    xs = (np.linspace(0.2, 0.8, 24) * 40).astype(int)
    truth = volume.to_network(volume.voxels[xs]).numpy()
    grid = grid_by_factor(6, 2, 4)
    between = np.arange(21) % 4 > 0
    line, cubic = (
        f(truth[..., ::4], grid)[..., between]
        for f in (interpolators.interpolate_linear, interpolators.interpolate_cubic)
    )
    scores = [psnr(truth[..., between], result, 4.0) for result in (line, cubic)]
    assert found["v x4 over cubic dB"] == pytest.approx(scores[0] - scores[1], abs=2e-3)
    assert found["x4 over cubic dB"] == found["v x4 over cubic dB"]
    assert {"v x2 over cubic dB", "x2 over cubic dB"} < set(found)


@pytest.mark.parametrize(("slabs", "fewest"), [(False, 5), (True, 21)])
def test_volumes_that_cannot_be_validated_on_are_refused_before_training(slabs: bool, fewest: int) -> None:
    enough = dense((10, 11, fewest))
    require_scorable([enough], slabs=slabs)
    network = make_slab_network(tiny.ami()) if slabs else tiny.ami()
    found = (validate_slabs if slabs else validate_ami)(network, [enough])
    assert all(math.isfinite(value) for value in found.values())
    for shape in ((10, 11, fewest - 1), (9, 11, fewest)):
        with pytest.raises(UsageError, match=f"at least 10x10x{fewest} are needed"):
            require_scorable([dense(shape)], slabs=slabs)


def test_the_mean_gain_is_the_mean_of_gains_whatever_the_volumes_are_called() -> None:
    one, other = dense((30, 11, 21)), dense((32, 12, 21))
    found = validate_ami(tiny.ami(), [replace(one, name="overview"), replace(other, name="takeover")])
    gains = [found["overview x4 over cubic dB"], found["takeover x4 over cubic dB"]]
    assert found["x4 over cubic dB"] == pytest.approx(sum(gains) / 2, abs=2e-3)
