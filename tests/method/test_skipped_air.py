"""Air around the patient is interpolated linearly, which costs no voxel of the patient anything."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nets import tiny
from nets.tiny import CPU, HALF, estimates

from saint_cli import read_volume
from saint_cli.evaluation import interpolators
from saint_cli.geometry import grid_by_factor
from saint_cli.method.network_input import BODY_MARGIN, BOX_STEP, prepare_input
from saint_cli.models.weights import load_model
from saint_cli.options.method import MethodOptions
from saint_cli.volume import Volume

EXAMPLE = Path(__file__).parents[2] / "examples" / "chest_thick.nii.gz"


def test_air_around_the_patient_is_interpolated_linearly_and_costs_nothing() -> None:
    inner, grid = tiny.volume((12, 11, 5)), grid_by_factor(5, 2, 3)
    voxels = np.random.default_rng(2).integers(-1010, -990, (60, 55, 5)).astype(np.int16)
    voxels[20:32, 25:36] = inner.voxels
    volume = replace(inner, voxels=voxels)
    network_input = prepare_input(volume, grid)
    margin, step = BODY_MARGIN, BOX_STEP
    assert network_input.box == (slice(20 - margin, 32 + margin), slice((25 - margin) // step * step, 36 + margin))
    assert network_input.voxels.shape == (12 + 2 * margin, 11 + 2 * margin + (25 - margin) % step, 5)
    assert (25 - margin) % step > 0
    dense = tiny.upsample(volume, tiny.model(), grid, CPU).voxels
    line = np.rint(interpolators.interpolate_linear(voxels, grid))
    outside = np.ones(voxels.shape[:2], bool)
    outside[network_input.box] = False
    assert np.abs(dense - line)[outside].max() <= 1
    assert np.abs(dense - line)[20:32, 25:36].max() > 10


def body_in_air(shape: tuple[int, int, int] = (90, 80, 4)) -> Volume:
    """A noisy ellipse with a small round thing beside it, in noisy air."""
    x, y = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    body = ((x - 35) / 16) ** 2 + ((y - 40) / 9) ** 2 < 1
    body |= (x - 70) ** 2 + (y - 20) ** 2 < 9
    random = np.random.default_rng(4)
    voxels = np.where(body[..., None], random.uniform(-200, 300, shape), random.normal(-1000, 5, shape))
    return replace(tiny.volume(), voxels=voxels.astype(np.int16))


def test_lung_without_a_voxel_above_the_threshold_is_needed_and_the_air_around_the_patient_is_not() -> None:
    x, y = np.meshgrid(np.arange(150), np.arange(140), indexing="ij")
    radius = np.hypot(x - 70, y - 70)
    lung = radius < 40
    voxels = np.where(lung[..., None], -880, -1000) + np.zeros((1, 1, 3))
    voxels[(radius >= 40) & (radius < 45)] = 40
    for axis in (0, 2):
        volume = replace(tiny.volume(axis=axis), voxels=np.moveaxis(voxels, 2, axis).astype(np.int16))
        network_input = prepare_input(volume, grid_by_factor(3, axis, 2))
        needed = np.zeros(lung.shape, bool)
        needed[network_input.box] = network_input.needed.numpy()
        assert needed[radius < 45].all()
        assert not needed[radius > 45 + 2 * BODY_MARGIN].any()


@pytest.mark.parametrize("directions", [2, 4])
@pytest.mark.parametrize("batch", [None, 1, 7])
def test_skipped_air_changes_no_voxel_of_the_patient_and_is_linear(directions: int, batch: int | None) -> None:
    volume, compute = body_in_air(), replace(CPU, batch_size=batch)
    grid = grid_by_factor(4, 2, 3)
    model, options = tiny.model(), MethodOptions(directions=directions)
    skipped, whole = (
        tiny.upsample(volume, model, grid, compute, replace(options, skip_air=skip)).voxels.astype(int)
        for skip in (True, False)
    )
    network_input = prepare_input(volume, grid)
    assert 0.1 < float(network_input.needed.float().mean()) < 0.9
    body = (volume.voxels > -724).any(2)
    np.testing.assert_allclose(skipped[body], whole[body], atol=1)
    line, air = np.rint(interpolators.interpolate_linear(volume.voxels, grid)).astype(int), np.ones(body.shape, bool)
    air[network_input.box] = ~network_input.needed.numpy()
    np.testing.assert_allclose(skipped[air], line[air], atol=1)
    assert np.abs(whole - line)[air].max() > 1


def test_every_stage_is_linear_in_the_air_around_the_patient_and_the_average_where_rfn_is_not_used() -> None:
    volume, grid = body_in_air(), grid_by_factor(4, 2, 2)
    model = tiny.model()
    model = replace(model, rfn=copy.deepcopy(model.rfn))
    model.rfn.fewest.fill_(2)
    network_input, found = prepare_input(volume, grid), estimates(volume, grid, networks=model)
    for stage in (found.sagittal, found.coronal, found.fused):
        assert not stage[:, ~network_input.needed].any()
    assert found.sagittal[:, network_input.needed].any()
    mean = (found.sagittal.float() + found.coronal.float()) / 2
    torch.testing.assert_close(found.fused.float(), mean, rtol=2 * HALF, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "first"), [("base", 20), ("medium", 20), ("medium", 21), ("medium", 23), ("fast", 20)]
)
def test_skipping_air_costs_the_patient_little_wherever_it_lies(model: str, first: int) -> None:
    scan = read_volume(EXAMPLE)
    voxels = scan.voxels[100:150, 60:110, 4:9:4].astype(np.float32)
    air = np.random.default_rng(0).normal(-1000, 10, (90, 90, 2)).astype(np.float32)
    patient = slice(first, first + 50), slice(first, first + 50)
    air[patient] = voxels
    scan, grid, networks = replace(scan, voxels=air), grid_by_factor(2, 2, 3), load_model(model)
    skipped, whole = (
        tiny.upsample(scan, networks, grid, CPU, MethodOptions(skip_air=skip)).voxels for skip in (True, False)
    )
    assert np.abs(skipped - whole)[patient].max() <= 0.8
    assert np.abs(skipped - whole).max() > 0.8
