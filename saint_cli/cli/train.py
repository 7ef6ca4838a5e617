"""``saint train``: dense volumes to weights."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saint_cli.cli.parameters import Typed, takes_options
from saint_cli.cli.parsing import positive
from saint_cli.errors import UsageError
from saint_cli.options.fields import Option, Panel, count_option, from_typed, list_options, pick_options, word_option
from saint_cli.options.model import ModelConfig

if TYPE_CHECKING:
    from saint_cli.cli.progress_display import ProgressReporter
    from saint_cli.progress import ProgressStage
    from saint_cli.training.loop import Schedule, StepResult
    from saint_cli.training.settings import TrainingSettings

VOLUMES_S, SECONDS = 5.0, {"base": (11.0, 1.0), "medium": (0.6, 0.08), "fast": (0.4, 0.05)}
"""Seconds that reading volumes is assumed to take, and by size a block of the RFN stage and a step."""

TRAINING = Panel.TRAINING

Val = Annotated[
    Path,
    typer.Option(
        "--val",
        metavar="PATH",
        help="Dense volumes to validate on: a folder, or a .txt list.",
        rich_help_panel=Panel.INPUT,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "-o",
        "--out",
        metavar="PATH",
        help="Run folder: checkpoints, logs, model.safetensors.",
        rich_help_panel=Panel.OUTPUT,
    ),
]


@dataclass(frozen=True)
class TrainOptions:
    """What a run is made with, by the names of ``TrainingSettings`` and ``Schedule``; None: their own default."""

    stage: str = word_option("--stage", "ami first, then rfn.", TRAINING, ("ami", "rfn")).as_field()
    size: str = word_option("--size", "base, medium or fast.", TRAINING, ("base", "medium", "fast")).as_field()
    init: str | None = Option(
        "--init", "Weights to start from: base, fast or a file.", TRAINING, str, None, "MODEL"
    ).as_field()
    teacher: str | None = Option(
        "--teacher", "Weights whose AMI to imitate as well.", TRAINING, str, None, "MODEL"
    ).as_field()
    steps: int | None = count_option("--steps", "Optimiser steps of the whole schedule; 20,000.", TRAINING).as_field()
    minutes: float | None = Option(
        "--minutes",
        "Train for so long instead; the rate falls in time.",
        TRAINING,
        float,
        None,
        "MIN",
        parse=positive("--minutes"),
    ).as_field()
    learning_rate: float | None = Option(
        "--lr", "Peak learning rate; 0.0008.", TRAINING, float, None, "RATE", parse=positive("--lr")
    ).as_field()
    optimiser: str = word_option("--optimiser", "muon, or adam as in the paper.", TRAINING, ("muon", "adam")).as_field()
    augment: bool = Option(
        "--augment/--no-augment", "Vary zoom, slice profile, kernel, contrast and noise.", TRAINING, default=True
    ).as_field()
    batch: int = count_option("--batch", "AMI patches per step.", TRAINING, default=6).as_field()
    blocks: int = count_option(
        "--blocks", "Blocks of volumes that the rfn stage learns from.", TRAINING, default=120
    ).as_field()
    context: bool = Option(
        "--rfn-context/--no-rfn-context", "RFN sees the acquired neighbours too.", TRAINING, default=True
    ).as_field()
    dims: int = word_option(
        "--rfn-dims", "2, or 3 for the paper's 3-D variant.", TRAINING, ("2", "3"), convert=int
    ).as_field()
    fewest: int | None = count_option(
        "--rfn-fewest",
        "Use RFN only where at least this many slices are synthesised per gap (default: as in --init, else 1).",
        TRAINING,
    ).as_field()
    validate_every: int | None = count_option(
        "--validate-every", "Steps between validations; 1,000.", TRAINING
    ).as_field()
    seed: int = count_option("--seed", "Random seed.", TRAINING, least=0, default=0).as_field()
    bf16: bool | None = Option(
        "--bf16", "bfloat16 autocast, for processors that have it.", Panel.MACHINE, default=None
    ).as_field()
    cache: Path | None = Option(
        "--cache", "Memory-mapped volumes; default OUT/volumes.", Panel.MACHINE, str, None, "PATH", parse=Path
    ).as_field()
    resume: bool = Option(
        "--resume", "Continue the run in --out, on its own schedule where none is given.", Panel.RUN
    ).as_field()


@takes_options(*list_options(TrainOptions), *pick_options(ModelConfig, "device", "threads"))
def train(
    *,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Dense volumes to train on: a folder, or a .txt list.")],
    val: Val,
    out: Out,
    typed: Typed,
) -> None:
    """Train AMI or RFN on dense volumes, made sparse by decimation (Eq. 1 of SAINT, CVPR 2020)."""
    from saint_cli.cli import console, progress_display
    from saint_cli.runtime import cores

    options, config = from_typed(TrainOptions, typed), from_typed(ModelConfig, typed)
    is_first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts, one prints
    load = cores.CoreLoad()
    with progress_display.show_progress(quiet=not is_first) as on_progress:
        on_progress("loading", 0, 1)
        from saint_cli.runtime import device_selection, memory  # torch takes seconds, and so comes only now
        from saint_cli.training.run import MODEL, TrainingPaths, train

        memory.keep_freed_memory()
        if (note := device_selection.select_threads(config.threads, load).note) is not None:
            on_progress.print_message(note)
        settings = _make_settings(options, out, config.device)
        on_progress.expect(*_list_stages(settings))
        paths = TrainingPaths(data, val, out, options.cache)
        run = train(settings, paths, resume=options.resume, on_progress=on_progress, on_note=on_progress.print_message)
        for result in run:
            _show_step(result, settings, on_progress)
    if is_first:
        console.print_message(f"weights: {out / MODEL}")


def _make_settings(options: TrainOptions, out: Path, device: str) -> "TrainingSettings":
    from saint_cli.training.settings import TrainingSettings, read_fewest

    names = ["stage", "size", "seed", "batch", "blocks", "context", "dims", "optimiser", "augment", "init", "teacher"]
    return TrainingSettings(
        schedule=_make_schedule(options, out),
        fewest=options.fewest or read_fewest(options.init),
        device=device,
        **{name: getattr(options, name) for name in names},
    )


def _make_schedule(options: TrainOptions, out: Path) -> "Schedule":
    """The schedule that was asked for; the rest as in the run to resume, else as it is by default."""
    from saint_cli.cli import console
    from saint_cli.training.loop import CHECKPOINT, Schedule
    from saint_cli.training.settings import DEFAULT_STEPS, load_schedule

    names = ("steps", "minutes", "learning_rate", "validate_every", "bf16")
    changes = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.steps is not None and options.minutes is not None:
        raise UsageError("--steps and --minutes both say how long to train; give one of them")
    if options.minutes is not None:
        changes["steps"] = None
    elif options.steps is not None:
        changes["minutes"] = None
    if not (options.resume and (out / options.stage / CHECKPOINT).is_file()):
        return replace(Schedule(DEFAULT_STEPS), **changes)
    before = load_schedule(out, options.stage)
    for name, value in changes.items():
        earlier = getattr(before, name)
        if value not in (None, earlier):
            so_far = "none" if earlier is None else earlier
            console.print_message(f"{name.replace('_', ' ')}: {so_far} so far, {value} from here on")
    return replace(before, **changes)


def _name_steps(stage: str) -> str:
    return f"{stage.upper()} steps"


def _list_stages(settings: "TrainingSettings") -> "list[ProgressStage]":
    """The stages of progress of a run, in order."""
    from saint_cli.progress import ProgressStage

    block_s, step_s = SECONDS[settings.size]
    blocks = [ProgressStage("blocks", block_s * settings.blocks)] if settings.stage == "rfn" else []
    return [
        ProgressStage("volumes", VOLUMES_S),
        *blocks,
        ProgressStage(_name_steps(settings.stage), _expect_seconds(settings.schedule, step_s)),
    ]


def _expect_seconds(schedule: "Schedule", step_s: float) -> float:
    return 60 * schedule.minutes if schedule.minutes is not None else step_s * (schedule.steps or 0)


def _show_step(result: "StepResult", settings: "TrainingSettings", on_progress: "ProgressReporter") -> None:
    """How far the run is, and after a validation its figures."""
    from saint_cli.cli import console

    schedule = settings.schedule
    if schedule.minutes is None:
        on_progress(_name_steps(settings.stage), result.step, schedule.steps or 0)
    else:
        whole = round(60 * schedule.minutes)
        on_progress(_name_steps(settings.stage), min(round(result.seconds), whole), whole)
    if result.validation is not None:
        figures = ", ".join(f"{name} {value:+.2f}" for name, value in result.validation.items())
        loss = "before training" if result.loss is None else f"loss {float(result.loss):.5f}"
        console.print_message(f"step {result.step}, {result.seconds:.0f} s, {loss}: {figures}")
