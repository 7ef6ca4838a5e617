"""One training run, from a folder of dense volumes to a weights file; everything it makes stays in one folder."""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from saint_cli import __version__, compute, weights
from saint_cli.choices import Report
from saint_cli.errors import UnreadableError, UsageError, WeightsError
from saint_cli.io.places import check_distinct, is_same_file
from saint_cli.nets import AMI, RFN
from saint_cli.nets.blocks import TrunkSize
from saint_cli.nets.rfn import PAIR, WITH_CONTEXT
from saint_cli.training import loop, parallel, stages
from saint_cli.training.dataset import FACTORS, AmiSampler, PatchSource
from saint_cli.training.fusion import MARGIN, Block, FusionSampler, make_block
from saint_cli.training.optimise import Muon
from saint_cli.training.volumes import DenseVolume, load_dense, require_apart

AMI_SIZES = {"base": (64, 32, 8, 6), "fast": (32, 16, 4, 2)}
"""width G0, growth, layers per block, blocks: the paper's, and one with 1/29 of its multiply-adds."""

RFN_SIZES = {"base": (32, 16, 4, 3), "fast": (12, 8, 4, 1)}

STEPS = 20_000
"""Of a schedule where none are told."""

MODEL = "model.safetensors"
SETTINGS = "settings.json"
DATA = "data.json"
VOLUMES = "volumes"
FREE_TO_CHANGE = ("schedule", "device")
"""Settings that a resumed run may change: train longer, at another rate, or elsewhere."""

VALIDATION_BLOCKS = 4
"""Blocks of each validation volume that the RFN stage is scored on."""


@dataclass(frozen=True)
class Settings:
    """All that a run depends on besides its data; kept as ``settings.json`` in the run folder.

    stage: ``ami`` or ``rfn``. size: ``base`` or ``fast``. patch: in-plane voxels and acquired slices of AMI patches.
    slices, rfn_patch: axial slices per RFN batch and their side. blocks, block: how many blocks RFN learns from, and
    their in-plane voxels and acquired slices. context: RFN sees the acquired neighbours. dims: 3 for the 3-D RFN.
    fewest: synthesised slices between two acquired ones from which on RFN is trained and used.
    optimiser: ``muon`` or ``adam``, the paper's. augment: vary patches and blocks (``augment``). init: weights to
    start from; teacher: weights to imitate as well. device: as ``--device`` names it; a run may be resumed on another.
    """

    stage: str
    size: str
    schedule: loop.Schedule
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
    optimiser: str = "muon"
    augment: bool = True
    init: str | None = None
    teacher: str | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Places:
    """Training and validation volumes (folder or list), the run folder, and where memory-mapped copies are kept."""

    train: Path
    val: Path
    out: Path
    cache: Path

    @classmethod
    def of(cls, train: Path, val: Path, out: Path, cache: Path | None = None) -> "Places":
        """Copies lie in the run folder unless runs share them."""
        return cls(train, val, out, out / VOLUMES if cache is None else cache)


@dataclass(frozen=True)
class Data:
    """Training and validation volumes."""

    train: list[DenseVolume]
    val: list[DenseVolume]


def train(settings: Settings, places: Places, *, resume: bool, say: Report) -> Iterator[loop.Progress]:
    """Run one stage, yielding after every step; ``out/model.safetensors`` is written at each validation and at the end.

    The RFN stage starts from the AMI of ``out/model.safetensors``. Several processes under torchrun share the work.

    Raises:
        UsageError: ``out`` holds a run already and ``resume`` is False, or none and it is True; no volumes; weights
            to start from that are of another size.
        WeightsError: the RFN stage finds no AMI; weights to start from or to imitate cannot be loaded.
    """
    folder = places.out / settings.stage
    begun = (folder / loop.CHECKPOINT).is_file()
    if begun and not resume:
        raise UsageError(f"{folder} holds a run already; continue it with --resume, or choose another --out")
    if resume and not begun:
        raise UsageError(f"{folder} holds no checkpoint to resume from; leave out --resume")
    if begun:
        _require_same(settings, folder / SETTINGS)
    if settings.stage == "ami" and not resume:
        read = {"what --init names": settings.init, "what --teacher names": settings.teacher}
        written = places.out / MODEL
        check_distinct([(str(written), written)], {Path(name): what for what, name in read.items() if name})
    if is_same_file(places.train, places.val):
        raise UsageError(f"{places.val} is what is trained on; validate on volumes that are not")
    with parallel.join(settings.device) as ranks:
        yield from _Run(settings, places, ranks).steps(resume, say)


def kept_schedule(out: Path, stage: str) -> loop.Schedule:
    """The schedule of the run in ``out``, for one that is to be resumed as it was.

    Raises:
        UnreadableError: its settings are missing or damaged.
    """
    return loop.Schedule(**_kept(out / stage / SETTINGS)["schedule"])


def fewest_of(init: str | None) -> int:
    """From how many synthesised slices on the RFN of ``init`` is used; 1 without one."""
    return 1 if init is None else int(weights.load_model(init).rfn.fewest)


class _Run:
    """One stage in one process."""

    def __init__(self, settings: Settings, places: Places, ranks: parallel.Ranks) -> None:
        self.settings, self.places, self.ranks = settings, places, ranks
        self.folder = places.out / settings.stage
        self.model_file = places.out / MODEL
        self._made_of: dict[str, Any] = {}

    def steps(self, resume: bool, say: Report) -> Iterator[loop.Progress]:
        """Load the data, then train."""
        settings, places = self.settings, self.places
        if not self.ranks.leads:
            parallel.everyone_waits()  # until the first has made the memory-mapped copies
        data = Data(load_dense(places.train, places.cache, say), load_dense(places.val, places.cache, say))
        if self.ranks.leads:
            parallel.everyone_waits()
        require_apart(data.train, data.val)
        stages.require_scorable(data.val)
        self._made_of = self._about(data)
        if self.ranks.leads and (self.folder / DATA).is_file():
            _require_same_data(self.folder / DATA, self._made_of)
        torch.manual_seed(settings.seed)
        yield from (self._ami if settings.stage == "ami" else self._rfn)(data, resume, say)

    def _about(self, data: Data) -> dict[str, Any]:
        """What the run is made of: volumes, versions, processes, weights it starts from or imitates."""
        volumes = {
            part: [{"path": v.source, "shape": v.voxels.shape, "spacing_mm": v.spacing_mm} for v in some]
            for part, some in (("train", data.train), ("val", data.val))
        }
        versions = {"saint": __version__, "torch": torch.__version__, "numpy": np.__version__}
        chosen = {"init": self.settings.init, "teacher": self.settings.teacher}
        used = {role: weights.load_model(word).sha256 for role, word in chosen.items() if word is not None}
        return {"versions": versions, "processes": self.ranks.world, "weights_sha256": used, **volumes}

    def _describe(self) -> None:
        """Write down settings and data, once nothing can be refused any more."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / SETTINGS).write_text(json.dumps(asdict(self.settings), indent=1))
        (self.folder / DATA).write_text(json.dumps(self._made_of, indent=1))

    def _ami(self, data: Data, resume: bool, say: Report) -> Iterator[loop.Progress]:
        settings = self.settings
        begin = None if settings.init is None else weights.load_model(settings.init)
        ami = AMI(*AMI_SIZES[settings.size])
        if begin is not None:
            _copy(begin.ami, ami, settings)
        teacher = None
        if settings.teacher is not None:
            teacher = copy.deepcopy(weights.load_model(settings.teacher).ami).to(self.ranks.device)
        sampler = AmiSampler(
            data.train, settings.batch, settings.patch, settings.seed, self.ranks.rank, augment=settings.augment
        )
        state = self._state(ami, resume)

        def validate(model: nn.Module) -> dict[str, float]:
            return stages.validate_ami(_on_cpu(model), data.val)

        kept = resume and self.model_file.is_file()  # an RFN that was trained since stays
        rfn = RFN(_rfn_size(settings)).eval()
        if kept or begin is not None:
            rfn = weights.load_model(str(self.model_file) if kept else str(settings.init)).rfn
        for progress in self._loop(state, stages.ami_loss(sampler, teacher), validate):
            if progress.validation is not None:
                _export(state.average, rfn, self.model_file)
            yield progress
        if self.ranks.leads:
            _export(state.average, rfn, self.model_file)

    def _rfn(self, data: Data, resume: bool, say: Report) -> Iterator[loop.Progress]:
        settings = self.settings
        if not self.model_file.is_file():
            raise WeightsError(f"{self.model_file} is missing; train the AMI stage into the same --out first")
        begin = weights.load_model(str(self.model_file))
        rfn = RFN(_rfn_size(settings), settings.fewest)
        if settings.init is not None:
            _copy(weights.load_model(settings.init).rfn, rfn, settings)
            rfn.fewest.fill_(settings.fewest)
        state = self._state(rfn, resume)
        train, held = self._blocks(data, begin.to(self.ranks.device).ami, say)
        sampler = FusionSampler(
            train, settings.slices, settings.rfn_patch, settings.seed + self.ranks.rank, stacks=settings.dims == 3
        )

        def validate(model: nn.Module) -> dict[str, float]:
            return stages.validate_rfn(_on_cpu(model), held)

        for progress in self._loop(state, stages.rfn_loss(sampler), validate):
            if progress.validation is not None:
                _export(begin.ami, state.average, self.model_file)
            yield progress
        if self.ranks.leads:
            _export(begin.ami, state.average, self.model_file)

    def _blocks(self, data: Data, ami: AMI, say: Report) -> tuple[list[Block], list[Block]]:
        """What RFN learns from and is validated on: blocks that the AMI has interpolated in both directions."""
        settings = self.settings
        machine = compute.choose(str(self.ranks.device), "bf16" if settings.schedule.bf16 else "fp32")
        side, acquired = settings.block
        if side - 2 * MARGIN < settings.rfn_patch:
            raise UsageError(f"blocks of {side} voxels leave no room for patches of {settings.rfn_patch}")
        factors = tuple(factor for factor in FACTORS if factor > settings.fewest)
        if not factors:
            raise UsageError(
                f"RFN from {settings.fewest} slices on has no factor to learn; the largest is {max(FACTORS)}"
            )
        held_back = [PatchSource([v], side, acquired, factors=factors) for v in data.val]  # large enough? asked first
        source = PatchSource(data.train, side, acquired, factors=factors)
        rng = np.random.default_rng((settings.seed, self.ranks.rank))
        blocks = []
        for i in range(settings.blocks):
            blocks.append(make_block(source, ami, machine, side, rng, augment=settings.augment))
            say("blocks", i + 1, settings.blocks)
        rng = np.random.default_rng(settings.seed)
        return blocks, [make_block(s, ami, machine, side, rng) for s in held_back for _ in range(VALIDATION_BLOCKS)]

    def _state(self, model: AMI | RFN, resume: bool) -> loop.State:
        model = model.to(self.ranks.device)
        rate = self.settings.schedule.learning_rate
        # beta_1: the paper writes momentum 0.5, its released code 0.9
        adam = self.settings.optimiser == "adam"
        optimiser = torch.optim.Adam(model.parameters(), rate, betas=(0.9, 0.999)) if adam else Muon.of(model, rate)
        state = loop.State(model, copy.deepcopy(model), optimiser)
        if resume:
            state.load(self.folder)
        steps = self.settings.schedule.steps
        if steps < state.step:
            raise UsageError(f"the run has taken {state.step} steps already, more than --steps {steps}")
        return state

    def _loop(
        self, state: loop.State, loss: loop.LossAt, validate: Callable[[nn.Module], dict[str, float]]
    ) -> Iterator[loop.Progress]:
        if self.ranks.leads:
            self._describe()
        compare = self.settings.init is not None
        return loop.run(state, loss, validate, self.settings.schedule, self.folder, self.ranks, baseline=compare)


def _copy(start: nn.Module, model: nn.Module, settings: Settings) -> None:
    """Take over the weights that a run starts from."""
    try:
        model.load_state_dict(start.state_dict())
    except RuntimeError:
        stage, size = settings.stage.upper(), settings.size
        raise UsageError(
            f"{settings.init} holds {stage} weights of another size than --size {size}; name their size"
        ) from None


def _require_same(settings: Settings, path: Path) -> None:
    """Refuse to resume with other settings than a run was begun with."""
    before = _kept(path)
    if "fewest" not in before:  # settings that were written before there was a choice
        before["fewest"] = Settings.fewest
    for name, now in json.loads(json.dumps(asdict(settings))).items():
        if name not in FREE_TO_CHANGE and before.get(name) != now:
            raise UsageError(f"the run was begun with {name} {before.get(name)}, not {now}; resume it as it was")


def _kept(path: Path) -> dict[str, Any]:
    """The settings of an earlier start."""
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        kept = None
    if not isinstance(kept, dict):
        raise UnreadableError(f"{path} is missing or damaged; the run cannot be resumed")
    return kept


def _require_same_data(path: Path, about: dict[str, Any]) -> None:
    """Refuse to resume with other volumes or weights than a run was begun with; volumes may have moved."""
    before, now = _kept(path), json.loads(json.dumps(about))
    for part in ("train", "val"):
        try:
            shapes = [[(v["shape"], v["spacing_mm"]) for v in which[part]] for which in (before, now)]
        except (KeyError, TypeError):
            raise UnreadableError(f"{path} is damaged; the run cannot be resumed") from None
        if shapes[0] != shapes[1]:
            raise UsageError(f"the run was begun with other {part} volumes ({path} lists them); resume it with those")
    if before.get("weights_sha256") != now["weights_sha256"]:
        raise UsageError("the run was begun with other --init or --teacher weights; resume it with those")


def _on_cpu(model: nn.Module) -> nn.Module:
    return model if next(model.parameters()).device.type == "cpu" else copy.deepcopy(model).cpu()


def _rfn_size(settings: Settings) -> TrunkSize:
    inputs = WITH_CONTEXT if settings.context else PAIR
    return replace(TrunkSize(inputs, *RFN_SIZES[settings.size]), dims=settings.dims)


def _export(ami: nn.Module, rfn: nn.Module, path: Path) -> None:
    assert isinstance(ami, AMI)
    assert isinstance(rfn, RFN)
    weights.save_model(ami, rfn, path)
