"""No weights file, whatever its header claims, is more than one refused line: nothing is built before sizes fit."""

import contextlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import tiny
from safetensors.torch import load_file, save_file

from saint_cli import nets
from saint_cli.errors import WeightsError
from saint_cli.models import shipped, weights
from saint_cli.models.calibration import Calibration
from saint_cli.models.weights import load_model, save_model

FIRST = "ami.features.first.weight"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_model(tiny.ami(), tiny.rfn(), path)
    return path


def packed(header: Any, tensors: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tensors


def unpacked(data: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def change(file: Path, alter: Callable[[dict[str, Any]], object]) -> None:
    header, tensors = unpacked(file.read_bytes())
    altered = alter(header)
    file.write_bytes(packed(header if altered is None else altered, tensors))


LIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "2^40 in one axis": lambda h: h[FIRST].update(shape=[2**40]),
    "2^40 in many axes": lambda h: h[FIRST].update(shape=[2**40] * 4),
    "shape beyond 64 bits": lambda h: h[FIRST].update(shape=[2**70, 1, 1, 1]),
    "a thousand axes": lambda h: h[FIRST].update(shape=[1] * 1000),
    "empty axis": lambda h: h[FIRST].update(shape=[0, 3, 3, 3], data_offsets=[0, 0]),
    "negative axes": lambda h: h[FIRST].update(shape=[-8, -3, 3, 3]),
    "axes that are no numbers": lambda h: h[FIRST].update(shape=["8", 3, 3, 3]),
    "axes of truth": lambda h: h[FIRST].update(shape=[True, True]),
    "fractional axes": lambda h: h[FIRST].update(shape=[8.0, 3.0, 3.0, 3.0]),
    "shape that is no list": lambda h: h[FIRST].update(shape=216),
    "shape that is a table": lambda h: h[FIRST].update(shape={"8": 3}),
    "overlapping offsets": lambda h: h[FIRST].update(data_offsets=h["ami.features.first.bias"]["data_offsets"]),
    "offsets beyond the file": lambda h: h[FIRST].update(data_offsets=[10**9, 10**9 + 432]),
    "negative offsets": lambda h: h[FIRST].update(data_offsets=[-432, 0]),
    "offsets that go back": lambda h: h[FIRST].update(data_offsets=h[FIRST]["data_offsets"][::-1]),
    "three offsets": lambda h: h[FIRST].update(data_offsets=[0, 1, 2]),
    "whole numbers": lambda h: h[FIRST].update(dtype="I16"),
    "bytes": lambda h: h[FIRST].update(dtype="I8"),
    "complex numbers": lambda h: h[FIRST].update(dtype="C64"),
    "a type that is a list": lambda h: h[FIRST].update(dtype=["F16"]),
    "no type": lambda h: h[FIRST].pop("dtype"),
    "a tensor that is a number": lambda h: h.update({FIRST: 3}),
    "metadata of numbers": lambda h: h["__metadata__"].update(a=3),
    "metadata that is a list": lambda h: h.update(__metadata__=[]),
    "a tensor less": lambda h: h.pop(FIRST),
    "a list": lambda h: [h],
    "a name that comes twice": lambda h: (
        json.dumps(h)[:-1].encode() + b"," + json.dumps({FIRST: h[FIRST]})[1:].encode()
    ),
    "nested tables": lambda h: b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "nested lists": lambda h: b"[" * 100_000 + b"]" * 100_000,
    "a number of many digits": lambda h: json.dumps(h).replace('"shape": [8', '"shape": [' + "8" * 5000, 1).encode(),
    "not a number": lambda h: json.dumps(h).replace('"shape": [8', '"shape": [NaN', 1).encode(),
    "not UTF-8": lambda h: b'{"\xff": 3}',
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_does_not_fit_its_file_is_refused(lie: str, file: Path) -> None:
    change(file, LIES[lie])
    with pytest.raises(WeightsError, match=r"tiny\.safetensors is not a readable safetensors file") as caught:
        load_model(str(file))
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("length", [0, 1, 2**22 + 1, 10**8, 2**63, 2**64 - 1], ids=str)
def test_a_header_that_claims_more_bytes_than_its_file_or_any_weights_have_is_refused(length: int, file: Path) -> None:
    file.write_bytes(length.to_bytes(8, "little") + file.read_bytes()[8:])
    with pytest.raises(WeightsError, match=f"a header of {length} bytes"):
        load_model(str(file))


def test_a_file_larger_than_any_weights_is_not_read(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(shipped.MAX_WEIGHTS_BYTES + 1)
    with pytest.raises(WeightsError, match="holds 268 MB, more than weights take"):
        load_model(str(file))
    with pytest.raises(WeightsError, match="more than weights take"):
        shipped.weights_sha256(str(file))


def state_of(width: int, blocks: int) -> dict[str, torch.Tensor]:
    """Tensors that claim a trunk of a width and of many blocks, yet fit their file."""
    state = {key: value for key, value in tiny_state().items() if ".blocks." not in key or ".blocks.0." in key}
    state[FIRST] = torch.zeros(width, 3, 1, 1)
    return state | {f"ami.features.blocks.{i}.push.0.weight": torch.zeros(8, 8, 3, 3) for i in range(blocks)}


def tiny_state() -> dict[str, torch.Tensor]:
    found = {"ami.": tiny.ami(), "rfn.": tiny.rfn()}
    return {k: v for prefix, net in found.items() for k, v in net.state_dict(prefix=prefix).items()}


CLAIMS: dict[str, dict[str, torch.Tensor]] = {
    "a million channels": state_of(1_000_000, 2),
    "thousands of blocks": state_of(8, 3000),
    "as many channels as may be, in one tensor": state_of(1024, 2),
    "no channels in any layer": {**tiny_state(), "ami.features.blocks.0.push.0.weight": torch.zeros(1, 8, 3, 3)},
    "channels that no layer gets": {**tiny_state(), "ami.features.blocks.0.push.0.weight": torch.zeros(7, 8, 3, 3)},
    "four-dimensional planes": {**tiny_state(), FIRST: torch.zeros(8, 3, 1, 3, 3)},
    "a name without a number": {**tiny_state(), "ami.features.blocks.0.push": torch.zeros(1)},
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_sizes_that_the_tensors_do_not_have_are_refused_before_a_network_is_built(
    claim: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[torch.device] = []
    plain = nets.AMI.__init__

    def counted(self: nets.AMI, *sizes: int, slabs: bool) -> None:
        plain(self, *sizes, slabs=slabs)
        built.append(self.filters.layers[0].weight.device)  # type: ignore[union-attr,arg-type]

    monkeypatch.setattr(nets.AMI, "__init__", counted)
    save_file({name: tensor.half() for name, tensor in CLAIMS[claim].items()}, file)
    with pytest.raises(WeightsError, match="not those of a SAINT model"):
        load_model(str(file))
    assert set(built) <= {torch.device("meta")}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")], ids=str)
@pytest.mark.parametrize("name", [FIRST, "rfn.output.bias", "rfn.fewest", "ami.filters.layers.4.weight"])
def test_weights_that_are_not_finite_are_refused(name: str, value: float, file: Path) -> None:
    state = load_file(file)
    state[name].view(-1)[0] = value
    save_file(state, file)
    with pytest.raises(WeightsError, match=rf"{name} holds NaN or infinity"):
        load_model(str(file))


def test_weights_beyond_float32_are_refused(file: Path) -> None:
    state = {name: tensor.double() for name, tensor in load_file(file).items()}
    state[FIRST][0, 0, 0, 0] = 1e300
    save_file(state, file)
    with pytest.raises(WeightsError, match=rf"{FIRST} holds NaN or infinity"):
        load_model(str(file))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_weights_of_every_floating_type_load_as_float32(dtype: torch.dtype, file: Path) -> None:
    save_file({name: tensor.to(dtype) for name, tensor in load_file(file).items()}, file)
    assert load_model(str(file)).ami.features.first.weight.dtype == torch.float32  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"difference_hu": [1' + "0" * 400 + '], "error_hu": [1]}',
        '{"difference_hu": [NaN], "error_hu": [1]}',
        '{"difference_hu": [[1]], "error_hu": [[1]]}',
        '{"difference_hu": 3, "error_hu": 3}',
    ],
    ids=["nested", "huge", "nan", "lists", "numbers"],
)
def test_a_calibration_of_anything_else_is_refused(text: str, file: Path) -> None:
    with pytest.raises(WeightsError, match="calibration"):
        Calibration.from_json(text)
    save_file(load_file(file), file, {weights.CALIBRATION_KEY: text})
    with pytest.raises(WeightsError, match="calibration"):
        load_model(str(file))


def test_a_manifest_that_is_nested_deeply_is_refused(file: Path) -> None:
    (file.parent / shipped.MANIFEST).write_text('{"models":' + "[" * 100_000)
    with pytest.raises(WeightsError, match="not a weights manifest"):
        load_model(str(file))


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The file with a few bytes of its header changed, a piece gone, or numbers of its header replaced."""
    length = int.from_bytes(data[:8], "little")
    kind = rng.randrange(4)
    if kind == 0:
        return data[: rng.randrange(len(data))]
    if kind == 1:
        start = rng.randrange(len(data))
        return data[:start] + data[start + rng.randrange(1, 2000) :]
    changed = bytearray(data[: 8 + length])
    if kind == 2:
        for _ in range(rng.randrange(1, 9)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed) + data[8 + length :]
    header, tensors = unpacked(data)
    field = rng.choice(["shape", "data_offsets"])
    numbers = header[rng.choice([name for name in header if name != "__metadata__"])][field]
    numbers[rng.randrange(len(numbers))] = rng.choice([0, -1, 1, 7, 2**31, 2**40, 2**63, 2**64, None, "3", 1.5, [1]])
    return packed(header, tensors)


@pytest.mark.parametrize("seed", range(3))
def test_shipped_weights_that_were_damaged_load_as_they_were_or_not_at_all(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    good = shipped.find_weights("fast")
    wanted = load_model("fast").ami.state_dict()
    for case in range(120):
        path = tmp_path / f"{case}.safetensors"
        path.write_bytes(mutated(good.read_bytes(), rng))
        with contextlib.suppress(WeightsError):
            found = load_model(str(path)).ami.state_dict()
            assert all(np.array_equal(found[name].numpy(), wanted[name].numpy()) for name in wanted)
        path.unlink()
