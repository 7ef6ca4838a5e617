"""The phases of ``gpu_window.py``: measure, train, test. Needs torch, numpy and safetensors alone."""

import functools
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import training
from window_files import put_in_place, read_progress

from saint_cli.geometry import grid_by_factor
from saint_cli.method import pipeline
from saint_cli.models.shipped import find_weights
from saint_cli.models.weights import load_model
from saint_cli.options.method import MethodOptions
from saint_cli.progress import silent
from saint_cli.runtime.device_selection import select_compute
from saint_cli.training.dense_volume import TrainingData, place_volumes
from saint_cli.training.loop import CHECKPOINT, Schedule
from saint_cli.training.run import MODEL, train_on
from saint_cli.training.settings import TrainingSettings, read_fewest
from saint_cli.volume import Header, Volume

FIGURES, LOG = "figures.json", "window.log"

INCOMPLETE = "incomplete"
"""In the figures of a phase whose time was too short; the next call repeats it."""

SAVE_EVERY_S = 60.0
"""Between two copies of the weights into the output folder."""

VALIDATE_EVERY = 4000
"""Steps; the figures before the first step and after the last one come in any case."""

SPEED_FACTOR, SPEED_SPACING_MM = 4, (0.7, 0.7, 5.0)
SPEED_REPEATS = 2
"""The first run chooses kernels and fills the allocator."""

STAGES = {
    "base": ("base", "ami"),
    "base-rfn": ("base", "rfn"),
    "base-joint": ("base", "joint"),
    "fast": ("fast", "ami"),
    "fast-rfn": ("fast", "rfn"),
}
"""Size and stage of each phase that trains."""

JOINT_START = "joint-start.safetensors"
"""In a run folder: what the earlier stages made, from which the joint stage starts."""

JOINT_RATE = 3e-4
"""Learning rate of the joint stage: both networks know much already."""

ROOT, GPU_TESTS = Path(__file__).parents[1], "tests/gpu"


@dataclass(frozen=True)
class Recipe:
    """How the window trains.

    init: weights to start from, by size; batch: AMI patches a step; slices: axial slices a step of the RFN stage;
    blocks: that it learns from; joint_batch: blocks a step of the joint stage; shapes: of the scans whose interpolation
    is timed; seed: of what is drawn.
    """

    init: dict[str, str]
    batch: int
    slices: int
    blocks: int
    joint_batch: int
    learning_rate: float
    device: str
    shapes: list[tuple[int, int, int]]
    seed: int = 0

    @property
    def bf16(self) -> bool:
        """Whether to train in bfloat16: on GPUs."""
        return not self.device.startswith("cpu")


@dataclass(frozen=True)
class Window:
    """Data, recipe, the folder that survives between calls (``work``), and the one that comes back (``out``)."""

    data: TrainingData
    recipe: Recipe
    work: Path
    out: Path

    def print_line(self, text: str) -> None:
        """To the screen and to the log."""
        line = f"{time.strftime('%H:%M:%S')} {text}"
        print(line, flush=True)
        with (self.out / LOG).open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    def read_figures(self) -> dict[str, Any]:
        """Of the phases of this and earlier calls."""
        file = self.work / FIGURES
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}

    def is_finished(self, name: str) -> bool:
        """Whether this or an earlier call did the whole phase."""
        figures = self.read_figures()
        return name in figures and INCOMPLETE not in figures[name]

    def write_figures(self, name: str, figures: dict[str, Any]) -> None:
        """Add those of a finished phase."""
        text = json.dumps(self.read_figures() | {name: figures}, indent=1)
        for folder in (self.work, self.out):
            put_in_place(folder / FIGURES, lambda partial: partial.write_text(text, encoding="utf-8"))

    def keep_weights(self, size: str) -> None:
        """Copy the model file of a run to ``out``; whatever is killed, a whole file stands there."""
        source = self.work / size / MODEL
        if source.is_file():
            put_in_place(self.out / f"saint-{size}.safetensors", lambda partial: shutil.copyfile(source, partial))

    def keep_joint_start(self, size: str) -> str:
        """A copy of the window's weights when the joint stage begins, which a later call begins with too."""
        start = self.work / size / JOINT_START
        if not start.is_file():
            start.parent.mkdir(parents=True, exist_ok=True)
            source = find_weights(self.find_weights(size))
            put_in_place(start, lambda partial: shutil.copyfile(source, partial))
        return str(start)

    def read_used_s(self, name: str) -> float:
        """Seconds that a training phase which was cut off had taken at its last checkpoint."""
        return read_progress(self.work.joinpath(*STAGES.get(name, ())))[1]

    def find_weights(self, size: str) -> str:
        """The window's own weights of a size, or those that it starts from."""
        trained = self.work / size / MODEL
        return str(trained) if trained.is_file() else self.recipe.init[size]


def train(window: Window, seconds: float, size: str, stage: str) -> dict[str, Any]:
    """One training stage with a schedule that ends in ``seconds``; goes on with one that was cut off."""
    folder, recipe = window.work / size, window.recipe
    settings = make_settings(window, size, stage, seconds)
    validation: dict[int, dict[str, float]] = {}
    resume = (folder / stage / CHECKPOINT).is_file()
    kept = time.monotonic()
    results = train_on(settings, window.data, folder, resume=resume, on_progress=silent, on_note=window.print_line)
    try:
        for result in results:
            if result.validation is not None:
                validation[result.step] = result.validation
                window.print_line(f"step {result.step}, {result.seconds:.0f} s: {json.dumps(result.validation)}")
            if time.monotonic() - kept > SAVE_EVERY_S:
                window.keep_weights(size)
                kept = time.monotonic()
    finally:
        window.keep_weights(size)
    steps, used_s = read_progress(folder / stage)
    samples = steps * {"ami": recipe.batch, "rfn": recipe.slices, "joint": recipe.joint_batch}[stage]
    return {"steps": steps, "seconds": used_s, "samples": samples, "seed": recipe.seed, "validation": validation}


def make_settings(window: Window, size: str, stage: str, seconds: float) -> TrainingSettings:
    """Of one stage; an RFN of another size than that of ``init`` starts anew."""
    recipe = window.recipe
    schedule = Schedule(
        steps=None,
        minutes=seconds / 60,
        learning_rate=JOINT_RATE if stage == "joint" else recipe.learning_rate,
        save_every=SAVE_EVERY_S,
        validate_every=VALIDATE_EVERY,
        bf16=recipe.bf16,
    )
    init = window.keep_joint_start(size) if stage == "joint" else recipe.init[size]
    settings = TrainingSettings(
        stage,
        size,
        schedule,
        seed=recipe.seed,
        batch=recipe.joint_batch if stage == "joint" else recipe.batch,
        slices=recipe.slices,
        blocks=recipe.blocks,
        fewest=read_fewest(init),
        init=init,
        teacher=window.find_weights("base") if (size, stage) == ("fast", "ami") else None,
        device=recipe.device,
    )
    is_new = stage == "rfn" and load_model(init).rfn.features.size != settings.make_rfn().features.size
    return replace(settings, init=None) if is_new else settings


def measure_rates(window: Window, seconds: float) -> dict[str, Any]:
    """Patches a second of both sizes in training (``training.py``)."""
    recipe = window.recipe
    options = training.Options(recipe.device, recipe.bf16, recipe.batch, seconds / 5 / len(recipe.init), rounds=2)
    volumes, _ = place_volumes(window.data.train, torch.device(recipe.device))
    with tempfile.TemporaryDirectory() as folder:
        trainers = [
            training.make_trainer(init, volumes, options, Path(folder) / size) for size, init in recipe.init.items()
        ]
        speeds = training.measure(trainers, options)
    window.print_line("\n" + training.format_speeds(speeds))
    return {size: asdict(speed) for size, speed in zip(recipe.init, speeds, strict=True)}


def measure_inference(window: Window, seconds: float) -> dict[str, Any]:
    """Seconds from a scan in memory to the finished one in memory, no voxel left out as air."""
    began, figures = time.monotonic(), {}
    compute = select_compute(window.recipe.device)
    for shape in window.recipe.shapes:
        scan, grid = make_scan(shape), grid_by_factor(shape[2], 2, SPEED_FACTOR)
        for size in window.recipe.init:
            model, times = load_model(window.find_weights(size)), list[float]()
            for _ in range(SPEED_REPEATS):
                if time.monotonic() - began > seconds:
                    return figures | {INCOMPLETE: True}
                start = time.perf_counter()
                pipeline.restore(scan, model, grid, compute, MethodOptions(skip_air=False)).result()
                times.append(round(time.perf_counter() - start, 3))
            name = f"{size}, {'x'.join(map(str, shape))}, factor {SPEED_FACTOR}"
            figures[name] = {"seconds": times, "peak_gpu_mb": measure_peak_mb(compute.device)}
            window.print_line(f"{name}: {figures[name]}")
    return figures


def make_scan(shape: tuple[int, int, int]) -> Volume:
    """A CT of noise about soft tissue: time does not depend on what it shows."""
    voxels = np.random.default_rng(0).integers(-60, 140, shape).astype(np.int16)
    return Volume(voxels, np.diag([*SPEED_SPACING_MM, 1.0]), Header(modality="CT"))


def measure_peak_mb(device: torch.device) -> int | None:
    """The most memory of a GPU that tensors have filled since the last call; None on a CPU."""
    if device.type != "cuda":
        return None
    peak = torch.cuda.max_memory_allocated(device) // 1_000_000
    torch.cuda.reset_peak_memory_stats(device)
    return peak


def run_tests(window: Window, seconds: float) -> dict[str, Any]:
    """The suite's tests that need a GPU, where pytest is installed."""
    if importlib.util.find_spec("pytest") is None:
        return {"left out": "pytest is not installed"}
    words = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", GPU_TESTS]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    window.print_line(done.stdout)
    return {"exit_code": done.returncode, "last_line": done.stdout.strip().splitlines()[-1:]}


PHASES: dict[str, Callable[[Window, float], dict[str, Any]]] = {
    "rates": measure_rates,
    **{name: functools.partial(train, size=size, stage=stage) for name, (size, stage) in STAGES.items()},
    "inference": measure_inference,
    "tests": run_tests,
}


def run_phases(window: Window, seconds: dict[str, float], total: float) -> None:
    """The phases of ``seconds`` in their order; ``total`` cuts the last ones short.

    Phases that an earlier call finished are left out. One that fails is reported, and the next one begins, for the
    window does not come back.
    """
    began = time.monotonic()
    for name, wanted in seconds.items():
        left = total - (time.monotonic() - began)
        if min(wanted, left) <= 0 or window.is_finished(name):
            continue
        used = window.read_used_s(name)
        allowed = used + max(0.0, min(wanted - used, left))
        window.print_line(f"{name}: {allowed:.0f} s")
        try:
            window.write_figures(name, PHASES[name](window, allowed))
        except Exception:
            window.print_line(traceback.format_exc())
    window.print_line(f"{time.monotonic() - began:.0f} s in all")
