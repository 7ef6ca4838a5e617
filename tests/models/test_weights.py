import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from nets import tiny
from safetensors import safe_open
from safetensors.torch import load_file

from saint_cli.errors import WeightsError
from saint_cli.geometry import grid_by_factor
from saint_cli.models import shipped, tensor_files, weights
from saint_cli.models.calibration import Calibration
from saint_cli.models.weights import SaintModel, build_networks, load_model, save_model, write_calibration
from saint_cli.nets import AMI, RFN
from saint_cli.nets.blocks import TrunkSize
from saint_cli.runtime.device_selection import Compute

CPU = Compute(torch.device("cpu"), torch.float32)


def halved(model: SaintModel) -> SaintModel:
    """The model with its weights rounded to half precision."""
    for net in (model.ami, model.rfn):
        net.load_state_dict({k: v.half().float() for k, v in net.state_dict().items()})
    return model


def test_a_saved_and_loaded_model_gives_the_same_output(file: Path) -> None:
    volume, grid = tiny.volume(dtype="float32"), grid_by_factor(5, 2, 3)
    loaded = load_model(str(file))
    wanted = tiny.upsample(volume, halved(tiny.model()), grid, CPU)
    np.testing.assert_array_equal(tiny.upsample(volume, loaded, grid, CPU).voxels, wanted.voxels)


def test_a_loaded_model_is_ready_for_inference_and_knows_where_it_came_from(file: Path) -> None:
    loaded = load_model(str(file))
    assert loaded.name == "tiny"
    assert loaded.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert not loaded.ami.training
    assert not loaded.rfn.training
    assert {p.dtype for net in (loaded.ami, loaded.rfn) for p in net.parameters()} == {torch.float32}
    assert loaded.parameters == tuple(sum(p.numel() for p in n.parameters()) for n in (tiny.ami(), tiny.rfn()))


def test_a_model_of_a_training_run_is_called_as_the_runs_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "mine"
    run.mkdir()
    save_model(tiny.ami(), tiny.rfn(), run / "model.safetensors")
    assert load_model(str(run)).name == load_model(str(run / "model.safetensors")).name == "mine"
    monkeypatch.chdir(run)
    assert load_model("model.safetensors").name == "mine"


def test_save_returns_the_files_sha256_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    assert save_model(tiny.ami(), tiny.rfn(), path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]
    assert all(tensor.dtype == torch.float16 for tensor in load_file(path).values())


@pytest.mark.parametrize(
    ("ami", "rfn"),
    [
        ((8, 4, 2, 2), TrunkSize(6, 8, 4, 2, 1)),
        ((6, 5, 3, 1), TrunkSize(2, 4, 3, 4, 2)),
        ((4, 2, 1, 11), TrunkSize(6, 4, 2, 2, 1, dims=3)),
        ((8, 4, 2, 2, 4), TrunkSize(6, 8, 4, 2, 1)),
    ],
    ids=str,
)
def test_sizes_are_deduced_from_the_tensors(ami: tuple[int, ...], rfn: TrunkSize, tmp_path: Path) -> None:
    save_model(AMI(*ami), RFN(rfn, fewest=3), tmp_path / "m.safetensors")
    loaded = load_model(str(tmp_path / "m.safetensors"))
    assert loaded.ami.features.size == TrunkSize(3, *ami[:4], fold=(*ami, 1)[4])
    assert (loaded.rfn.features.size, int(loaded.rfn.fewest)) == (rfn, 3)


def test_weights_that_do_not_say_where_rfn_is_used_use_it_everywhere(file: Path) -> None:
    state = {name: tensor for name, tensor in load_file(file).items() if name != "rfn.fewest"}
    assert int(build_networks(state)[1].fewest) == 1


def test_networks_are_filled_with_the_tensors() -> None:
    nets = {"ami.": tiny.ami(3), "rfn.": tiny.rfn(4)}
    state = {k: v for prefix, net in nets.items() for k, v in net.state_dict(prefix=prefix).items()}
    for found, wanted in zip(build_networks(state), nets.values(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(found.parameters(), wanted.parameters(), strict=True))


CALIBRATION = Calibration((0.5, 20.0, 300.0), (4.0, 12.5, 200.0))


def test_a_calibration_travels_with_the_weights(file: Path, tmp_path: Path) -> None:
    assert load_model(str(file)).calibration is None
    save_model(tiny.ami(), tiny.rfn(), tmp_path / "with.safetensors")
    write_calibration(tmp_path / "with.safetensors", CALIBRATION)
    assert load_model(str(tmp_path / "with.safetensors")).calibration == CALIBRATION


@pytest.mark.parametrize("name", ["fast", "tiny"])
def test_calibrating_a_file_leaves_every_tensor_as_it_was(name: str, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "calibrated.safetensors"
    source = shipped.shipped_folder() / "saint-fast.safetensors" if name == "fast" else file
    path.write_bytes(source.read_bytes())
    before = load_file(path)
    sha256 = write_calibration(path, CALIBRATION)
    after = load_file(path)
    assert before.keys() == after.keys()
    for key, tensor in before.items():
        assert tensor.dtype == after[key].dtype
        assert torch.equal(tensor.view(torch.uint8), after[key].view(torch.uint8))
    assert load_model(str(path)).calibration == CALIBRATION
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_same_weights_and_calibration_give_the_same_bytes(file: Path) -> None:
    written = set()
    for _ in range(12):  # keys of metadata come from safetensors in random order
        write_calibration(file, CALIBRATION)
        written.add(file.read_bytes())
    assert len(written) == 1
    with safe_open(file, "pt") as opened:
        assert set(opened.metadata()) == {tensor_files.DIGEST_KEY, weights.CALIBRATION_KEY}


def test_a_second_calibration_replaces_the_first(file: Path) -> None:
    write_calibration(file, CALIBRATION)
    write_calibration(file, Calibration((1.0,), (2.0,)))
    assert load_model(str(file)).calibration == Calibration((1.0,), (2.0,))


def test_a_damaged_calibration_is_refused(file: Path) -> None:
    write_calibration(file, CALIBRATION)
    file.write_bytes(file.read_bytes().replace(b"error_hu", b"error_mm"))
    with pytest.raises(WeightsError, match=r"tiny\.safetensors: the calibration"):
        load_model(str(file))
