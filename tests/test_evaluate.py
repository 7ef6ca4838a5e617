import math
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from nets import tiny

from saint_cli import degrade, interpolate, pipeline, weights
from saint_cli.compute import Compute
from saint_cli.errors import GeometryError, UnreadableError
from saint_cli.evaluate import CONTEXT, Cases, central, central_slices, score, score_files
from saint_cli.geometry import grid_by_factor
from saint_cli.metrics import central_crop, psnr_by_protocol
from saint_cli.volume import Volume

CPU = Compute(torch.device("cpu"), torch.float32)


def smooth(shape: tuple[int, int, int] = (14, 12, 11), axis: int = 2) -> Volume:
    """Waves in every direction, HU, which cubic restores better than linear."""
    x, y, z = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    through = (x, y, z)[axis]
    voxels = 300 * np.sin(through / 3) + 40 * np.cos(x / 3) * np.sin(y / 4 + z / 5) + 50
    scan = tiny.volume(shape, axis)
    return replace(scan, voxels=voxels.astype(np.float32))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_interpolators_are_scored_against_the_slices_that_were_there(axis: int) -> None:
    volume = smooth(axis=axis)
    found = score(volume, axis, 3, tiny.linear_model(), CPU)
    count = (volume.shape[axis] - 1) // 3 * 3 + 1
    truth = np.moveaxis(volume.voxels, axis, 2)[..., :count]
    for name, method in (("linear", interpolate.linear), ("cubic", interpolate.cubic)):
        result = method(truth[..., ::3], grid_by_factor((count - 1) // 3 + 1, 2, 3))
        assert getattr(found, name) == pytest.approx(psnr_by_protocol(truth, result, 2, 3), abs=2e-3)
    assert found.cubic > found.linear + 3
    assert (found.factor, found.slices) == (3, count)


def test_a_model_that_adds_nothing_scores_as_linear_interpolation() -> None:
    found = score(smooth(), 2, 3, tiny.linear_model(), CPU)
    for name in ("sagittal", "coronal", "mean", "fused"):
        assert getattr(found, name) == pytest.approx(found.linear, abs=2e-3)


def test_the_fused_score_is_that_of_the_upsampled_volume() -> None:
    volume = smooth()
    sparse = degrade.decimate(volume, 2, 5)
    restored = pipeline.upsample(sparse, tiny.model(), grid_by_factor(3, 2, 5), CPU)
    found = score(volume, 2, 5, tiny.model(), CPU)
    assert found.fused == pytest.approx(psnr_by_protocol(volume.voxels, restored.voxels, 2, 5), abs=2e-3)
    assert len({found.sagittal, found.coronal, found.mean, found.fused, found.linear}) == 5


def test_a_ramp_is_restored_without_error() -> None:
    ramp = np.broadcast_to(np.arange(9, dtype=np.int16) * 6, (7, 6, 9))
    volume = replace(tiny.volume((7, 6, 9)), voxels=np.ascontiguousarray(ramp))
    assert score(volume, 2, 4, tiny.linear_model(), CPU).linear == math.inf


def test_too_few_slices_are_refused() -> None:
    with pytest.raises(GeometryError, match="leave one"):
        score(smooth((6, 5, 4)), 2, 4, tiny.linear_model(), CPU)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("size", [40, 89, 90, 100, 101])
def test_the_central_crop_of_the_cut_is_that_of_the_volume(size: int, axis: int) -> None:
    crop = 24
    shape = np.insert([size, size + 7], axis, 2)
    volume = Volume(np.arange(shape.prod()).reshape(shape), np.eye(4))
    cut = central(volume, axis, crop)
    for j in range(2):
        wanted, found = (central_crop(v.voxels.take(j, axis), crop) for v in (volume, cut))
        np.testing.assert_array_equal(found, wanted)
    assert cut.shape[axis] == 2
    assert all(n <= crop + 2 * CONTEXT + 1 for i, n in enumerate(cut.shape) if i != axis)
    assert central(volume, axis, None) is volume


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two volumes, one with x through-plane."""
    paths = []
    for name, axis in (("axial", 2), ("sagittal", 0)):
        volume = smooth((13, 12, 13), axis)
        path = tmp_path / f"{name}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(np.rint(volume.voxels).astype(np.int16), volume.affine_lps), path)
        paths.append(path)
    return paths


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A weights file of the networks that add nothing."""
    nets = tiny.linear_model()
    weights.save_model(nets.ami, nets.rfn, tmp_path / "m.safetensors")
    return str(tmp_path / "m.safetensors")


def test_every_file_is_scored_at_every_factor_along_its_own_axis(files: list[Path], model: str) -> None:
    heard = set()
    scores = score_files(Cases(files, [2, 4]), model, CPU, lambda *a: heard.add(a[0].rsplit(" ", 1)[0]))
    assert [(s.volume, s.factor) for s in scores] == [
        ("axial.nii.gz", 2),
        ("axial.nii.gz", 4),
        ("sagittal.nii.gz", 2),
        ("sagittal.nii.gz", 4),
    ]
    assert heard == {"axial.nii.gz x2", "axial.nii.gz x4", "sagittal.nii.gz x2", "sagittal.nii.gz x4"}
    assert scores[0].linear > scores[1].linear + 3
    assert scores[2].linear > scores[3].linear + 3


def test_an_axis_may_be_named_and_the_slices_limited(files: list[Path], model: str) -> None:
    (named,) = score_files(Cases(files[:1], [2], axis=1), model, CPU)
    assert named.slices == 11  # of 12 along y
    (few,) = score_files(Cases(files[:1], [2], slices=5), model, CPU)
    assert few.slices == 5


@pytest.mark.parametrize(("count", "kept"), [(None, range(11)), (5, range(3, 8)), (4, range(3, 7)), (50, range(11))])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_central_slices_are_those_in_the_middle(axis: int, count: int | None, kept: range) -> None:
    volume = smooth(tuple(np.insert([4, 3], axis, 11)), axis)
    found = central_slices(volume, axis, count).voxels
    np.testing.assert_array_equal(found, volume.voxels.take(kept, axis))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, model: str) -> None:
    with pytest.raises(UnreadableError, match=r"gone\.nii"):
        score_files(Cases([tmp_path / "gone.nii"], [2]), model, CPU)
