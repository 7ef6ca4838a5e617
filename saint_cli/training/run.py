"""One training run, from a folder of dense volumes to a weights file; everything it makes stays in one folder."""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from saint_cli import compute, weights
from saint_cli.errors import UnreadableError, UsageError, WeightsError
from saint_cli.nets import AMI, RFN
from saint_cli.nets.blocks import TrunkSize
from saint_cli.nets.rfn import PAIR, WITH_CONTEXT
from saint_cli.training import loop, stages
from saint_cli.training.dataset import AmiSampler, DenseVolume, PatchSource, load_dense
from saint_cli.training.fusion import MARGIN, FusionSampler, make_block

AMI_SIZES = {"base": (64, 32, 8, 6), "fast": (32, 16, 4, 4)}
"""width G0, growth, layers per block, blocks: the paper's, and one with 1/16 of its multiply-adds."""

RFN_SIZES = {"base": (32, 16, 4, 3), "fast": (12, 8, 4, 1)}

MODEL = "model.safetensors"
SETTINGS = "settings.json"
FREE_TO_CHANGE = ("schedule", "device")
"""Settings that a resumed run may change: train longer or shorter, or elsewhere."""

VALIDATION_BLOCKS = 4
"""Blocks of each validation volume that the RFN stage is scored on."""


@dataclass(frozen=True)
class Settings:
    """All that a run depends on besides its data; kept as ``settings.json`` in the run folder.

    stage: ``ami`` or ``rfn``. size: ``base`` or ``fast``. patch: in-plane voxels and acquired slices of AMI patches.
    slices, rfn_patch: axial slices per RFN batch and their side. blocks, block: how many blocks RFN learns from, and
    their in-plane voxels and acquired slices. context: RFN sees the acquired neighbours. dims: 3 for the 3-D RFN.
    device: as ``--device`` names it; a run may be resumed on another one.
    """

    stage: str
    size: str
    schedule: loop.Schedule
    seed: int = 0
    batch: int = 8
    patch: tuple[int, int] = (40, 10)
    slices: int = 16
    rfn_patch: int = 48
    blocks: int = 120
    block: tuple[int, int] = (96, 7)
    context: bool = True
    dims: int = 2
    device: str = "cpu"


@dataclass(frozen=True)
class Data:
    """Training and validation volumes."""

    train: list[DenseVolume]
    val: list[DenseVolume]


Say = Callable[[str, int, int], None]


def train(
    settings: Settings, data_dir: Path, val_dir: Path, out: Path, *, resume: bool, say: Say
) -> Iterator[loop.Progress]:
    """Run one stage, yielding after every step; ``out/model.safetensors`` is written at each validation and at the end.

    The RFN stage starts from the AMI of ``out/model.safetensors``.

    Raises:
        UsageError: ``out`` holds a run already and ``resume`` is False, or none and it is True; no volumes.
        WeightsError: the RFN stage finds no AMI.
    """
    folder = out / settings.stage
    begun = (folder / loop.CHECKPOINT).is_file()
    if begun and not resume:
        raise UsageError(f"{folder} holds a run already; continue it with --resume, or choose another --out")
    if resume and not begun:
        raise UsageError(f"{folder} holds no checkpoint to resume from; leave out --resume")
    if begun:
        _require_same(settings, folder / SETTINGS)
    if data_dir.resolve() == val_dir.resolve():
        raise UsageError(f"{val_dir} is the training folder; validate on volumes that are not trained on")
    data = Data(load_dense(data_dir), load_dense(val_dir))
    stages.require_scorable(data.val)
    torch.manual_seed(settings.seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS).write_text(json.dumps(asdict(settings), indent=1))
    steps = _train_ami if settings.stage == "ami" else _train_rfn
    yield from steps(settings, data, out, resume, say)


def _train_ami(settings: Settings, data: Data, out: Path, resume: bool, say: Say) -> Iterator[loop.Progress]:
    state = _state(AMI(*AMI_SIZES[settings.size]), settings)
    if resume:
        state.load(out / "ami")
    loss = stages.ami_loss(AmiSampler(data.train, settings.batch, settings.patch, settings.seed))

    def validate(model: nn.Module) -> dict[str, float]:
        return stages.validate_ami(_on_cpu(model), data.val)

    kept = resume and (out / MODEL).is_file()  # an RFN that was trained since stays
    rfn = weights.load_model(str(out / MODEL)).rfn if kept else RFN(_rfn_size(settings)).eval()
    for progress in loop.run(state, loss, validate, settings.schedule, out / "ami"):
        if progress.validation is not None:
            _export(state.average, rfn, out)
        yield progress
    _export(state.average, rfn, out)


def _train_rfn(settings: Settings, data: Data, out: Path, resume: bool, say: Say) -> Iterator[loop.Progress]:
    if not (out / MODEL).is_file():
        raise WeightsError(f"{out / MODEL} is missing; train the AMI stage into the same --out first")
    ami = weights.load_model(str(out / MODEL)).to(compute.choose(settings.device).device).ami
    state = _state(RFN(_rfn_size(settings)), settings)
    if resume:
        state.load(out / "rfn")
    machine = compute.choose(settings.device, "bf16" if settings.schedule.bf16 else "fp32")
    side, acquired = settings.block
    if side - 2 * MARGIN < settings.rfn_patch:
        raise UsageError(f"blocks of {side} voxels leave no room for patches of {settings.rfn_patch}")
    rng, blocks, source = np.random.default_rng(settings.seed), [], PatchSource(data.train, side, acquired)
    for i in range(settings.blocks):
        blocks.append(make_block(source, ami, machine, side, rng))
        say("blocks", i + 1, settings.blocks)
    held_back = [PatchSource([v], side, acquired) for v in data.val]
    held = [make_block(c, ami, machine, side, rng) for c in held_back for _ in range(VALIDATION_BLOCKS)]
    loss = stages.rfn_loss(FusionSampler(blocks, settings.slices, settings.rfn_patch, settings.seed))

    def validate(model: nn.Module) -> dict[str, float]:
        return stages.validate_rfn(_on_cpu(model), held)

    for progress in loop.run(state, loss, validate, settings.schedule, out / "rfn"):
        if progress.validation is not None:
            _export(ami, state.average, out)
        yield progress
    _export(ami, state.average, out)


def _require_same(settings: Settings, path: Path) -> None:
    """Refuse to resume with other settings than a run was begun with."""
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError):
        raise UnreadableError(f"{path} is missing or damaged; the run cannot be resumed") from None
    for name, now in json.loads(json.dumps(asdict(settings))).items():
        if name not in FREE_TO_CHANGE and before.get(name) != now:
            raise UsageError(f"the run was begun with {name} {before.get(name)}, not {now}; resume it as it was")


def _state(model: nn.Module, settings: Settings) -> loop.State:
    # beta_1: the paper writes momentum 0.5, its released code 0.9
    model = model.to(compute.choose(settings.device).device)
    optimiser = torch.optim.Adam(model.parameters(), settings.schedule.learning_rate, betas=(0.9, 0.999))
    return loop.State(model, copy.deepcopy(model), optimiser)


def _on_cpu(model: nn.Module) -> nn.Module:
    return model if next(model.parameters()).device.type == "cpu" else copy.deepcopy(model).cpu()


def _rfn_size(settings: Settings) -> TrunkSize:
    inputs = WITH_CONTEXT if settings.context else PAIR
    return replace(TrunkSize(inputs, *RFN_SIZES[settings.size]), dims=settings.dims)


def _export(ami: nn.Module, rfn: nn.Module, out: Path) -> None:
    assert isinstance(ami, AMI)
    assert isinstance(rfn, RFN)
    weights.save_model(ami, rfn, out / MODEL)
