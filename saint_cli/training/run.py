"""One training run, from a folder of dense volumes to a weights file; everything it makes stays in one folder."""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from saint_cli.errors import UsageError, WeightsError
from saint_cli.io.path_identity import check_distinct, is_same_file
from saint_cli.models import weights
from saint_cli.nets import AMI, RFN
from saint_cli.progress import ProgressCallback
from saint_cli.runtime import device_selection
from saint_cli.runtime.version import __version__
from saint_cli.training import loop, parallel, stages
from saint_cli.training.dataset import FACTORS, AmiSampler, PatchSource
from saint_cli.training.fusion_blocks import MARGIN, FusionBlock, FusionSampler, make_block
from saint_cli.training.muon import Muon
from saint_cli.training.settings import SETTINGS, TrainingSettings, require_same_data, require_same_settings
from saint_cli.training.volumes import DenseVolume, load_dense_volumes, require_disjoint

MODEL = "model.safetensors"
DATA = "data.json"
VOLUMES = "volumes"

VALIDATION_BLOCKS = 4
"""Blocks of each validation volume that the RFN stage is scored on."""


@dataclass(frozen=True)
class TrainingPaths:
    """Training and validation volumes (folder or list), the run folder, and where memory-mapped copies are kept.

    cache: None for a folder in ``out``; runs may share one.
    """

    train: Path
    val: Path
    out: Path
    cache: Path | None = None


class TrainingData(NamedTuple):
    """Training and validation volumes."""

    train: list[DenseVolume]
    val: list[DenseVolume]


@dataclass(frozen=True)
class TrainingStage:
    """A network to train: where its training stands, what it minimises, and how the model file is written."""

    state: loop.TrainingState
    objective: loop.Objective
    save: Callable[[], None]


def train(
    settings: TrainingSettings, paths: TrainingPaths, *, resume: bool, on_progress: ProgressCallback
) -> Iterator[loop.StepResult]:
    """Run one stage, yielding after every step; ``out/model.safetensors`` is written at each validation and at the end.

    The RFN stage starts from the AMI of ``out/model.safetensors``. Several processes under torchrun share the work.

    Raises:
        UsageError: ``out`` holds a run already and ``resume`` is False, or none and it is True; no volumes; weights
            to start from that are of another size.
        WeightsError: the RFN stage finds no AMI; weights to start from or to imitate cannot be loaded.
    """
    _require_startable(settings, paths, resume=resume)
    with parallel.join_processes(settings.device) as process_group:
        run = _Run(settings, paths, process_group, resume, on_progress)
        data = run.load_data()
        description = run.describe(data)
        torch.manual_seed(settings.seed)
        stage = run.prepare_ami(data) if settings.stage == "ami" else run.prepare_rfn(data)
        run.write_description(description)
        yield from run.optimise(stage)


def _require_startable(settings: TrainingSettings, paths: TrainingPaths, *, resume: bool) -> None:
    folder = paths.out / settings.stage
    has_checkpoint = (folder / loop.CHECKPOINT).is_file()
    if has_checkpoint and not resume:
        raise UsageError(f"{folder} holds a run already; continue it with --resume, or choose another --out")
    if resume and not has_checkpoint:
        raise UsageError(f"{folder} holds no checkpoint to resume from; leave out --resume")
    if has_checkpoint:
        require_same_settings(settings, folder / SETTINGS)
    if settings.stage == "ami" and not resume:
        inputs = {"what --init names": settings.init, "what --teacher names": settings.teacher}
        output = paths.out / MODEL
        check_distinct([(str(output), output)], {Path(name): what for what, name in inputs.items() if name})
    if is_same_file(paths.train, paths.val):
        raise UsageError(f"{paths.val} is what is trained on; validate on volumes that are not")


@dataclass(frozen=True)
class _Run:
    """One stage in one process."""

    settings: TrainingSettings
    paths: TrainingPaths
    process_group: parallel.ProcessGroup
    resume: bool
    on_progress: ProgressCallback

    @property
    def folder(self) -> Path:
        return self.paths.out / self.settings.stage

    @property
    def model_file(self) -> Path:
        return self.paths.out / MODEL

    def load_data(self) -> TrainingData:
        """Both sets of volumes; the first process makes the memory-mapped copies while the others wait."""
        if not self.process_group.is_leader:
            parallel.wait_for_all()
        cache = self.paths.out / VOLUMES if self.paths.cache is None else self.paths.cache
        sources = (self.paths.train, self.paths.val)
        data = TrainingData(*(load_dense_volumes(source, cache, self.on_progress) for source in sources))
        if self.process_group.is_leader:
            parallel.wait_for_all()
        require_disjoint(data.train, data.val)
        stages.require_scorable(data.val)
        return data

    def describe(self, data: TrainingData) -> dict[str, Any]:
        """What the run is made of: volumes, versions, processes, weights it starts from or imitates."""
        volumes = {
            part: [{"path": v.source, "shape": v.voxels.shape, "spacing_mm": v.spacing_mm} for v in getattr(data, part)]
            for part in ("train", "val")
        }
        versions = {"saint": __version__, "torch": torch.__version__, "numpy": np.__version__}
        roles = {"init": self.settings.init, "teacher": self.settings.teacher}
        sha256 = {role: weights.load_model(name).sha256 for role, name in roles.items() if name is not None}
        processes = self.process_group.world_size
        description = {"versions": versions, "processes": processes, "weights_sha256": sha256, **volumes}
        if self.process_group.is_leader and (self.folder / DATA).is_file():
            require_same_data(description, self.folder / DATA)
        return description

    def write_description(self, description: dict[str, Any]) -> None:
        """Write down settings and data, once nothing can be refused any more."""
        if self.process_group.is_leader:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / SETTINGS).write_text(json.dumps(asdict(self.settings), indent=1))
            (self.folder / DATA).write_text(json.dumps(description, indent=1))

    def optimise(self, stage: TrainingStage) -> Iterator[loop.StepResult]:
        """Train, writing the model file at each validation and at the end."""
        compare = self.settings.init is not None
        for result in loop.run_loop(
            stage.state, stage.objective, self.settings.schedule, self.folder, self.process_group, baseline=compare
        ):
            if result.validation is not None:
                stage.save()
            yield result
        if self.process_group.is_leader:
            stage.save()

    def prepare_ami(self, data: TrainingData) -> TrainingStage:
        """AMI, new or from ``init``, with the RFN that the model file will hold beside it."""
        settings = self.settings
        start = None if settings.init is None else weights.load_model(settings.init)
        ami = settings.make_ami()
        if start is not None:
            _copy_weights(start.ami, ami, settings)
        teacher = None
        if settings.teacher is not None:
            teacher = copy.deepcopy(weights.load_model(settings.teacher).ami).to(self.process_group.device)
        rank = self.process_group.rank
        sampler = AmiSampler(data.train, settings.batch, settings.patch, settings.seed, rank, augment=settings.augment)
        state = self.make_state(ami)
        rfn = settings.make_rfn().eval()
        if self.resume and self.model_file.is_file():  # an RFN that was trained since stays
            rfn = weights.load_model(str(self.model_file)).rfn
        elif start is not None:
            rfn = start.rfn
        objective = loop.Objective(
            stages.make_ami_loss(sampler, teacher), lambda model: stages.validate_ami(_copy_to_cpu(model), data.val)
        )
        return TrainingStage(state, objective, lambda: _save_model(state.average, rfn, self.model_file))

    def prepare_rfn(self, data: TrainingData) -> TrainingStage:
        """RFN, new or from ``init``, on the AMI of the model file."""
        settings = self.settings
        if not self.model_file.is_file():
            raise WeightsError(f"{self.model_file} is missing; train the AMI stage into the same --out first")
        start = weights.load_model(str(self.model_file))
        rfn = settings.make_rfn()
        if settings.init is not None:
            _copy_weights(weights.load_model(settings.init).rfn, rfn, settings)
        rfn.fewest.fill_(settings.fewest)
        state = self.make_state(rfn)
        train_blocks, val_blocks = self.make_blocks(data, start.to(self.process_group.device).ami)
        seed = settings.seed + self.process_group.rank
        sampler = FusionSampler(train_blocks, settings.slices, settings.rfn_patch, seed, stacks=settings.dims == 3)
        objective = loop.Objective(
            stages.make_rfn_loss(sampler), lambda model: stages.validate_rfn(_copy_to_cpu(model), val_blocks)
        )
        return TrainingStage(state, objective, lambda: _save_model(start.ami, state.average, self.model_file))

    def make_blocks(self, data: TrainingData, ami: AMI) -> tuple[list[FusionBlock], list[FusionBlock]]:
        """What RFN is trained and validated on: blocks that the AMI has interpolated in both directions."""
        settings = self.settings
        precision = "bf16" if settings.schedule.bf16 else "fp32"
        compute = device_selection.select_compute(str(self.process_group.device), precision)
        side, acquired = settings.block
        if side - 2 * MARGIN < settings.rfn_patch:
            raise UsageError(f"blocks of {side} voxels are too small for patches of {settings.rfn_patch}")
        factors = tuple(factor for factor in FACTORS if factor > settings.fewest)
        if not factors:
            largest = max(FACTORS)
            raise UsageError(f"RFN from {settings.fewest} slices on has no factor to learn; the largest is {largest}")
        val_sources = [PatchSource([v], side, acquired, factors=factors) for v in data.val]  # refuses small ones first
        source = PatchSource(data.train, side, acquired, factors=factors)
        rng = np.random.default_rng((settings.seed, self.process_group.rank))
        train_blocks = []
        for i in range(settings.blocks):
            train_blocks.append(make_block(source, ami, compute, side, rng, augment=settings.augment))
            self.on_progress("blocks", i + 1, settings.blocks)
        rng = np.random.default_rng(settings.seed)
        val_blocks = [make_block(s, ami, compute, side, rng) for s in val_sources for _ in range(VALIDATION_BLOCKS)]
        return train_blocks, val_blocks

    def make_state(self, model: AMI | RFN) -> loop.TrainingState:
        """The network with its average and optimiser; as in the checkpoint where the run is resumed."""
        model = model.to(self.process_group.device)
        rate = self.settings.schedule.learning_rate
        # beta_1: the paper writes momentum 0.5, its released code 0.9
        if self.settings.optimiser == "adam":
            optimiser: torch.optim.Optimizer = torch.optim.Adam(model.parameters(), rate, betas=(0.9, 0.999))
        else:
            optimiser = Muon.for_model(model, rate)
        state = loop.TrainingState(model, copy.deepcopy(model), optimiser)
        if self.resume:
            state.load(self.folder)
        steps = self.settings.schedule.steps
        if steps < state.step:
            raise UsageError(f"the run has taken {state.step} steps already, more than --steps {steps}")
        return state


def _copy_weights(start: nn.Module, model: nn.Module, settings: TrainingSettings) -> None:
    """Take over the weights that a run starts from."""
    try:
        model.load_state_dict(start.state_dict())
    except RuntimeError:
        what = f"{settings.stage.upper()} weights of another size than --size {settings.size}"
        raise UsageError(f"{settings.init} holds {what}; name their size") from None


def _copy_to_cpu(model: nn.Module) -> nn.Module:
    return model if next(model.parameters()).device.type == "cpu" else copy.deepcopy(model).cpu()


def _save_model(ami: nn.Module, rfn: nn.Module, path: Path) -> None:
    assert isinstance(ami, AMI)
    assert isinstance(rfn, RFN)
    weights.save_model(ami, rfn, path)
