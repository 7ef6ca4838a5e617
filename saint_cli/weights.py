"""Weights files: check, load with sizes deduced from the tensors, save. The only torch room that opens files."""

import copy
import hashlib
import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse
from safetensors.torch import save as serialise
from torch import Tensor

from saint_cli import weights_header
from saint_cli.errors import WeightsError
from saint_cli.io.atomic import complete_or_absent
from saint_cli.nets import AMI, RFN
from saint_cli.nets.blocks import TrunkSize
from saint_cli.nets.rfn import PAIR, WITH_CONTEXT
from saint_cli.shipped import MANIFEST, find, manifest
from saint_cli.uncertainty import Calibration

DIGEST = "tensors_sha256"
CALIBRATION = "expected_error"

LARGEST_SIZE = {"width": 1024, "growth": 1024, "layers": 64, "blocks": 64}
"""Of a trunk: many times the paper's 64, 32, 8 and 6; modules beyond would take seconds to build."""


@dataclass(frozen=True)
class SaintModel:
    """The two networks of SAINT, ready for inference, where they came from, and how far off they are (if known)."""

    ami: AMI
    rfn: RFN
    name: str
    sha256: str
    calibration: Calibration | None = None

    @property
    def parameters(self) -> tuple[int, int]:
        """Number of parameters of AMI and of RFN."""
        ami, rfn = (sum(p.numel() for p in net.parameters()) for net in (self.ami, self.rfn))
        return ami, rfn

    def to(self, device: torch.device) -> "SaintModel":
        """The same model with its networks on a device; this one stays where it is."""
        if device.type == "cpu":
            return self
        return replace(self, ami=copy.deepcopy(self.ami).to(device), rfn=copy.deepcopy(self.rfn).to(device))


def load_model(name_or_path: str) -> SaintModel:
    """A shipped model by name, or any SAINT weights file by path; on the CPU, in evaluation mode, float32.

    Raises:
        WeightsError: no such model or file; not safetensors (a pickle, say); damaged; not the networks of SAINT;
            not the file that the manifest beside it describes.
    """
    path = find(name_or_path)
    return _load(path, path.stat().st_mtime_ns)


@cache
def _load(path: Path, _changed: int) -> SaintModel:
    """Load once per process and version of the file."""
    data = _bytes(path)
    sha256 = hashlib.sha256(data).hexdigest()
    expected = {entry["file"]: entry["sha256"] for entry in manifest(path.parent).values()}.get(path.name)
    if expected not in (None, sha256):
        raise WeightsError(f"{path} is damaged: its sha256 is {sha256[:12]}..., {MANIFEST} says {expected[:12]}...")
    state, metadata = _tensors(data, path)
    if DIGEST in metadata and metadata[DIGEST] != _digest(state):
        raise WeightsError(f"{path} is damaged: its tensors differ from the checksum stored with them")
    ami, rfn = _networks(state, path)
    broken = next((name for name, tensor in state.items() if not tensor.float().isfinite().all()), None)
    if broken is not None:
        raise WeightsError(f"{path} is damaged: {broken} holds NaN or infinity; copy or train it again")
    calibration = _calibration(metadata, path)
    return SaintModel(ami.eval(), rfn.eval(), path.stem.removeprefix("saint-"), sha256, calibration)


def save_model(ami: AMI, rfn: RFN, path: Path, calibration: Calibration | None = None) -> str:
    """Write both networks as half-precision safetensors, in place of what was there; returns the file's sha256.

    Half precision keeps 11 bits of each weight and halves the file; ``load_model`` returns to float32. The same
    weights give the same bytes.
    """
    nets = {"ami": ami, "rfn": rfn}
    state = {
        f"{key}.{k}": v.half().cpu().contiguous() for key, net in nets.items() for k, v in net.state_dict().items()
    }
    return _write(state, calibration, path)


def calibrate_file(path: Path, calibration: Calibration) -> str:
    """Put a calibration into a weights file, its tensors unchanged to the last bit; returns the file's new sha256.

    Raises:
        WeightsError: not a readable safetensors file.
    """
    return _write(_tensors(_bytes(path), path)[0], calibration, path)


def _write(state: dict[str, Tensor], calibration: Calibration | None, path: Path) -> str:
    metadata = {DIGEST: _digest(state)}
    if calibration is not None:
        metadata[CALIBRATION] = calibration.to_json()
    data = _ordered(serialise(state, metadata))
    with complete_or_absent(path) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def _ordered(data: bytes) -> bytes:
    """A safetensors file with the keys of its metadata, which come in random order, sorted."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header[weights_header.METADATA] = dict(sorted(header[weights_header.METADATA].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of eight bytes
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def networks_for(state: dict[str, Tensor]) -> tuple[AMI, RFN]:
    """Both networks with sizes deduced from tensors named ``ami.*`` and ``rfn.*``, and filled with them.

    Nothing is allocated before names and shapes are those of networks of these sizes.

    Raises:
        KeyError, IndexError, RuntimeError, ZeroDivisionError: the tensors are not those of the two networks.
    """
    state = {"rfn.fewest": torch.tensor([1]), **state}  # which files of earlier networks do not hold
    sizes = TrunkSize.of(state, "ami.features."), TrunkSize.of(state, "rfn.features.")
    if sizes[1].inputs not in (PAIR, WITH_CONTEXT) or sizes[0].dims != 2 or sizes[1].dims not in (2, 3):
        raise KeyError("first.weight")
    if any(not 0 < getattr(size, name) <= most for size in sizes for name, most in LARGEST_SIZE.items()):
        raise IndexError("sizes that no network has")
    with torch.device("meta"):
        empty = _networks_of(*sizes)
    wanted = {f"{key}{name}": v.shape for key, net in empty.items() for name, v in net.state_dict().items()}
    if wanted != {name: tensor.shape for name, tensor in state.items() if name.startswith(tuple(empty))}:
        raise KeyError("names or shapes of tensors")
    nets = _networks_of(*sizes)
    for key, net in nets.items():
        net.load_state_dict({k.removeprefix(key): v.float() for k, v in state.items() if k.startswith(key)})
    return nets["ami."], nets["rfn."]  # type: ignore[return-value]


def _networks_of(ami: TrunkSize, rfn: TrunkSize) -> dict[str, AMI | RFN]:
    """Untrained networks of these sizes, by the prefix of their tensors."""
    return {"ami.": AMI(ami.width, ami.growth, ami.layers, ami.blocks), "rfn.": RFN(rfn)}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from None


def _tensors(data: bytes, path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file's ``data`` by name, and its metadata; no native code sees an unchecked header."""
    try:
        metadata = weights_header.check(data)
        return parse(data), metadata
    except (WeightsError, SafetensorError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file ({error})") from None


def _calibration(metadata: dict[str, str], path: Path) -> Calibration | None:
    try:
        return Calibration.from_json(metadata[CALIBRATION]) if CALIBRATION in metadata else None
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def _networks(state: dict[str, Tensor], path: Path) -> tuple[AMI, RFN]:
    try:
        return networks_for(state)
    except (KeyError, IndexError, RuntimeError, ZeroDivisionError):
        raise WeightsError(f"{path} holds tensors, but not those of a SAINT model (ami.* and rfn.*)") from None


def _digest(state: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
