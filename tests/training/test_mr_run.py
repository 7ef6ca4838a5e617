"""Both stages for MR: what a run is varied by, and that it can be resumed."""

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nets import tiny
from training import tiny_runs
from training.folders import SHAPE, write_volume
from training.tiny_runs import assert_same_tensors

from saint_cli.training.fusion_blocks import make_block
from saint_cli.training.loop import CHECKPOINT, Schedule
from saint_cli.training.patch_places import Variation
from saint_cli.training.patch_source import PatchSource
from saint_cli.training.run import MODEL, TrainingPaths, train
from saint_cli.training.settings import TrainingSettings
from saint_cli.training.volumes import load_dense_volumes

AMI = replace(tiny_runs.AMI, batch=3, modality="mr")
RFN = replace(AMI, stage="rfn")

pytestmark = pytest.mark.usefixtures("tiny_networks")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MR and a CT volume to train on, as a list that names the first twice, and an MR volume to validate on."""
    folder = tmp_path_factory.mktemp("volumes")
    write_volume(folder / "ct.nii")
    for seed, name in enumerate(("mr", "val")):
        voxels = np.random.default_rng(seed).gamma(2, 200, SHAPE).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.5, 0.8, 2.0, 1.0])), folder / f"{name}.nii")
    (folder / "train.txt").write_text("mr.nii\nmr.nii\nct.nii\n")
    (folder / "val.txt").write_text("val.nii\n")
    return folder


def run_stage(
    settings: TrainingSettings, data: Path, out: Path, *, resume: bool = False, stop: int | None = None
) -> dict[str, float] | None:
    """The last validation."""
    paths, validation = TrainingPaths(data / "train.txt", data / "val.txt", out, data / "cache"), None
    for result in train(settings, paths, resume=resume, on_progress=lambda *_: None):
        validation = result.validation or validation
        if result.step == stop:
            break
    return validation


def test_a_run_for_mr_that_was_stopped_ends_as_one_that_was_not(data: Path, tmp_path: Path) -> None:
    run_stage(AMI, data, tmp_path / "whole")
    run_stage(AMI, data, tmp_path / "parts", stop=2)
    run_stage(AMI, data, tmp_path / "parts", resume=True)
    assert_same_tensors(tmp_path / "whole" / MODEL, tmp_path / "parts" / MODEL)
    run_stage(replace(AMI, modality="ct"), data, tmp_path / "as_ct")
    with pytest.raises(AssertionError):
        assert_same_tensors(tmp_path / "whole" / MODEL, tmp_path / "as_ct" / MODEL)


def test_rfn_for_mr_is_validated_in_the_range_of_mr(data: Path, tmp_path: Path) -> None:
    run_stage(AMI, data, tmp_path)
    as_mr = run_stage(RFN, data, tmp_path)
    (tmp_path / "rfn" / CHECKPOINT).unlink()
    as_ct = run_stage(replace(RFN, modality="ct", schedule=Schedule(4, warmup=1, learning_rate=1e-9)), data, tmp_path)
    assert as_mr is not None
    assert as_ct is not None
    mean_mr, mean_ct = (found["fused dB"] - found["over mean dB"] for found in (as_mr, as_ct))
    assert mean_ct - mean_mr == pytest.approx(20 * np.log10(4 / 1.5), abs=0.01)


def test_blocks_for_mr_depend_on_the_seed_alone(data: Path) -> None:
    source = PatchSource(load_dense_volumes(data / "train.txt"), 24, 3, factors=(2, 3))
    drawn = [
        [make_block(source, tiny.ami(), tiny.CPU, 24, rng, variation) for _ in range(4)]
        for variation in (Variation.MR, Variation.MR, Variation.CT)
        for rng in [np.random.default_rng(7)]
    ]
    one, again, other = ([block.truth for block in blocks] for blocks in drawn)
    assert all(map(np.array_equal, one, again))
    assert not all(map(np.array_equal, one, other))
    assert all(block.difficulty > 0 and np.isfinite(block.truth).all() for block in drawn[0])
