"""What a training run depends on besides its data, and which of it a resumed run may change."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from saint_cli.errors import UnreadableError, UsageError
from saint_cli.models import weights
from saint_cli.nets import AMI, RFN
from saint_cli.nets.baselines import ARCHITECTURES, PublishedAMI
from saint_cli.nets.baselines.architectures import PAPER_FACTORS, scale
from saint_cli.nets.blocks import TrunkSize
from saint_cli.nets.rfn import INPUTS_WITH_CONTEXT, INPUTS_WITHOUT_CONTEXT
from saint_cli.training.loop import Schedule
from saint_cli.training.patch_places import Variation

AMI_SIZES = {"base": (64, 32, 8, 6), "medium": (64, 32, 4, 2, 2), "fast": (32, 16, 4, 2)}
"""width G0, growth, layers per block, blocks, fold. base: the paper's; medium: ``fast`` folded by 2; fast: 1/29 of
base's multiply-adds."""

RFN_SIZES = {"base": (32, 16, 4, 3), "medium": (12, 8, 4, 1), "fast": (12, 8, 4, 1)}

DEFAULT_STEPS = 20_000

OWN, PUBLISHED = "saint", "published"
"""Architectures of AMI and RFN: as saint ships them, and as the paper publishes them."""

BATCH_OF_BLOCKS = 2

SETTINGS = "settings.json"
CHANGEABLE_SETTINGS = ("schedule", "device")
"""Settings that a resumed run may change: train longer, at another rate, or elsewhere."""

OPTIONS = {"dims": "rfn-dims", "fewest": "rfn-fewest", "slabs": "slab", "frozen": "freeze"}
"""Options of ``saint train`` that are not called as their setting."""

OPPOSITES = {"augment": "no-augment", "context": "no-rfn-context"}
"""Options that switch their setting off."""

ADDED_SETTINGS = ("fewest", "arch", "width", "factors", "cube", "modality", "slabs", "frozen")
"""Missing in settings that were written before these existed."""


@dataclass(frozen=True)
class TrainingSettings:
    """All that a run depends on besides its data; kept as ``settings.json`` in the run folder.

    stage: ``ami``, ``rfn`` or ``joint``. size: of ``AMI_SIZES``. patch: in-plane voxels and acquired slices of AMI's
    patches. slices, rfn_patch: axial slices per RFN batch and their side. blocks, block: how many blocks RFN learns
    from, and their in-plane voxels and acquired slices. context: RFN gets the acquired neighbours too. dims: 3 for the
    3-D RFN.
    fewest: RFN is trained and used where at least so many slices are synthesised per gap.
    frozen: how many of AMI's first residual dense blocks the joint stage leaves as they are, with the layers before
    them; 0 trains those layers too.
    optimiser: ``muon`` or ``adam``, the paper's. modality: what the weights are for, ``ct`` or ``mr``; augment: vary
    patches and blocks as it varies (``augment``, ``mr_augment``). init: weights to start from; teacher: weights to
    imitate as well. device: as ``--device`` names it.
    arch: ``OWN``, ``PUBLISHED``, or one of ``nets.baselines.ARCHITECTURES``, whose name is the stage then; width: share
    of the full width of all its layers. factors: that a network other than saint's own is trained for; slabs: learn to
    make thin slices of slabs (``slab_patches``). batch: also of the blocks of a 3-D network; cube: their in-plane
    voxels and acquired slices.
    """

    stage: str
    size: str
    schedule: Schedule
    seed: int = 0
    batch: int = 6
    patch: tuple[int, int] = (48, 12)
    slices: int = 16
    rfn_patch: int = 48
    blocks: int = 120
    block: tuple[int, int] = (96, 7)
    context: bool = True
    dims: int = 2
    fewest: int = 1
    frozen: int = 0
    optimiser: str = "muon"
    augment: bool = True
    init: str | None = None
    teacher: str | None = None
    device: str = "cpu"
    arch: str = OWN
    width: float = 1.0
    factors: tuple[int, ...] = ()
    slabs: bool = False
    cube: tuple[int, int] = (24, 8)
    modality: str = "ct"

    @property
    def variation(self) -> Variation:
        """How patches and blocks are varied."""
        return Variation(self.modality) if self.augment else Variation.NONE

    def make_ami(self) -> AMI:
        """An untrained AMI."""
        width, growth, *depth = AMI_SIZES[self.size]
        sizes = (scale(width, self.width), scale(growth, self.width), *depth)
        return PublishedAMI(*sizes) if self.arch == PUBLISHED else AMI(*sizes, slabs=self.slabs)

    def make_rfn(self) -> RFN:
        """An untrained RFN."""
        inputs = INPUTS_WITH_CONTEXT if self.context else INPUTS_WITHOUT_CONTEXT
        width, growth, layers, blocks = RFN_SIZES[self.size]
        size = TrunkSize(inputs, scale(width, self.width), scale(growth, self.width), layers, blocks, self.dims)
        return RFN(size, self.fewest)


def choose_factors(arch: str, factors: tuple[int, ...] | None) -> tuple[int, ...]:
    """The factors that a network other than saint's own learns: those that are given, else the paper's.

    Raises:
        UsageError: several, for a network that learns one.
    """
    if arch == PUBLISHED:
        return factors or PAPER_FACTORS
    architecture = ARCHITECTURES[arch]
    factors = factors or architecture.default_factors
    if architecture.one_factor and len(factors) > 1:
        listed = ",".join(map(str, factors))
        raise UsageError(f"`arch={arch}` learns one factor; train it once for each of {listed}")
    return factors


def choose_batch(arch: str, stage: str) -> int:
    """Patches of a step where no number is given; blocks of 3-D networks and of the joint stage hold more voxels."""
    has_blocks = stage == "joint" or (arch in ARCHITECTURES and ARCHITECTURES[arch].dims == 3)
    return BATCH_OF_BLOCKS if has_blocks else TrainingSettings.batch


def require_kind(ami: AMI, name: str, *, slabs: bool) -> None:
    """Refuse weights for slabs where thin slices are learnt from single ones.

    Raises:
        UsageError: naming the weights.
    """
    if ami.slabs and not slabs:
        raise UsageError(f"{name} holds weights for slabs, which only `saint train --slab` trains on; give other ones")


def load_schedule(out: Path, stage: str) -> Schedule:
    """The schedule of the run in ``out``, for one that is resumed as it was.

    Raises:
        UnreadableError: its settings are missing or damaged.
    """
    return Schedule(**_load_json(out / stage / SETTINGS)["schedule"])


def read_fewest(init: str | None) -> int:
    """From how many synthesised slices per gap on the RFN of ``init`` is used; 1 without one."""
    return 1 if init is None else int(weights.load_model(init).rfn.fewest)


def require_same_settings(settings: TrainingSettings, path: Path) -> None:
    """Refuse to resume a run with other settings than those in ``path``.

    Raises:
        UsageError: naming the setting and both values.
        UnreadableError: the file is missing or damaged.
    """
    before = _load_json(path)
    for name in ADDED_SETTINGS:
        before.setdefault(name, json.loads(json.dumps(getattr(TrainingSettings, name))))
    for name, now in json.loads(json.dumps(asdict(settings))).items():
        if name not in CHANGEABLE_SETTINGS and before.get(name) != now:
            was, is_now = (_name_option(name, value) for value in (before.get(name), now))
            raise UsageError(f"the run was begun {was}, not {is_now}; resume it as it was")


def _name_option(setting: str, value: Any) -> str:
    """``with --batch 6``, ``with --slab``, or ``without --init``."""
    if setting in OPPOSITES:
        setting, value = OPPOSITES[setting], not value
    option = f"--{OPTIONS.get(setting, setting)}"
    if value is None or value is False or value == []:
        return f"without {option}"
    if value is True:
        return f"with {option}"
    return f"with {option} {','.join(map(str, value)) if isinstance(value, list) else value}"


def require_same_data(data: dict[str, Any], path: Path) -> None:
    """Refuse to resume a run with other volumes or weights than those in ``path``; volumes may have moved.

    Raises:
        UsageError: they differ.
        UnreadableError: the file is missing or damaged.
    """
    before, now = _load_json(path), json.loads(json.dumps(data))
    for part in ("train", "val"):
        try:
            shapes = [[(v["shape"], v["spacing_mm"]) for v in which[part]] for which in (before, now)]
        except (KeyError, TypeError):
            raise UnreadableError(f"{path} is damaged; the run cannot be resumed") from None
        if shapes[0] != shapes[1]:
            raise UsageError(f"the run was begun with other {part} volumes ({path} lists them); resume it with those")
    if before.get("weights_sha256") != now["weights_sha256"]:
        raise UsageError("the run was begun with other --init or --teacher weights; resume it with those")


def _load_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UnreadableError(f"{path} is missing or damaged; the run cannot be resumed")
    return content
