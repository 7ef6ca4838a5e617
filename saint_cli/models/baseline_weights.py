"""Weights files of the paper's baselines: load with architecture and sizes deduced from the tensors, save.

The tensors of a network are named ``ARCHITECTURE.*``, such as ``rdn.heads.4.output.weight``.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from saint_cli.errors import WeightsError
from saint_cli.models.shipped import RUN_MODEL, find_weights
from saint_cli.models.tensor_files import TensorFile, read_tensors, to_half, write_tensors
from saint_cli.models.weights import SaintModel, load_model
from saint_cli.nets.baselines import Architecture, Baseline, find_architecture

MAX_TENSORS, MAX_SIDE = 2000, 4096
"""Of a file; the full-width networks have below 300 tensors, no side of which is above 1,500."""


@dataclass(frozen=True)
class BaselineModel:
    """A baseline, ready for inference, and its file; name: of the file, or of the folder of its run."""

    network: Baseline = field(repr=False)
    architecture: Architecture
    name: str
    sha256: str

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(p.numel() for p in self.network.parameters())

    def to(self, device: torch.device) -> "BaselineModel":
        """The model with its network on a device, copied unless that is the CPU."""
        if device.type == "cpu":
            return self
        return replace(self, network=copy.deepcopy(self.network).to(device))


def load_any_model(name_or_path: str) -> SaintModel | BaselineModel:
    """A model as ``load_model`` does it, or a baseline's weights file; either also by the folder of its training run.

    On the CPU, in evaluation mode, float32.

    Raises:
        WeightsError: no such model or file; damaged; neither SAINT nor a baseline.
    """
    path = find_weights(name_or_path)
    found = read_tensors(path)
    architecture = find_architecture(found.state)
    return load_model(name_or_path) if architecture is None else _make_model(found, architecture, path)


def save_baseline(network: nn.Module, architecture: Architecture, path: Path) -> str:
    """Write a baseline as half-precision safetensors, replacing an existing file; returns the file's sha256."""
    return write_tensors(to_half(list_tensors(network), f"{architecture.name}."), {}, path)


def list_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Weights, and means and variances of batch normalisation; not how many batches these are of, which is unused."""
    return {name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}


def _make_model(found: TensorFile, architecture: Architecture, path: Path) -> BaselineModel:
    try:
        network = _build(found.state, architecture)
    except (KeyError, IndexError, ValueError, RuntimeError, ZeroDivisionError):
        raise WeightsError(f"{path} holds tensors named {architecture.name}.*, but not those of that network") from None
    found.require_finite(path)
    name = path.parent.name if path.name == RUN_MODEL else path.stem
    return BaselineModel(network.eval(), architecture, name, found.sha256)


def _build(named: Mapping[str, Tensor], architecture: Architecture) -> Baseline:
    """The network of these tensors; no memory is allocated before names and shapes are checked."""
    state = {name.partition(".")[2]: tensor.float() for name, tensor in named.items()}
    if len(state) > MAX_TENSORS or any(max(t.shape, default=1) > MAX_SIDE for t in state.values()):
        raise IndexError("sizes of tensors")
    with torch.device("meta"):
        wanted = list_tensors(architecture.rebuild(state))
    if {n: t.shape for n, t in wanted.items()} != {n: t.shape for n, t in state.items()}:
        raise KeyError("names or shapes of tensors")
    network = architecture.rebuild(state)
    network.load_state_dict(state, strict=False)
    return network
