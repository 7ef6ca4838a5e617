"""``saint train``: dense volumes to weights."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from saint_cli.cli import examples, options

if TYPE_CHECKING:
    from saint_cli.progress import Stage
    from saint_cli.training.loop import Schedule
    from saint_cli.training.run import Settings

VOLUMES_S, SECONDS = 5.0, {"base": (11.0, 1.0), "fast": (0.4, 0.05)}
"""Seconds that reading volumes is assumed to take, and by size a block of the RFN stage and a step."""


def train(
    *,
    data: Annotated[Path, Argument(metavar="DATA", help="Dense volumes to train on: a folder, or a .txt list.")],
    val: Annotated[Path, Option("--val", help="Dense volumes to validate on: a folder, or a .txt list.")],
    out: Annotated[Path, Option("-o", "--out", help="Run folder: checkpoints, logs, model.safetensors.")],
    stage: Annotated[str, Option("--stage", help="ami first, then rfn.")] = "ami",
    size: Annotated[str, Option("--size", help="base or fast.")] = "base",
    init: Annotated[str | None, Option("--init", help="Weights to start from: base, fast or a file.")] = None,
    teacher: Annotated[str | None, Option("--teacher", help="Weights whose AMI to imitate as well.")] = None,
    steps: Annotated[int | None, Option("--steps", help="Optimiser steps of the whole schedule; 20,000.")] = None,
    learning_rate: Annotated[float | None, Option("--lr", help="Peak learning rate; 0.0008.")] = None,
    optimiser: Annotated[str, Option("--optimiser", help="muon, or adam as in the paper.")] = "muon",
    augment: Annotated[bool, Option(help="Vary zoom, slice profile, kernel, contrast and noise.")] = True,
    batch: Annotated[int, Option("--batch", help="AMI patches per step.")] = 6,
    blocks: Annotated[int, Option("--blocks", help="Blocks of volumes that the rfn stage learns from.")] = 120,
    rfn_context: Annotated[bool, Option(help="RFN sees the acquired neighbours too.")] = True,
    rfn_dims: Annotated[int, Option("--rfn-dims", help="2, or 3 for the paper's 3-D variant.")] = 2,
    rfn_fewest: Annotated[
        int | None,
        Option(
            "--rfn-fewest",
            help="Use RFN only where at least this many slices are synthesised per gap "
            "(default: as in --init, else 1).",
        ),
    ] = None,
    validate_every: Annotated[int | None, Option("--validate-every", help="Steps between validations; 1,000.")] = None,
    seed: Annotated[int, Option("--seed", help="Random seed.")] = 0,
    bf16: Annotated[bool | None, Option("--bf16", help="bfloat16 autocast, for processors that have it.")] = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    cache: Annotated[Path | None, Option("--cache", help="Memory-mapped volumes; default OUT/volumes.")] = None,
    resume: Annotated[
        bool, Option("--resume", help="Continue the run in --out, on its own schedule where none is given.")
    ] = False,
) -> None:
    """Train AMI or RFN on dense volumes, made sparse by decimation (Eq. 1 of SAINT, CVPR 2020)."""
    from saint_cli import console, cores
    from saint_cli.cli import words

    words.one_of("--stage", stage, ("ami", "rfn"))
    words.one_of("--size", size, ("base", "fast"))
    words.one_of("--optimiser", optimiser, ("muon", "adam"))
    words.one_of("--rfn-dims", str(rfn_dims), ("2", "3"))
    counts = {"--steps": steps, "--batch": batch, "--blocks": blocks, "--validate-every": validate_every}
    counts["--rfn-fewest"] = rfn_fewest
    for option, number in counts.items():
        words.at_least(option, number, 1)
    words.at_least("--seed", seed, 0)
    if learning_rate is not None:
        words.positive("--lr", learning_rate)
    leads = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts, one speaks
    seen = cores.Observation()
    with console.progress(quiet=not leads) as report:
        report("loading", 0, 1)
        from saint_cli import compute, memory  # torch takes seconds, and so comes only now
        from saint_cli.training.run import MODEL, Places, Settings, fewest_of, train

        memory.keep_freed()
        if (note := compute.take_threads(threads, seen).note) is not None:
            report.say(note)
        told = {"steps": steps, "learning_rate": learning_rate, "validate_every": validate_every, "bf16": bf16}
        told = {name: value for name, value in told.items() if value is not None}
        schedule = _schedule(out, stage, told, resume=resume)
        settings = Settings(
            stage, size, schedule, seed, batch, blocks=blocks, context=rfn_context, dims=rfn_dims,
            fewest=rfn_fewest or fewest_of(init), optimiser=optimiser, augment=augment,
            init=init, teacher=teacher, device=device,
        )  # fmt: skip
        report.expect(*_stages(settings))
        for progress in train(settings, Places.of(data, val, out, cache), resume=resume, say=report):
            report(_steps(stage), progress.step, schedule.steps)
            if progress.validation is not None:
                figures = ", ".join(f"{name} {value:+.2f}" for name, value in progress.validation.items())
                loss = "before training" if progress.loss is None else f"loss {progress.loss:.5f}"
                console.say(f"step {progress.step}, {progress.seconds:.0f} s, {loss}: {figures}")
    if leads:
        console.say(f"weights: {out / MODEL}")


def _steps(stage: str) -> str:
    return f"{stage.upper()} steps"


def _stages(settings: "Settings") -> "list[Stage]":
    """What a run will tell of, in its order."""
    from saint_cli.progress import Stage

    block_s, step_s = SECONDS[settings.size]
    blocks = [Stage("blocks", block_s * settings.blocks)] if settings.stage == "rfn" else []
    return [Stage("volumes", VOLUMES_S), *blocks, Stage(_steps(settings.stage), step_s * settings.schedule.steps)]


def _schedule(out: Path, stage: str, told: dict[str, Any], *, resume: bool) -> "Schedule":
    """The schedule that was told, the rest as it was in the run to resume, or as it is by default."""
    from saint_cli import console
    from saint_cli.training.loop import CHECKPOINT, Schedule
    from saint_cli.training.run import STEPS, kept_schedule

    if not (resume and (out / stage / CHECKPOINT).is_file()):
        return replace(Schedule(STEPS), **told)
    before = kept_schedule(out, stage)
    for name, value in told.items():
        if value != getattr(before, name):
            console.say(f"{name.replace('_', ' ')}: {getattr(before, name)} so far, {value} from here on")
    return replace(before, **told)


train.__doc__ = f"{train.__doc__}\n{examples.TRAIN}"
