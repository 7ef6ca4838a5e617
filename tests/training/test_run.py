import errno
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import tiny
from safetensors.torch import load_file
from training.folders import write_train_and_val, write_volume

from saint_cli.errors import UsageError, WeightsError
from saint_cli.geometry import grid_by_factor
from saint_cli.models import weights
from saint_cli.runtime.device_selection import Compute
from saint_cli.training import fusion_blocks
from saint_cli.training.journal import write_json
from saint_cli.training.loop import CHECKPOINT, Schedule, StepResult
from saint_cli.training.run import DATA, MODEL, TrainingPaths, train
from saint_cli.training.settings import SETTINGS, TrainingSettings, require_same_settings

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


@pytest.fixture(autouse=True)
def _tiny_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saint_cli.training.settings.AMI_SIZES", {"base": tiny.AMI_SIZE})
    monkeypatch.setattr("saint_cli.training.settings.RFN_SIZES", {"base": (8, 4, 2, 1)})
    monkeypatch.setattr(fusion_blocks, "VALIDATION_BLOCKS", 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_train_and_val(tmp_path_factory.mktemp("volumes"))


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


def test_a_run_goes_on_that_was_begun_before_fewest_could_be_chosen(data: Path, tmp_path: Path) -> None:
    run_stage(AMI, data, tmp_path, stop=2)
    file = tmp_path / "ami" / SETTINGS
    file.write_text(json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k != "fewest"}))
    assert [p.step for p in run_stage(AMI, data, tmp_path, resume=True)] == [3, 4]


def test_what_a_run_is_made_of_stays_whole_where_the_disk_is_full_when_it_is_resumed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run_stage(AMI, data, tmp_path, stop=2)
    before = {file.name: file.read_bytes() for file in (tmp_path / "ami").iterdir() if file.is_file()}
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        run_stage(replace(AMI, schedule=replace(AMI.schedule, steps=6)), data, tmp_path, resume=True)
    assert {file.name: file.read_bytes() for file in (tmp_path / "ami").iterdir() if file.is_file()} == before
    assert {SETTINGS, DATA, "schedule.json"} < before.keys()


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
    dense = tiny.upsample(volume, model, grid, Compute(torch.device("cpu"), torch.float32))
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


def test_fewer_minutes_than_were_used_are_refused_and_the_runs_own_are_not(data: Path, tmp_path: Path) -> None:
    schedule = Schedule(None, minutes=0.001, warmup=1)
    done = run_stage(replace(AMI, schedule=schedule), data, tmp_path)
    assert done[-1].seconds > 0.06
    assert run_stage(replace(AMI, schedule=schedule), data, tmp_path, resume=True) == []
    with pytest.raises(UsageError, match=r"more than --minutes 0\.0005"):
        run_stage(replace(AMI, schedule=replace(schedule, minutes=0.0005)), data, tmp_path, resume=True)


def test_an_existing_run_is_refused_without_resume(data: Path, tmp_path: Path) -> None:
    run_stage(AMI, data, tmp_path)
    before = (tmp_path / "ami" / CHECKPOINT).read_bytes(), (tmp_path / MODEL).read_bytes()
    with pytest.raises(UsageError, match="--resume"):
        run_stage(AMI, data, tmp_path)
    assert before == ((tmp_path / "ami" / CHECKPOINT).read_bytes(), (tmp_path / MODEL).read_bytes())


def test_resuming_what_never_began_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no checkpoint to resume"):
        run_stage(AMI, data, tmp_path / "new", resume=True)
    assert not (tmp_path / "new").exists()


def test_the_fusion_stage_without_an_ami_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="train the AMI stage"):
        run_stage(RFN, data, tmp_path)


def test_a_folder_without_volumes_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    none = TrainingPaths(tmp_path / "none", data / "val", tmp_path / "out")
    with pytest.raises(UsageError, match="holds no volume"):
        list(train(AMI, none, resume=False, on_progress=lambda *_: None))


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


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Fail instead of running for ever."""

    def stop(*_: object) -> None:
        pytest.fail(f"still busy after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="no alarm on this system")
@pytest.mark.parametrize(("stage", "which"), [("ami", "train"), ("rfn", "train"), ("rfn", "val")])
def test_volumes_with_too_few_slices_are_refused(stage: str, which: str, data: Path, tmp_path: Path) -> None:
    if stage == "rfn":
        run_stage(AMI, data, tmp_path)
    folders = {"train": data / "train", "val": data / "val", which: tmp_path / "short"}
    write_volume(folders[which] / "v.nii", (26, 25, 4))  # factor 2 needs 5
    settings = replace(AMI, stage=stage, augment=False)  # patches are never turned sideways
    short = TrainingPaths(folders["train"], folders["val"], tmp_path)
    with at_most(5), pytest.raises(UsageError, match="slices"):
        list(train(settings, short, resume=False, on_progress=lambda *_: None))


def test_the_run_folder_says_what_it_is_made_of(data: Path, tmp_path: Path) -> None:
    run_stage(AMI, data, tmp_path)
    about = json.loads((tmp_path / "ami" / DATA).read_text())
    assert about["train"] == [
        {"path": str(data / "train" / "v.nii.gz"), "shape": [26, 25, 20], "spacing_mm": pytest.approx([0.5, 0.8, 2.0])}
    ]
    assert about["versions"]["torch"] == torch.__version__
    assert about["processes"] == 1


def start(data: Path, tmp_path: Path) -> Path:
    """Weights of an earlier run, under a name of their own."""
    run_stage(AMI, data, tmp_path / "first")
    kept = tmp_path / "first.safetensors"
    kept.write_bytes((tmp_path / "first" / MODEL).read_bytes())
    return kept


def test_a_run_with_init_starts_from_those_weights_and_keeps_their_rfn(data: Path, tmp_path: Path) -> None:
    first = start(data, tmp_path)
    still = Schedule(1, learning_rate=0.0, final_rate=0.0, warmup=0)
    run_stage(replace(AMI, init=str(first), schedule=still, seed=9), data, tmp_path / "second")
    assert_same_tensors(first, tmp_path / "second" / MODEL)
    run_stage(replace(AMI, init=str(first), seed=9), data, tmp_path / "third")
    with pytest.raises(AssertionError):
        assert_same_tensors(first, tmp_path / "third" / MODEL)


def test_a_folded_network_starts_from_the_weights_of_a_plain_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(data, tmp_path)
    monkeypatch.setattr("saint_cli.training.settings.AMI_SIZES", {"base": (16, 8, 2, 2, 2)})
    still = Schedule(1, learning_rate=0.0, final_rate=0.0, warmup=0)
    run_stage(replace(AMI, init=str(first), schedule=still), data, tmp_path / "second")
    plain, folded = (weights.load_model(str(path)).ami for path in (first, tmp_path / "second" / MODEL))
    slices, fdm = torch.rand(1, 3, 12, 5), 4 * torch.rand(1, 2, 3, 3)
    with torch.no_grad():
        torch.testing.assert_close(folded(slices, fdm), plain(slices, fdm), rtol=1e-3, atol=1e-4)


def test_folded_weights_are_not_folded_once_more(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saint_cli.training.settings.AMI_SIZES", {"base": (16, 8, 2, 2, 2)})
    first = start(data, tmp_path)
    monkeypatch.setattr("saint_cli.training.settings.AMI_SIZES", {"base": (32, 16, 2, 2, 4)})
    with pytest.raises(UsageError, match="another size"):
        run_stage(replace(AMI, init=str(first)), data, tmp_path / "second")


def test_weights_of_another_size_to_start_from_are_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(data, tmp_path)
    monkeypatch.setattr("saint_cli.training.settings.AMI_SIZES", {"base": (12, 4, 2, 1)})
    with pytest.raises(UsageError, match="another size"):
        run_stage(replace(AMI, init=str(first)), data, tmp_path / "second")


def test_a_teacher_changes_what_is_learnt(data: Path, tmp_path: Path) -> None:
    first = start(data, tmp_path)
    run_stage(replace(AMI, teacher=str(first), seed=3), data, tmp_path / "taught")
    run_stage(replace(AMI, seed=3), data, tmp_path / "alone")
    with pytest.raises(AssertionError):
        assert_same_tensors(tmp_path / "taught" / MODEL, tmp_path / "alone" / MODEL)


def test_adam_can_be_chosen_and_learns_something_else_than_muon(data: Path, tmp_path: Path) -> None:
    for name in ("adam", "muon"):
        run_stage(replace(AMI, optimiser=name), data, tmp_path / name)
    with pytest.raises(AssertionError):
        assert_same_tensors(tmp_path / "adam" / MODEL, tmp_path / "muon" / MODEL)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"init": "medium"}, "begun without --init, not with --init medium; resume"),
        ({"slabs": True}, "begun without --slab, not with --slab;"),
        ({"augment": False}, "begun without --no-augment, not with --no-augment;"),
        ({"fewest": 2}, "begun with --rfn-fewest 1, not with --rfn-fewest 2"),
    ],
)
def test_a_run_that_is_resumed_with_other_settings_is_told_the_options(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    write_json(asdict(AMI), tmp_path / SETTINGS)
    require_same_settings(AMI, tmp_path / SETTINGS)
    with pytest.raises(UsageError, match=said):
        require_same_settings(replace(AMI, **changes), tmp_path / SETTINGS)


def test_a_run_is_not_resumed_on_other_volumes_or_from_other_weights(data: Path, tmp_path: Path) -> None:
    first = start(data, tmp_path)
    settings = replace(AMI, init=str(first))
    run_stage(settings, data, tmp_path / "run", stop=2)
    write_volume(tmp_path / "other" / "w.nii", (27, 25, 20))
    elsewhere = TrainingPaths(tmp_path / "other", data / "val", tmp_path / "run", tmp_path / "cache")
    with pytest.raises(UsageError, match="other train volumes"):
        list(train(settings, elsewhere, resume=True, on_progress=lambda *_: None))
    run_stage(replace(AMI, seed=4), data, tmp_path / "second")
    first.write_bytes((tmp_path / "second" / MODEL).read_bytes())
    with pytest.raises(UsageError, match="other --init"):
        run_stage(settings, data, tmp_path / "run", resume=True)
