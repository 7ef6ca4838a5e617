"""The table of baselines: how each is built at the paper's size or at a share of its width, and from a state dict."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from saint_cli.nets.baselines.heads import INPUTS, Baseline
from saint_cli.nets.baselines.mdcsrn import MDCSRN
from saint_cli.nets.baselines.mdsr import MDSR
from saint_cli.nets.baselines.meta_sr import MetaSR
from saint_cli.nets.baselines.rdn import RDN
from saint_cli.nets.blocks import TrunkSize

PAPER_FACTORS = (4, 6)
"""Factors that the paper trains on (Section 4)."""

FEWEST_CHANNELS = 2


@dataclass(frozen=True)
class Patching:
    """How a volume is cut for a 3-D network: blocks of ``side`` x ``side`` x ``depth`` voxels, margins included.

    depth: of acquired slices, None for all of them; margin: voxels on every side whose results are dropped.
    """

    side: int
    depth: int | None
    margin: int


@dataclass(frozen=True)
class Architecture:
    """One baseline.

    name: as options name it; title: as tables do; parameters: millions, by the paper's Tables 1 and 2;
    build: an untrained network from the share of the full width, and the factors that it gets heads for;
    rebuild: an untrained network of the sizes of a state dict; KeyError, IndexError, ValueError for any other network;
    one_factor: whether it is trained for one factor at a time; patching: of a 3-D network, None for a 2-D one.
    """

    name: str
    title: str
    parameters: float
    build: Callable[[float, Sequence[int]], Baseline]
    rebuild: Callable[[Mapping[str, Tensor]], Baseline]
    one_factor: bool = False
    patching: Patching | None = None

    @property
    def dims(self) -> int:
        """2 for a network of slices, 3 for one of blocks."""
        return 2 if self.patching is None else 3

    @property
    def default_factors(self) -> tuple[int, ...]:
        """The factors that it is trained for where none are given."""
        return PAPER_FACTORS[:1] if self.one_factor else PAPER_FACTORS


def scale(channels: int, share: float) -> int:
    """A number of channels at a share of the full width."""
    return max(FEWEST_CHANNELS, round(channels * share))


def _scale_trunk(share: float, dims: int, growth: int) -> TrunkSize:
    return TrunkSize(INPUTS[dims], scale(64, share), scale(growth, share), 8, 6, dims)


CUBES = Patching(64, 64, 3)
"""Of mDCSRN, by the paper (Section 4)."""

BLOCKS = Patching(192, None, 16)
"""Of the other 3-D networks; the paper ran these on the central 256 x 256 x Z voxels at once."""

ARCHITECTURES: dict[str, Architecture] = {
    one.name: one
    for one in (
        Architecture(
            "mdsr", "2D MDSR", 2.92, lambda s, f: MDSR(2, scale(64, s), 23, f), lambda t: MDSR.from_state(t, 2)
        ),
        Architecture(
            "rdn", "2D RDN", 2.77, lambda s, f: RDN(_scale_trunk(s, 2, 32), f), lambda t: RDN.from_state(t, 2), True
        ),
        Architecture(
            "meta-sr",
            "Meta-SR",
            2.81,
            lambda s, _: MetaSR(_scale_trunk(s, 2, 32), scale(256, s)),
            MetaSR.from_state,
        ),
        Architecture(
            "mdsr-3d",
            "3D MDSR",
            2.88,
            lambda s, f: MDSR(3, scale(32, s), 28, f),
            lambda t: MDSR.from_state(t, 3),
            patching=BLOCKS,
        ),
        Architecture(
            "mdcsrn", "mDCSRN", 2.98, lambda s, f: MDCSRN(scale(20, s), 8, 6, f), MDCSRN.from_state, True, CUBES
        ),
        Architecture(
            "rdn-3d",
            "3D RDN",
            2.88,
            lambda s, f: RDN(_scale_trunk(s, 3, 16), f),
            lambda t: RDN.from_state(t, 3),
            True,
            BLOCKS,
        ),
    )
}


def find_architecture(names: Iterable[str]) -> Architecture | None:
    """The baseline whose tensors have these names, ``ARCHITECTURE.*`` each; None for other networks."""
    prefixes = {name.partition(".")[0] for name in names}
    return ARCHITECTURES.get(prefixes.pop()) if len(prefixes) == 1 else None
