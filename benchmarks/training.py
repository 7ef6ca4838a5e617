"""How fast AMI trains: patches a second, the share of the time spent drawing them, and multiply-adds a second against
the device's own matrix rate, measured in the same run.

    python benchmarks/training.py [MODEL ...] [--device cuda] [--bf16] [--batch N] [--data FOLDER] [--json FILE]

MODEL: base, medium, fast (default: all) or weights files, whose sizes count. Volumes are made up unless DATA names
some, for time does not depend on what they show. The networks take turns, and the median over the turns is shown, so
that other work on the machine slows all alike. Multiply-adds are those of the convolutions, three times the forward
ones: the gradients of inputs and weights cost as much each.
"""

import copy
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from arguments import make_parser
from matrix_rate import measure_matrix_rate, synchronise
from tables import format_table

from saint_cli.method import intensity
from saint_cli.models.weights import load_model
from saint_cli.nets import AMI
from saint_cli.nets.blocks import count_weights
from saint_cli.training import loop, stages
from saint_cli.training.dataset import AmiSampler
from saint_cli.training.dense_volume import DenseVolume, place_volumes
from saint_cli.training.muon import Muon
from saint_cli.training.patch_places import OFFSET_COUNT, PatchShape
from saint_cli.training.volumes import load_dense_volumes

BATCH = {"cpu": {"fast": 10, "": 6}, "cuda": {"": 256}, "mps": {"": 32}}
"""Patches a step by device and model, where --batch does not say."""

PATCH = PatchShape()
"""As ``saint train`` has them."""

VOLUMES, SHAPE, SPACING_MM = 4, (256, 256, 160), (0.8, 0.8, 1.0)
FORWARD_AND_BACKWARD = 3
FEWEST_STEPS = 3


@dataclass(frozen=True)
class Options:
    """How to measure; batch: None for what suits the device; seconds: of each turn."""

    device: str
    bf16: bool
    batch: int | None
    seconds: float
    rounds: int


@dataclass(frozen=True)
class Speed:
    """Of one network in training, medians over its turns; all ``gmacs`` are 10^9 multiply-adds.

    drawing_percent: of the time of a step; matrix_percent: of ``matrix_gmacs_per_s``, the rate of a matrix product.
    """

    model: str
    batch: int
    patches_per_s: float
    step_ms: float
    drawing_ms: float
    drawing_percent: float
    gmacs_per_patch: float
    gmacs_per_s: float
    matrix_gmacs_per_s: float
    matrix_percent: float


@dataclass(frozen=True)
class Trainer:
    """A network in training: each step of ``steps`` is one of the optimiser."""

    model: str
    batch: int
    sampler: AmiSampler
    steps: Iterator[loop.StepResult]
    multiply_adds: int
    device: torch.device

    def measure_steps(self, seconds: float) -> float:
        """Seconds a step, over at least ``seconds``."""
        return self._measure(lambda _: next(self.steps), seconds)

    def measure_drawing(self, seconds: float) -> float:
        """Seconds to draw the batch of a step, over at least ``seconds``."""
        return self._measure(self.sampler.draw_batch, seconds)

    def _measure(self, work: Callable[[int], object], seconds: float) -> float:
        synchronise(self.device)
        began, count = time.perf_counter(), 0
        while count < FEWEST_STEPS or time.perf_counter() - began < seconds:
            work(count)
            count += 1
        synchronise(self.device)
        return (time.perf_counter() - began) / count


def count_patch(ami: AMI) -> int:
    """Multiply-adds of one patch, forward and backward."""
    pixels = PATCH.height * PATCH.acquired
    trunk = ami.features.multiply_adds * pixels
    head = OFFSET_COUNT * ami.features.size.outputs * 9 * pixels
    filters = OFFSET_COUNT * count_weights(ami.filters) * 9
    return FORWARD_AND_BACKWARD * (trunk + head + filters)


def make_trainer(model: str, volumes: list[DenseVolume], options: Options, folder: Path) -> Trainer:
    """A network of a model's size and weights, about to take its first step."""
    device = torch.device(options.device)
    sizes = BATCH[device.type]
    batch = options.batch or sizes.get(model, sizes[""])
    sampler = AmiSampler(volumes, batch, PATCH)
    ami = loop.place_network(copy.deepcopy(load_model(model).ami), device, bf16=options.bf16)
    schedule = loop.Schedule(10**9, save_every=math.inf, validate_every=10**9, bf16=options.bf16)
    state = loop.TrainingState(ami, copy.deepcopy(ami), Muon.for_model(ami, schedule.learning_rate))
    objective = loop.Objective(stages.make_ami_loss(sampler), lambda _: {})
    steps = loop.run_loop(state, objective, schedule, folder)
    return Trainer(model, batch, sampler, steps, count_patch(ami), device)


class Turn(NamedTuple):
    """Seconds of a step, and to draw its batch; 10^9 multiply-adds a second of a matrix product in that round."""

    step_s: float
    drawing_s: float
    matrix_gmacs_per_s: float


def measure(trainers: list[Trainer], options: Options) -> list[Speed]:
    """Every network in turn, ``rounds`` times."""
    for trainer in trainers:
        trainer.measure_steps(0)  # allocators, kernels chosen by trial
    turns: list[list[Turn]] = [[] for _ in trainers]
    dtype = torch.bfloat16 if options.bf16 else torch.float32
    for _ in range(options.rounds):
        rate = measure_matrix_rate(dtype, options.device)
        for trainer, before in zip(trainers, turns, strict=True):
            before.append(
                Turn(trainer.measure_steps(options.seconds), trainer.measure_drawing(options.seconds / 5), rate)
            )
    return [describe(trainer, before) for trainer, before in zip(trainers, turns, strict=True)]


def describe(trainer: Trainer, turns: list[Turn]) -> Speed:
    """Medians of a network's turns; shares are of what was measured in the same turn."""
    batch = trainer.batch
    gmacs = batch * trainer.multiply_adds / 1e9
    step_s, drawing_s, rate = (statistics.median(column) for column in zip(*turns, strict=True))
    return Speed(
        model=trainer.model,
        batch=batch,
        patches_per_s=batch / step_s,
        step_ms=1e3 * step_s,
        drawing_ms=1e3 * drawing_s,
        drawing_percent=100 * statistics.median(turn.drawing_s / turn.step_s for turn in turns),
        gmacs_per_patch=gmacs / batch,
        gmacs_per_s=gmacs / step_s,
        matrix_gmacs_per_s=rate,
        matrix_percent=100 * statistics.median(gmacs / turn.step_s / turn.matrix_gmacs_per_s for turn in turns),
    )


def make_volumes() -> list[DenseVolume]:
    """Noise about the values of soft tissue, smooth along every axis as images are."""
    rng = np.random.default_rng(0)
    volumes = []
    for number in range(VOLUMES):
        noise = rng.integers(-600, 600, SHAPE, np.int16)
        for axis in range(3):
            noise = (noise + np.roll(noise, 1, axis)) // 2
        volumes.append(DenseVolume.from_array(f"made up {number}", noise + np.int16(40), SPACING_MM, intensity.CT))
    return volumes


def main() -> None:
    """Measure, print a table, and write JSON if wanted."""
    parser = make_parser(__doc__)
    parser.add_argument("models", nargs="*", default=["base", "medium", "fast"])
    parser.add_argument("--data", type=Path, help="folder or .txt list of dense volumes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each network's turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    typed = vars(parser.parse_args())
    models, data, threads, target = (typed.pop(name) for name in ("models", "data", "threads", "json"))
    options = Options(**typed)
    if threads is not None:
        torch.set_num_threads(threads)
    volumes, _ = place_volumes(
        make_volumes() if data is None else load_dense_volumes(data, None), torch.device(options.device)
    )
    with tempfile.TemporaryDirectory() as folder:
        trainers = [make_trainer(m, volumes, options, Path(folder) / str(n)) for n, m in enumerate(models)]
        speeds = measure(trainers, options)
    print(f"{describe_device(options.device)}, {'bf16' if options.bf16 else 'fp32'}, torch {torch.__version__}")
    print(format_speeds(speeds))
    if target is not None:
        target.write_text(json.dumps([asdict(speed) for speed in speeds], indent=1), encoding="utf-8")


def describe_device(device: str) -> str:
    """Which device, and how many threads of a CPU."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device} ({torch.backends.cpu.get_cpu_capability()}), threads: {torch.get_num_threads()}"


def format_speeds(speeds: list[Speed]) -> str:
    """A Markdown table."""
    header = ["AMI of", "batch", "patches/s", "ms a step", "drawing", "G multiply-adds/s", "of the matrix rate"]
    rows = (
        [
            Path(s.model).stem,
            f"{s.batch}",
            f"{s.patches_per_s:,.1f}",
            f"{s.step_ms:,.1f}",
            f"{s.drawing_percent:.1f} %",
            f"{s.gmacs_per_s:,.1f}",
            f"{s.matrix_percent:.1f} % of {s.matrix_gmacs_per_s:,.0f}",
        ]
        for s in speeds
    )
    return format_table(header, rows)


if __name__ == "__main__":
    main()
