"""``saint train``: dense volumes to weights."""

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saint_cli.cli.parameters import Typed, declare, takes_options
from saint_cli.cli.train_options import TrainOptions, complete_options
from saint_cli.errors import UsageError
from saint_cli.options.fields import Panel, from_typed, list_options, pick_options
from saint_cli.options.model import ModelConfig

if TYPE_CHECKING:
    from saint_cli.cli.progress_display import ProgressReporter
    from saint_cli.progress import ProgressStage
    from saint_cli.training.loop import Schedule, StepResult
    from saint_cli.training.settings import TrainingSettings

VOLUMES_S, SECONDS = 5.0, {"base": (11.0, 1.0), "medium": (0.6, 0.08), "fast": (0.4, 0.05)}
"""Seconds that reading volumes is assumed to take, and by size a block of the RFN stage and a step."""


@takes_options(*list_options(TrainOptions), *pick_options(ModelConfig, "device", "threads"))
def train(
    *,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Dense volumes to train on: a folder, or a .txt list.")],
    val: Annotated[
        Path, declare("--val", "Dense volumes to validate on: a folder, or a .txt list.", Panel.INPUT, "PATH")
    ],
    out: Annotated[
        Path, declare("-o --out", "Run folder: checkpoints, logs, model.safetensors.", Panel.OUTPUT, "PATH")
    ],
    typed: Typed,
) -> None:
    """Train AMI, RFN or both on dense volumes, made sparse by decimation (Eq. 1 of SAINT, CVPR 2020)."""
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
        settings = _make_settings(complete_options(options), out, config.device)
        on_progress.expect(*_list_stages(settings))
        paths = TrainingPaths(data, val, out, options.cache)
        run = train(settings, paths, resume=options.resume, on_progress=on_progress, on_note=on_progress.print_message)
        for result in run:
            _show_step(result, settings, on_progress)
    if is_first:
        console.print_message(f"weights: {out / MODEL}")


def _make_settings(options: TrainOptions, out: Path, device: str) -> "TrainingSettings":
    from saint_cli.training.settings import TrainingSettings, read_fewest

    shared = {field.name for field in fields(TrainingSettings)} & vars(options).keys()
    settings: dict[str, Any] = {"schedule": _make_schedule(options, out), "device": device}
    settings |= {name: getattr(options, name) for name in shared}
    return TrainingSettings(**settings | {"fewest": options.fewest or read_fewest(options.init)})


def _make_schedule(options: TrainOptions, out: Path) -> "Schedule":
    """The schedule that was asked for; the rest as in the run to resume, else as it is by default."""
    from saint_cli.cli import console
    from saint_cli.training.loop import CHECKPOINT, Schedule
    from saint_cli.training.settings import DEFAULT_STEPS, load_schedule

    names = ("steps", "minutes", "clock", "learning_rate", "validate_every", "bf16")
    changes = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.steps is not None and options.minutes is not None:
        raise UsageError("--steps and --minutes both say how long to train; give one of them")
    if options.minutes is not None:
        changes["steps"] = None
    elif options.steps is not None:
        changes["minutes"] = None
    goes_on = options.resume and (out / options.stage / CHECKPOINT).is_file()
    before = load_schedule(out, options.stage) if goes_on else Schedule(DEFAULT_STEPS)
    schedule = replace(before, **changes)
    if options.clock is not None and schedule.minutes is None:
        raise UsageError(f"--clock {options.clock} is how --minutes are counted; give --minutes too, or leave it out")
    if not goes_on:
        return schedule
    for name, value in changes.items():
        earlier = getattr(before, name)
        if value not in (None, earlier):
            so_far = "none" if earlier is None else earlier
            console.print_message(f"{name.replace('_', ' ')}: {so_far} so far, {value} from here on")
    return schedule


def _name_steps(stage: str) -> str:
    return f"{stage.upper()} steps"


def _list_stages(settings: "TrainingSettings") -> "list[ProgressStage]":
    """The stages of progress of a run, in order."""
    from saint_cli.progress import ProgressStage

    block_s, step_s = SECONDS[settings.size]
    blocks = [ProgressStage("blocks", block_s * settings.blocks)] if settings.stage == "rfn" else []
    steps, minutes = settings.schedule.steps, settings.schedule.minutes
    seconds = 60 * minutes if minutes is not None else step_s * (steps or 0)
    return [ProgressStage("volumes", VOLUMES_S), *blocks, ProgressStage(_name_steps(settings.stage), seconds)]


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
