import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from nets import tiny
from safetensors.torch import load_file, save_file

from saint_cli.errors import UnreadableError, WeightsError
from saint_cli.models import shipped
from saint_cli.models.weights import load_model


def with_manifest(file: Path, sha256: str) -> None:
    entry = {"file": file.name, "sha256": sha256}
    (file.parent / shipped.MANIFEST).write_text(json.dumps({"models": {"tiny": entry}}))


def test_a_file_that_its_manifest_describes_loads(file: Path) -> None:
    with_manifest(file, hashlib.sha256(file.read_bytes()).hexdigest())
    assert load_model(str(file)).name == "tiny"
    assert list(shipped.read_manifest(file.parent)) == ["tiny"]


def test_a_file_that_its_manifest_does_not_name_loads(file: Path) -> None:
    with_manifest(file.with_name("another.safetensors"), "0" * 64)
    assert load_model(str(file)).name == "tiny"


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def truncate_header(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:50])


def flip_a_byte_of_the_tensors(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1234] ^= 0x10
    file.write_bytes(data)


def flip_a_byte_of_the_header(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[9] ^= 0xFF
    file.write_bytes(data)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def text(file: Path) -> None:
    file.write_text("these are no weights\n" * 9)


def pickle_by_torch(file: Path) -> None:
    torch.save(tiny.ami().state_dict(), file)


def plain_pickle(file: Path) -> None:
    file.write_bytes(pickle.dumps({"ami": [1.0]}))


def foreign(file: Path) -> None:
    save_file({"encoder.weight": torch.zeros(3, 3)}, file)


def one_network_only(file: Path) -> None:
    save_file({k: v for k, v in load_file(file).items() if k.startswith("ami.")}, file)


def no_tensors(file: Path) -> None:
    save_file({}, file)


def without_a_tensor(file: Path) -> None:
    save_file({k: v for k, v in load_file(file).items() if k != "ami.features.last.bias"}, file)


def with_a_strange_tensor(file: Path) -> None:
    save_file({**load_file(file), "rfn.strange": torch.zeros(2)}, file)


def with_a_tensor_of_another_shape(file: Path) -> None:
    save_file({**load_file(file), "rfn.output.weight": torch.zeros(1, 9, 3, 3)}, file)


def with_scalars(file: Path) -> None:
    save_file({k: torch.zeros(()) for k in load_file(file)}, file)


def remove(file: Path) -> None:
    file.unlink()


def put_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def manifest_with_another_hash(file: Path) -> None:
    with_manifest(file, "0" * 64)


def manifest_that_is_not_json(file: Path) -> None:
    (file.parent / shipped.MANIFEST).write_text("{")


def manifest_that_is_not_text(file: Path) -> None:
    (file.parent / shipped.MANIFEST).write_bytes(b"\xff\xfe\x00")


DAMAGES = [
    (truncate, "not a readable safetensors file"),
    (truncate_header, "not a readable safetensors file"),
    (flip_a_byte_of_the_tensors, "damaged"),
    (flip_a_byte_of_the_header, "not a readable safetensors file"),
    (empty, "not a readable safetensors file"),
    (text, "not a readable safetensors file"),
    (pickle_by_torch, "not a readable safetensors file"),
    (plain_pickle, "not a readable safetensors file"),
    (foreign, "not those of a SAINT model"),
    (one_network_only, "not those of a SAINT model"),
    (no_tensors, "not those of a SAINT model"),
    (without_a_tensor, "not those of a SAINT model"),
    (with_a_strange_tensor, "not those of a SAINT model"),
    (with_a_tensor_of_another_shape, "not those of a SAINT model"),
    (with_scalars, "not those of a SAINT model"),
    (remove, "no model or weights file"),
    (put_a_folder, "no model or weights file"),
    (manifest_with_another_hash, "damaged"),
    (manifest_that_is_not_json, "not a weights manifest"),
    (manifest_that_is_not_text, "not a weights manifest"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES, ids=[d[0].__name__ for d in DAMAGES])
def test_what_is_no_whole_model_is_refused_in_one_line(damage: Callable[[Path], None], words: str, file: Path) -> None:
    damage(file)
    with pytest.raises(WeightsError, match=words) as caught:
        load_model(str(file))
    assert "\n" not in str(caught.value)
    assert file.name in str(caught.value) or shipped.MANIFEST in str(caught.value)
    assert caught.value.exit_code == UnreadableError.exit_code == 3


@pytest.mark.parametrize("models", [[], {"tiny": 3}, {"tiny": {"figures": 1}}, "none"], ids=str)
def test_a_strange_manifest_beside_the_file_is_refused_as_such(models: object, file: Path) -> None:
    (file.parent / shipped.MANIFEST).write_text(json.dumps({"models": models}))
    with pytest.raises(WeightsError, match="manifest"):
        load_model(str(file))


def test_a_pickle_is_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    path = tmp_path / "trap.pt"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(WeightsError):
        load_model(str(path))
    assert not (tmp_path / "sprung").exists()
