"""Weights files: check, load with sizes deduced from the tensors, save."""

import copy
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from saint_cli.errors import WeightsError
from saint_cli.models.calibration import Calibration
from saint_cli.models.shipped import RUN_MODEL, find_weights
from saint_cli.models.tensor_files import read_tensors, to_half, write_metadata, write_tensors
from saint_cli.nets import AMI, RFN
from saint_cli.nets.ami import CONTEXT_SLICES
from saint_cli.nets.baselines import PublishedAMI, find_architecture
from saint_cli.nets.baselines.published import MARK
from saint_cli.nets.blocks import TrunkSize
from saint_cli.nets.rfn import INPUTS_WITH_CONTEXT, INPUTS_WITHOUT_CONTEXT

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
    found = read_tensors(path)
    ami, rfn = _networks(found.state, path)
    found.require_finite(path)
    calibration = _parse_calibration(found.metadata, path)
    name = path.absolute().parent.name if path.name == RUN_MODEL else path.stem.removeprefix("saint-")
    return SaintModel(ami.eval(), rfn.eval(), name, found.sha256, calibration)


def save_model(ami: AMI, rfn: RFN, path: Path) -> str:
    """Write both networks as half-precision safetensors, replacing an existing file; returns the file's sha256.

    ``load_model`` converts to float32. The same weights give the same bytes.
    """
    state = to_half(ami.state_dict(), "ami.") | to_half(rfn.state_dict(), "rfn.")
    return write_tensors(state, {}, path)


def write_calibration(path: Path, calibration: Calibration) -> str:
    """Add a calibration to a weights file, its tensors bit-equal; returns the file's new sha256.

    Raises:
        WeightsError: not a readable safetensors file.
    """
    return write_metadata({CALIBRATION_KEY: calibration.to_json()}, path)


def build_networks(state: dict[str, Tensor]) -> tuple[AMI, RFN]:
    """Both networks with sizes deduced from tensors named ``ami.*`` and ``rfn.*``, and filled with them.

    No memory is allocated before names and shapes are checked.

    Raises:
        KeyError, IndexError, RuntimeError, ZeroDivisionError: the tensors are not those of the two networks.
    """
    state = {"rfn.fewest": torch.tensor([1]), **state}  # missing from files of earlier networks
    ami = TrunkSize.from_state(state, "ami.features.", CONTEXT_SLICES)
    rfn = TrunkSize.from_state(state, "rfn.features.")
    is_published, slabs = f"ami.{MARK}" in state, state["ami.filters.layers.0.weight"].shape[1] == 2
    known_inputs = INPUTS_WITHOUT_CONTEXT, INPUTS_WITH_CONTEXT
    if rfn.inputs not in known_inputs or (ami.dims, rfn.dims) not in ((2, 2), (2, 3)):
        raise KeyError("inputs or dimensions of a trunk")
    if any(not 0 < getattr(size, name) <= most for size in (ami, rfn) for name, most in MAX_TRUNK_SIZE.items()):
        raise IndexError("sizes of a trunk")
    with torch.device("meta"):
        empty = _make_untrained(ami, rfn, is_published=is_published, slabs=slabs)
    wanted = {f"{key}{name}": v.shape for key, net in empty.items() for name, v in net.state_dict().items()}
    if wanted != {name: tensor.shape for name, tensor in state.items() if name.startswith(tuple(empty))}:
        raise KeyError("names or shapes of tensors")
    nets = _make_untrained(ami, rfn, is_published=is_published, slabs=slabs)
    for key, net in nets.items():
        net.load_state_dict({k.removeprefix(key): v.float() for k, v in state.items() if k.startswith(key)})
    return nets["ami."], nets["rfn."]  # type: ignore[return-value]


def _make_untrained(ami: TrunkSize, rfn: TrunkSize, *, is_published: bool, slabs: bool) -> dict[str, AMI | RFN]:
    """Untrained networks of these sizes, by the prefix of their tensors."""
    sizes = ami.width, ami.growth, ami.layers, ami.blocks
    own = PublishedAMI(*sizes) if is_published else AMI(*sizes, ami.fold, slabs=slabs)
    return {"ami.": own, "rfn.": RFN(rfn)}


def _parse_calibration(metadata: dict[str, str], path: Path) -> Calibration | None:
    try:
        return Calibration.from_json(metadata[CALIBRATION_KEY]) if CALIBRATION_KEY in metadata else None
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def _networks(state: dict[str, Tensor], path: Path) -> tuple[AMI, RFN]:
    try:
        return build_networks(state)
    except (KeyError, IndexError, RuntimeError, ZeroDivisionError):
        baseline = find_architecture(state)
        if baseline is not None:
            raise WeightsError(
                f"{path} holds {baseline.title}, a network to compare SAINT with; `saint evaluate` scores it"
            ) from None
        raise WeightsError(f"{path} holds tensors, but not those of a SAINT model (ami.* and rfn.*)") from None
