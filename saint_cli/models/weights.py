"""Weights files: check, load with sizes deduced from the tensors, save."""

import copy
import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse
from safetensors.torch import save as serialise
from torch import Tensor

from saint_cli.errors import WeightsError
from saint_cli.io.atomic import open_atomic_file
from saint_cli.models import safetensors_header
from saint_cli.models.calibration import Calibration
from saint_cli.models.shipped import MANIFEST, find_weights, read_manifest
from saint_cli.nets import AMI, RFN
from saint_cli.nets.ami import CONTEXT_SLICES
from saint_cli.nets.blocks import TrunkSize
from saint_cli.nets.rfn import INPUTS_WITH_CONTEXT, INPUTS_WITHOUT_CONTEXT

DIGEST_KEY = "tensors_sha256"
CALIBRATION_KEY = "expected_error"

MAX_TRUNK_SIZE = {"width": 1024, "growth": 1024, "layers": 64, "blocks": 64}
"""Of a trunk: many times the paper's 64, 32, 8 and 6; larger modules would take seconds to build."""


@dataclass(frozen=True)
class SaintModel:
    """The two networks of SAINT, ready for inference, their file, and their expected error if known."""

    ami: AMI = field(repr=False)
    rfn: RFN = field(repr=False)
    name: str
    sha256: str
    calibration: Calibration | None = field(default=None, repr=False)

    @property
    def parameters(self) -> tuple[int, int]:
        """Number of parameters of AMI and of RFN."""
        ami, rfn = (sum(p.numel() for p in net.parameters()) for net in (self.ami, self.rfn))
        return ami, rfn

    def to(self, device: torch.device) -> "SaintModel":
        """The model with its networks on a device, copied unless that is the CPU."""
        if device.type == "cpu":
            return self
        return replace(self, ami=copy.deepcopy(self.ami).to(device), rfn=copy.deepcopy(self.rfn).to(device))


def load_model(name_or_path: str) -> SaintModel:
    """A shipped model by name, or any SAINT weights file by path; on the CPU, in evaluation mode, float32.

    Raises:
        WeightsError: no such model or file; not safetensors (but a pickle, for example); damaged; not the networks of
            SAINT; another file than the manifest beside it describes.
    """
    path = find_weights(name_or_path)
    return _load(path, path.stat().st_mtime_ns)


@cache
def _load(path: Path, _changed: int) -> SaintModel:
    """Load once per process and version of the file."""
    data = _read_bytes(path)
    sha256 = hashlib.sha256(data).hexdigest()
    expected = {entry["file"]: entry["sha256"] for entry in read_manifest(path.parent).values()}.get(path.name)
    if expected not in (None, sha256):
        raise WeightsError(f"{path} is damaged: its sha256 is {sha256[:12]}..., {MANIFEST} says {expected[:12]}...")
    state, metadata = _parse_tensors(data, path)
    if DIGEST_KEY in metadata and metadata[DIGEST_KEY] != _digest(state):
        raise WeightsError(f"{path} is damaged: its tensors differ from the checksum stored with them")
    ami, rfn = _networks(state, path)
    broken = next((name for name, tensor in state.items() if not tensor.float().isfinite().all()), None)
    if broken is not None:
        raise WeightsError(f"{path} is damaged: {broken} holds NaN or infinity; copy or train it again")
    calibration = _parse_calibration(metadata, path)
    return SaintModel(ami.eval(), rfn.eval(), path.stem.removeprefix("saint-"), sha256, calibration)


def save_model(ami: AMI, rfn: RFN, path: Path, calibration: Calibration | None = None) -> str:
    """Write both networks as half-precision safetensors, replacing an existing file; returns the file's sha256.

    Half precision keeps 11 bits of each weight and halves the file; ``load_model`` converts to float32. The same
    weights give the same bytes.
    """
    named = ((f"{key}.{k}", v) for key, net in (("ami", ami), ("rfn", rfn)) for k, v in net.state_dict().items())
    return _write({name: tensor.half().cpu().contiguous() for name, tensor in named}, calibration, path)


def write_calibration(path: Path, calibration: Calibration) -> str:
    """Add a calibration to a weights file, its tensors bit-equal; returns the file's new sha256.

    Raises:
        WeightsError: not a readable safetensors file.
    """
    return _write(_parse_tensors(_read_bytes(path), path)[0], calibration, path)


def _write(state: dict[str, Tensor], calibration: Calibration | None, path: Path) -> str:
    metadata = {DIGEST_KEY: _digest(state)}
    if calibration is not None:
        metadata[CALIBRATION_KEY] = calibration.to_json()
    data = _sort_metadata(serialise(state, metadata))
    with open_atomic_file(path) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def _sort_metadata(data: bytes) -> bytes:
    """A safetensors file with its metadata, whose order is random, sorted by key."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header[safetensors_header.METADATA] = dict(sorted(header[safetensors_header.METADATA].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of eight bytes
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def build_networks(state: dict[str, Tensor]) -> tuple[AMI, RFN]:
    """Both networks with sizes deduced from tensors named ``ami.*`` and ``rfn.*``, and filled with them.

    No memory is allocated before names and shapes are checked.

    Raises:
        KeyError, IndexError, RuntimeError, ZeroDivisionError: the tensors are not those of the two networks.
    """
    state = {"rfn.fewest": torch.tensor([1]), **state}  # missing from files of earlier networks
    ami = TrunkSize.from_state(state, "ami.features.", CONTEXT_SLICES)
    rfn = TrunkSize.from_state(state, "rfn.features.")
    known_inputs = INPUTS_WITHOUT_CONTEXT, INPUTS_WITH_CONTEXT
    if rfn.inputs not in known_inputs or (ami.dims, rfn.dims) not in ((2, 2), (2, 3)):
        raise KeyError("inputs or dimensions of a trunk")
    if any(not 0 < getattr(size, name) <= most for size in (ami, rfn) for name, most in MAX_TRUNK_SIZE.items()):
        raise IndexError("sizes of a trunk")
    with torch.device("meta"):
        empty = _make_untrained(ami, rfn)
    wanted = {f"{key}{name}": v.shape for key, net in empty.items() for name, v in net.state_dict().items()}
    if wanted != {name: tensor.shape for name, tensor in state.items() if name.startswith(tuple(empty))}:
        raise KeyError("names or shapes of tensors")
    nets = _make_untrained(ami, rfn)
    for key, net in nets.items():
        net.load_state_dict({k.removeprefix(key): v.float() for k, v in state.items() if k.startswith(key)})
    return nets["ami."], nets["rfn."]  # type: ignore[return-value]


def _make_untrained(ami: TrunkSize, rfn: TrunkSize) -> dict[str, AMI | RFN]:
    """Untrained networks of these sizes, by the prefix of their tensors."""
    return {"ami.": AMI(ami.width, ami.growth, ami.layers, ami.blocks, ami.fold), "rfn.": RFN(rfn)}


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from None


def _parse_tensors(data: bytes, path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file by name, and its metadata; native code reads only checked headers."""
    try:
        metadata = safetensors_header.check_header(data)
        return parse(data), metadata
    except (WeightsError, SafetensorError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file ({error})") from None


def _parse_calibration(metadata: dict[str, str], path: Path) -> Calibration | None:
    try:
        return Calibration.from_json(metadata[CALIBRATION_KEY]) if CALIBRATION_KEY in metadata else None
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def _networks(state: dict[str, Tensor], path: Path) -> tuple[AMI, RFN]:
    try:
        return build_networks(state)
    except (KeyError, IndexError, RuntimeError, ZeroDivisionError):
        raise WeightsError(f"{path} holds tensors, but not those of a SAINT model (ami.* and rfn.*)") from None


def _digest(state: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
