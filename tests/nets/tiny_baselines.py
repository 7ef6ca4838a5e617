"""The paper's baselines, small enough to run in milliseconds."""

from collections.abc import Callable

import torch

from saint_cli.models.baseline_weights import BaselineModel
from saint_cli.nets.baselines import ARCHITECTURES, Baseline
from saint_cli.nets.baselines.mdcsrn import MDCSRN
from saint_cli.nets.baselines.mdsr import MDSR
from saint_cli.nets.baselines.meta_sr import MetaSR
from saint_cli.nets.baselines.rdn import RDN
from saint_cli.nets.blocks import TrunkSize

BUILDERS: dict[str, Callable[[], Baseline]] = {
    "mdsr": lambda: MDSR(2, 8, 1, (4, 6)),
    "rdn": lambda: RDN(TrunkSize(3, 8, 4, 2, 2), (4,)),
    "meta-sr": lambda: MetaSR(TrunkSize(3, 8, 4, 2, 2), 16),
    "mdsr-3d": lambda: MDSR(3, 4, 1, (4, 6)),
    "mdcsrn": lambda: MDCSRN(4, 2, 2, (4,)),
    "rdn-3d": lambda: RDN(TrunkSize(1, 8, 4, 2, 2, 3), (4,)),
}
NAMES = tuple(BUILDERS)


def build(name: str, seed: int = 0) -> Baseline:
    """An untrained network, ready for inference."""
    torch.manual_seed(seed)
    return BUILDERS[name]().eval()


def model(name: str) -> BaselineModel:
    """The same as a model."""
    return BaselineModel(build(name), ARCHITECTURES[name], name, "0" * 64)


def random_input(name: str, batch: int = 1, side: int = 9, acquired: int = 5) -> torch.Tensor:
    """Slices between their neighbours, or blocks, in network range."""
    shape = (batch, 3, side, acquired) if ARCHITECTURES[name].dims == 2 else (batch, 1, side, side - 2, acquired)
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2
