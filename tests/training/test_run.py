import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nets import tiny
from safetensors.torch import load_file
from training.tiny_runs import AMI, RFN, assert_same_tensors, paths, run_stage

from saint_cli.errors import UsageError
from saint_cli.geometry import grid_by_factor
from saint_cli.models import weights
from saint_cli.training import fusion_blocks
from saint_cli.training.loop import CHECKPOINT, Schedule
from saint_cli.training.run import DATA, MODEL, train
from saint_cli.training.settings import SETTINGS

pytestmark = pytest.mark.usefixtures("tiny_networks")


def test_an_rfn_that_is_used_from_two_slices_on_learns_from_no_less(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, make_block = [], fusion_blocks.make_block
    monkeypatch.setattr(fusion_blocks, "make_block", lambda *a, **k: made.append(make_block(*a, **k)) or made[-1])
    run_stage(AMI, data, tmp_path)
    run_stage(replace(RFN, fewest=2, blocks=8), data, tmp_path)
    assert len(made) == 9
    assert min(len(block.offsets) for block in made) >= 2
    assert int(load_file(tmp_path / MODEL)["rfn.fewest"]) == 2
    (tmp_path / "rfn" / CHECKPOINT).unlink()
    with pytest.raises(UsageError, match="no factor to learn"):
        run_stage(replace(RFN, fewest=16), data, tmp_path)


def test_both_stages_end_in_a_model_that_upsamples(data: Path, tmp_path: Path) -> None:
    results = run_stage(AMI, data, tmp_path)
    assert [p.step for p in results] == [1, 2, 3, 4]
    assert "x4 over cubic dB" in results[-1].validation
    first = (tmp_path / MODEL).read_bytes()
    blocks = []
    steps = train(RFN, paths(data, tmp_path), resume=False, on_progress=lambda *a: blocks.append(a))
    assert "fused dB" in list(steps)[-1].validation
    assert [b for b in blocks if b[0] == "blocks"] == [("blocks", 1, 3), ("blocks", 2, 3), ("blocks", 3, 3)]
    copied = tmp_path / "copied.safetensors"  # a name of its own, for models are kept by path
    copied.write_bytes((tmp_path / MODEL).read_bytes())
    assert copied.read_bytes() != first
    model = weights.load_model(str(copied))
    assert model.ami.features.size.width == 8
    assert float(model.rfn.output.weight.detach().abs().max()) > 0
    volume, grid = tiny.volume(), grid_by_factor(5, 2, 3)
    dense = tiny.upsample(volume, model, grid, tiny.CPU)
    np.testing.assert_array_equal(dense.voxels[..., ::3], volume.voxels)
    for stage, settings in (("ami", AMI), ("rfn", RFN)):
        assert (tmp_path / stage / CHECKPOINT).is_file()
        kept = json.loads((tmp_path / stage / SETTINGS).read_text())
        assert kept["patch"] == list(settings.patch)
        assert kept["schedule"]["steps"] == 4


def test_the_fusion_stage_leaves_the_ami_as_it_was(data: Path, tmp_path: Path) -> None:
    run_stage(AMI, data, tmp_path)
    (tmp_path / "before.safetensors").write_bytes((tmp_path / MODEL).read_bytes())
    run_stage(RFN, data, tmp_path)
    (tmp_path / "after.safetensors").write_bytes((tmp_path / MODEL).read_bytes())
    before, after = (weights.load_model(str(tmp_path / f"{n}.safetensors")) for n in ("before", "after"))
    pairs = zip(before.ami.parameters(), after.ami.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("stage", ["ami", "rfn"])
def test_a_resumed_run_ends_in_the_same_model(stage: str, data: Path, tmp_path: Path) -> None:
    results = []
    for name, stop in (("whole", None), ("killed", 3)):
        out = tmp_path / name
        if stage == "rfn":
            run_stage(AMI, data, out)
        settings = replace(AMI, stage=stage)
        run_stage(settings, data, out, stop=stop)
        if stop:
            assert [p.step for p in run_stage(settings, data, out, resume=True)] == [3, 4]
        results.append(out / MODEL)
    assert_same_tensors(*results)


@pytest.mark.parametrize(("context", "dims"), [(False, 2), (True, 3)])
def test_other_forms_of_rfn_can_be_trained(context: bool, dims: int, data: Path, tmp_path: Path) -> None:
    form = {"context": context, "dims": dims, "schedule": Schedule(2, warmup=1, validate_every=2)}
    run_stage(replace(AMI, **form), data, tmp_path)
    run_stage(replace(RFN, **form), data, tmp_path)
    (tmp_path / "end.safetensors").write_bytes((tmp_path / MODEL).read_bytes())
    rfn = weights.load_model(str(tmp_path / "end.safetensors")).rfn
    assert (rfn.has_context, rfn.features.size.dims) == (context, dims)


def test_two_runs_of_one_seed_are_equal_and_of_two_seeds_are_not(data: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(ord(name))  # what the caller did with torch's own numbers does not matter
        run_stage(replace(AMI, seed=seed), data, tmp_path / name)
    assert_same_tensors(tmp_path / "a" / MODEL, tmp_path / "b" / MODEL)
    with pytest.raises(AssertionError):
        assert_same_tensors(tmp_path / "a" / MODEL, tmp_path / "c" / MODEL)


def test_the_run_folder_says_what_it_is_made_of(data: Path, tmp_path: Path) -> None:
    run_stage(AMI, data, tmp_path)
    about = json.loads((tmp_path / "ami" / DATA).read_text())
    assert about["train"] == [
        {"path": str(data / "train" / "v.nii.gz"), "shape": [26, 25, 20], "spacing_mm": pytest.approx([0.5, 0.8, 2.0])}
    ]
    assert about["versions"]["torch"] == torch.__version__
    assert about["processes"] == 1


def test_adam_can_be_chosen_and_learns_something_else_than_muon(data: Path, tmp_path: Path) -> None:
    for name in ("adam", "muon"):
        run_stage(replace(AMI, optimiser=name), data, tmp_path / name)
    with pytest.raises(AssertionError):
        assert_same_tensors(tmp_path / "adam" / MODEL, tmp_path / "muon" / MODEL)
