"""``benchmarks/generalisation.py``: errors on the same blocks of two sets of volumes, against the first weights."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch
from nets import tiny
from training.folders import write_train_and_val

from saint_cli.models.weights import save_model
from saint_cli.training import joint


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(joint, "BLOCK", (16, 3))
    return import_module("generalisation")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Weights, the same again, and some whose results are worse by an offset."""
    paths = [tmp_path / f"{name}.safetensors" for name in ("first", "same", "worse")]
    ami, rfn = tiny.ami(), tiny.rfn()
    for path in paths[:2]:
        save_model(ami, rfn, path)
    with torch.no_grad():
        for weight in rfn.parameters():
            weight.add_(0.2)
    save_model(ami, rfn, paths[2])
    return [str(path) for path in paths]


def test_weights_are_compared_on_the_same_blocks_of_each_set(
    program: ModuleType,
    files: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    folder = write_train_and_val(tmp_path)
    sets = folder / "train", folder / "val"

    def measure(train: Path, val: Path) -> list[list[str]]:
        command = ["generalisation.py", *files, "--train", str(train), "--val", str(val), "--blocks", "4"]
        monkeypatch.setattr("sys.argv", command)
        program.main()
        rows = capsys.readouterr().out.splitlines()[2:]
        return [[cell.strip() for cell in row.split("|")[2:4]] for row in rows]

    first, same, worse = measure(*sets)
    assert (first, same) == (["", ""], ["+0.0 ± 0.0 %"] * 2)
    assert all(float(cell.split()[0]) > 1 for cell in worse)
    assert worse[0] != worse[1]
    assert measure(*reversed(sets))[2] == worse[::-1]
