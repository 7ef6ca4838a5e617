"""One training run, from a folder of dense volumes to a weights file; everything it makes stays in one folder."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from saint_cli.errors import UsageError, WeightsError
from saint_cli.io.path_identity import check_distinct, is_same_file
from saint_cli.models import weights
from saint_cli.models.baseline_weights import save_baseline
from saint_cli.models.shipped import RUN_MODEL, find_weights
from saint_cli.nets import AMI, RFN
from saint_cli.nets.baselines import ARCHITECTURES
from saint_cli.progress import ProgressCallback
from saint_cli.runtime.version import __version__
from saint_cli.training import joint, loop, objectives, parallel, stages
from saint_cli.training.dense_volume import TrainingData, place_volumes
from saint_cli.training.fusion_blocks import make_blocks
from saint_cli.training.fusion_sampler import FusionSampler
from saint_cli.training.initial_weights import copy_weights
from saint_cli.training.journal import write_json
from saint_cli.training.muon import Muon
from saint_cli.training.settings import (
    PUBLISHED,
    SETTINGS,
    TrainingSettings,
    load_schedule,
    require_kind,
    require_same_data,
    require_same_settings,
)
from saint_cli.training.volumes import discard_copies, load_dense_volumes, require_disjoint

MODEL, DATA = RUN_MODEL, "data.json"
VOLUMES = "volumes"

SHORTEST_EXCESS = 1e-9
"""Share of the time used; less is rounding."""


@dataclass(frozen=True)
class TrainingPaths:
    """Training and validation volumes (folder or list), the run folder, and where memory-mapped copies are kept.

    cache: None for a folder in ``out``; runs may share one.
    """

    train: Path
    val: Path
    out: Path
    cache: Path | None = None


@dataclass(frozen=True)
class TrainingStage:
    """A network to train: where its training stands, what it minimises, and how the model file is written."""

    state: loop.TrainingState
    objective: loop.Objective
    save: Callable[[], object]


def train(
    settings: TrainingSettings,
    paths: TrainingPaths,
    *,
    resume: bool,
    on_progress: ProgressCallback,
    on_note: Callable[[str], None] = lambda note: None,
) -> Iterator[loop.StepResult]:
    """Run one stage, yielding after every step; ``out/model.safetensors`` is written with every checkpoint.

    The RFN stage starts from the AMI of ``out/model.safetensors``. on_note: is told what makes training slower.
    Several processes under torchrun share the work.

    Raises:
        UsageError: ``out`` holds a run already and ``resume`` is False, or none and it is True; no volumes; weights
            to start from that are of another size.
        WeightsError: the RFN stage finds no AMI; weights to start from or to imitate cannot be loaded.
    """
    _require_startable(settings, paths.out, resume=resume)
    if is_same_file(paths.train, paths.val):
        raise UsageError(f"{paths.val} is what is trained on; validate on volumes that are not")
    began = paths.out / settings.stage / SETTINGS
    with parallel.join_processes(settings.device) as group, discard_copies(paths.out / VOLUMES, began, group):
        data = _load_data(paths, group, on_progress)
        yield from _Run(settings, paths.out, group, resume, on_progress, on_note).train(data)


def train_on(
    settings: TrainingSettings,
    data: TrainingData,
    out: Path,
    *,
    resume: bool,
    on_progress: ProgressCallback,
    on_note: Callable[[str], None] = lambda note: None,
) -> Iterator[loop.StepResult]:
    """As ``train``, on volumes that are at hand, in one process. Needs torch, numpy and safetensors alone."""
    _require_startable(settings, out, resume=resume)
    with parallel.join_processes(settings.device) as process_group:
        yield from _Run(settings, out, process_group, resume, on_progress, on_note).train(data)


def _require_startable(settings: TrainingSettings, out: Path, *, resume: bool) -> None:
    folder = out / settings.stage
    has_checkpoint = (folder / loop.CHECKPOINT).is_file()
    if has_checkpoint and not resume:
        raise UsageError(f"{folder} holds a run already; continue it with --resume, or choose another --out")
    if resume and not has_checkpoint:
        raise UsageError(f"{folder} holds no checkpoint to resume from; leave out --resume")
    if has_checkpoint:
        require_same_settings(settings, folder / SETTINGS)
    if settings.stage != "rfn" and not resume:
        inputs = {"what --init names": settings.init, "what --teacher names": settings.teacher}
        output = out / MODEL
        check_distinct([(str(output), output)], {find_weights(name): what for what, name in inputs.items() if name})


def _load_data(
    paths: TrainingPaths, process_group: parallel.ProcessGroup, on_progress: ProgressCallback
) -> TrainingData:
    """Both sets of volumes; the first process makes the memory-mapped copies while the others wait."""
    if not process_group.is_leader:
        parallel.wait_for_all()
    cache = paths.out / VOLUMES if paths.cache is None else paths.cache
    data = TrainingData(*(load_dense_volumes(source, cache, on_progress) for source in (paths.train, paths.val)))
    if process_group.is_leader:
        parallel.wait_for_all()
    return data


@dataclass(frozen=True)
class _Run:
    """One stage in one process."""

    settings: TrainingSettings
    out: Path
    process_group: parallel.ProcessGroup
    resume: bool
    on_progress: ProgressCallback
    on_note: Callable[[str], None]

    def train(self, data: TrainingData) -> Iterator[loop.StepResult]:
        """The whole stage."""
        require_disjoint(data.train, data.val)
        stages.require_scorable(data.val, slabs=self.settings.slabs)
        description = self.describe(data)
        torch.manual_seed(self.settings.seed)
        known = {"ami": self.prepare_ami, "rfn": self.prepare_rfn, "joint": self.prepare_joint}
        stage = known.get(self.settings.stage, self.prepare_baseline)(data)
        self.write_description(description)
        yield from self.optimise(stage)

    @property
    def folder(self) -> Path:
        return self.out / self.settings.stage

    @property
    def model_file(self) -> Path:
        return self.out / MODEL

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
            write_json(asdict(self.settings), self.folder / SETTINGS)
            write_json(description, self.folder / DATA)

    def optimise(self, stage: TrainingStage) -> Iterator[loop.StepResult]:
        """Train, writing the model file with every checkpoint and at the end."""
        compare = self.settings.init is not None
        for result in loop.run_loop(
            stage.state, stage.objective, self.settings.schedule, self.folder, self.process_group, baseline=compare
        ):
            if result.is_saved:
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
            copy_weights(start.ami, ami, settings)
        group = self.process_group
        objective = objectives.make_ami_objective(settings, self.place_volumes(data), group.rank, group.device)
        state = self.make_state(ami)
        rfn = settings.make_rfn().eval()
        if self.resume and self.model_file.is_file():  # an RFN that was trained since stays
            rfn = weights.load_model(str(self.model_file)).rfn
        elif start is not None:
            rfn = start.rfn
        return TrainingStage(state, objective, lambda: _save_model(state.average, rfn, self.model_file))

    def prepare_baseline(self, data: TrainingData) -> TrainingStage:
        """One of the paper's baselines."""
        settings, architecture = self.settings, ARCHITECTURES[self.settings.arch]
        objective = objectives.make_baseline_objective(settings, self.place_volumes(data), self.process_group.rank)
        state = self.make_state(architecture.build(settings.width, settings.factors))
        return TrainingStage(state, objective, lambda: save_baseline(state.average, architecture, self.model_file))

    def place_volumes(self, data: TrainingData) -> TrainingData:
        """The data with its training volumes on the device, where they fit there."""
        volumes, note = place_volumes(data.train, self.process_group.device)
        if note is not None:
            self.on_note(note)
        return data._replace(train=volumes)

    def prepare_rfn(self, data: TrainingData) -> TrainingStage:
        """RFN, new or from ``init``, on the AMI of the model file."""
        settings = self.settings
        if not self.model_file.is_file():
            raise WeightsError(f"{self.model_file} is missing; train the AMI stage into the same --out first")
        start = weights.load_model(str(self.model_file))
        require_kind(start.ami, str(self.model_file), slabs=False)
        rfn = settings.make_rfn()
        if settings.init is not None:
            copy_weights(weights.load_model(settings.init).rfn, rfn, settings)
        rfn.fewest.fill_(settings.fewest)
        state = self.make_state(rfn)
        train_blocks, val_blocks = make_blocks(settings, data, start.ami, self.process_group, self.on_progress)
        seed = settings.seed + self.process_group.rank
        sampler = FusionSampler(
            train_blocks,
            settings.slices,
            settings.rfn_patch,
            seed,
            stacks=settings.dims == 3,
            device=self.process_group.device,
        )
        loss = stages.make_rfn_loss(sampler, is_absolute=settings.arch == PUBLISHED)
        objective = loop.Objective(loss, lambda model: stages.validate_rfn(model, val_blocks, settings.modality))
        return TrainingStage(state, objective, lambda: _save_model(start.ami, state.average, self.model_file))

    def prepare_joint(self, data: TrainingData) -> TrainingStage:
        """AMI and RFN together, both from ``init``."""
        state = self.make_state(joint.load_networks(self.settings))
        objective = joint.make_joint_objective(self.settings, self.place_volumes(data), self.process_group.rank)
        ami, rfn = (state.average.get_submodule(name) for name in ("ami", "rfn"))
        return TrainingStage(state, objective, lambda: _save_model(ami, rfn, self.model_file))

    def make_state(self, model: nn.Module) -> loop.TrainingState:
        """The network with its average and optimiser; as in the checkpoint where the run is resumed."""
        loop.place_network(model, self.process_group.device, bf16=self.settings.schedule.bf16)
        rate = self.settings.schedule.learning_rate
        # beta_1: the paper writes momentum 0.5, its released code 0.9
        if self.settings.optimiser == "adam":
            optimiser: torch.optim.Optimizer = torch.optim.Adam(model.parameters(), rate, betas=(0.9, 0.999))
        elif isinstance(model, joint.JointNetworks):
            optimiser = model.make_optimiser(rate)
        else:
            optimiser = Muon.for_model(model, rate)
        state = loop.TrainingState(model, copy.deepcopy(model).eval(), optimiser)
        if self.resume:
            state.load(self.folder)
            self.require_longer(state)
        return state

    def require_longer(self, state: loop.TrainingState) -> None:
        """Refuse a length that is over already; the run's own is none, for its last step ends after its minutes."""
        steps, minutes = self.settings.schedule.steps, self.settings.schedule.minutes
        if steps is not None and steps < state.step:
            raise UsageError(f"the run has taken {state.step} steps already, more than --steps {steps}")
        if steps is not None or minutes is None or not self.process_group.is_leader:
            return
        is_over = 60 * minutes < state.seconds * (1 - SHORTEST_EXCESS)
        if is_over and minutes != load_schedule(self.out, self.settings.stage).minutes:
            used = state.seconds / 60
            raise UsageError(f"the run has taken {used:.3g} minutes already, more than --minutes {minutes:g}")


def _save_model(ami: nn.Module, rfn: nn.Module, path: Path) -> None:
    assert isinstance(ami, AMI)
    assert isinstance(rfn, RFN)
    weights.save_model(ami, rfn, path)
