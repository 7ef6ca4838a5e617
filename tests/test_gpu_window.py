"""``benchmarks/gpu_window.py``, rehearsed on a CPU with seconds instead of minutes."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from bare_machine import run_bare
from training.folders import write_train_and_val

from saint_cli.models.weights import load_model, save_model
from saint_cli.nets import AMI, RFN
from saint_cli.nets.blocks import TrunkSize

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

AMI_SIZE, RFN_SIZE = (8, 4, 2, 1), (8, 4, 2, 1)

PROGRAM = f"""
import json
sys.path.insert(0, {str(BENCHMARKS)!r})
import gpu_window, matrix_rate
from saint_cli.training import fusion_blocks, settings
settings.AMI_SIZES.update(base={AMI_SIZE}, fast={AMI_SIZE})
settings.RFN_SIZES.update(base={RFN_SIZE}, fast={RFN_SIZE})
fusion_blocks.VALIDATION_BLOCKS, matrix_rate.SIDE["cpu"] = 1, 256
for words in json.loads(sys.argv[1]):
    sys.argv = ["gpu_window.py", *words]
    gpu_window.main()
    print("DONE", flush=True)
"""

TRAININGS = ("base", "base-rfn", "base-joint", "fast", "fast-rfn")
SECONDS = {"rates": 0.1, **dict.fromkeys(TRAININGS, 1), "inference": 30, "tests": 0}
OTHERS = {"device": "cpu", "batch": 2, "slices": 4, "blocks": 3, "joint-batch": 1, "shapes": "20x18x5"}
QUICK = [word for name, value in (SECONDS | OTHERS).items() for word in (f"--{name}", value)]


@pytest.fixture
def packing(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("volume_packing")


def run_window(*commands: list[object]) -> list[str]:
    """Run commands one after the other on a bare machine; returns what each printed."""
    done = run_bare(PROGRAM, json.dumps([list(map(str, words)) for words in commands]))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split("DONE\n")[:-1]


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 3), (7, 5, 40), (1, 9, 2), (9, 1, 2)])
def test_what_was_packed_comes_back(packing: ModuleType, shape: tuple[int, int, int]) -> None:
    voxels = np.random.default_rng(0).integers(-32768, 32768, shape).astype(np.int16)
    found = np.empty_like(voxels)
    packing.decompress(*packing.compress(voxels), found)
    np.testing.assert_array_equal(found, voxels)


def test_parts_are_no_larger_than_asked_for_and_hold_everything(packing: ModuleType, tmp_path: Path) -> None:
    rng, window = np.random.default_rng(0), (-1024.0, 3071.0, 1000.0)
    shapes = {"small": (20, 30, 40), "flat": (30, 20, 17), "large": (40, 40, 90)}
    made = {name: rng.integers(-50, 50, shape).astype(np.int16) for name, shape in shapes.items()}
    facts = {name: packing.PackedVolume(name, "train", shapes[name], (1.0, 1.0, 2.0), window) for name in made}
    pairs = [(facts[name], made[name]) for name in made]
    parts = list(packing.pack_volumes(pairs, tmp_path / "parts", 60_000))
    assert len(parts) > 2
    for part in parts:
        assert part.stat().st_size < 62_000  # its list of volumes is not counted
        packing.unpack_part(part, tmp_path / "cache")
    found = {volume.name: (volume, voxels) for volume, voxels in packing.load_cached(tmp_path / "cache")}
    assert list(found) == ["flat", "large 0-32", "large 32-64", "large 64-90", "small"]
    np.testing.assert_array_equal(found["small"][1], made["small"])
    slabs = [voxels for name, (_, voxels) in found.items() if name.startswith("large")]
    np.testing.assert_array_equal(np.concatenate(slabs, 2), made["large"])
    assert found["flat"][0] == replace(facts["flat"], sha256=found["flat"][0].sha256)


def test_a_damaged_part_is_refused_and_leaves_no_volume(packing: ModuleType, tmp_path: Path) -> None:
    facts = packing.PackedVolume("v", "train", (6, 5, 4), (1.0, 1.0, 2.0), (0.0, 1.0, 1.0))
    (part,) = packing.pack_volumes([(facts, np.ones((6, 5, 4), np.int16))], tmp_path, 1000)
    data = bytearray(part.read_bytes())
    data[-40] ^= 1
    part.write_bytes(data)
    with pytest.raises(ValueError, match=r"^v .*is damaged"):
        packing.unpack_part(part, tmp_path / "cache")
    assert packing.load_cached(tmp_path / "cache") == []


def test_a_window_from_volumes_to_weights(
    packing: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, parts, cache, out = write_train_and_val(tmp_path, (98, 97, 30)), *(tmp_path / n for n in ("p", "c", "out"))
    torch.manual_seed(0)
    start = tmp_path / "start.safetensors"
    save_model(AMI(*AMI_SIZE), RFN(TrunkSize(6, *RFN_SIZE)), start)
    words = ["gpu_window.py", "pack", folder / "train", "--val", folder / "val", "--out", parts]
    monkeypatch.setattr("sys.argv", [str(word) for word in words])
    gpu_window = importlib.import_module("gpu_window")
    gpu_window.main()
    assert "part-01.safetensors" in capsys.readouterr().out

    run = ["run", "--cache", cache, "--out", out, "--base-init", start, "--fast-init", start, *QUICK]
    staged, first, again = run_window(["stage", *parts.iterdir(), "--cache", cache], run, run)
    assert "2 volumes" in staged
    figures = json.loads((out / "figures.json").read_text())
    assert set(figures) == {"rates", "inference", *TRAININGS}
    for phase in TRAININGS:
        assert figures[phase]["steps"] > 0
        assert "0" in figures[phase]["validation"]
        assert len(figures[phase]["validation"]) > 1
    assert [row["patches_per_s"] > 0 for row in figures["rates"].values()] == [True, True]
    assert len(figures["inference"]) == 2
    assert (out / "window.log").read_text() == first + again
    trained = {size: load_model(str(out / f"saint-{size}.safetensors")) for size in ("base", "fast")}
    assert len({load_model(str(start)).sha256, *(model.sha256 for model in trained.values())}) == 3
    assert "base:" in first
    assert "base:" not in again, "a finished phase is not repeated"
    assert {figures[phase]["seed"] for phase in TRAININGS} == {0}

    (cache / "run" / "figures.json").write_text(json.dumps({"inference": {"incomplete": True}}))
    (out / "saint-base.safetensors").unlink()
    run_window([*run, "--rates", 0, "--fast", 0, "--base-rfn", 0, "--base-joint", 0, "--fast-rfn", 0])
    repeated = json.loads((out / "figures.json").read_text())
    assert repeated["base"] == figures["base"] | {"validation": {}}, "no step is left, its figures are"
    assert (out / "saint-base.safetensors").is_file()
    assert len(repeated["inference"]) == 2
    assert "incomplete" not in repeated["inference"]


@pytest.mark.parametrize("size", ["base", "fast"])
def test_shipped_weights_fit_the_stages_that_start_from_them(
    size: str, packing: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "training", raising=False)  # the benchmark has the name of a folder of tests
    phases = importlib.import_module("window_phases")
    monkeypatch.delitem(sys.modules, "training", raising=False)  # where it was imported just now
    recipe = phases.Recipe({"base": "base", "fast": "fast"}, 2, 4, 3, 1, 1e-3, "cpu", [])
    window, shipped = phases.Window(phases.TrainingData([], []), recipe, tmp_path, tmp_path), load_model(size)
    settings = phases.make_settings(window, size, "ami", 60.0)
    assert settings.init == size
    settings.make_ami().load_state_dict(shipped.ami.state_dict())
    settings = phases.make_settings(window, size, "rfn", 60.0)
    assert settings.fewest == shipped.rfn.fewest
    if settings.init is None:
        assert settings.make_rfn().features.size != shipped.rfn.features.size
    else:
        settings.make_rfn().load_state_dict(shipped.rfn.state_dict())
