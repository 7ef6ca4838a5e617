"""``saint train``: dense volumes to weights."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """
[bold]Examples[/bold]

  [green]saint train scans/ --val held_back/ --out run --size fast[/green]

  [green]saint train scans/ --val held_back/ --out run --size fast --stage rfn[/green]

  [green]saint upsample thick.nii.gz -m run/model.safetensors -o thin.nii.gz[/green]

On a CPU shared with other work, --threads 1 is several times faster than
two threads that wait for each other.
"""


def train(
    *,
    data_dir: Annotated[Path, typer.Argument(metavar="DATA_DIR", help="Folder of dense volumes to train on.")],
    val: Annotated[Path, typer.Option("--val", help="Folder of dense volumes to validate on.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Run folder: checkpoints, log, model.safetensors.")],
    stage: Annotated[str, typer.Option("--stage", help="ami first, then rfn.")] = "ami",
    size: Annotated[str, typer.Option("--size", help="base or fast.")] = "base",
    steps: Annotated[int, typer.Option("--steps", help="Optimiser steps of the whole cosine schedule.")] = 20_000,
    learning_rate: Annotated[float, typer.Option("--lr", help="Peak learning rate.")] = 5e-4,
    batch: Annotated[int, typer.Option("--batch", help="AMI patches per step.")] = 8,
    blocks: Annotated[int, typer.Option("--blocks", help="Blocks of volumes that the rfn stage learns from.")] = 120,
    rfn_context: Annotated[bool, typer.Option(help="RFN sees the acquired neighbours too.")] = True,
    rfn_dims: Annotated[int, typer.Option("--rfn-dims", help="2, or 3 for the paper's 3-D variant.")] = 2,
    validate_every: Annotated[int, typer.Option("--validate-every", help="Steps between validations.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Of patches and initial weights.")] = 0,
    bf16: Annotated[bool, typer.Option("--bf16", help="bfloat16 autocast, for processors that have it.")] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", help="CPU threads; default all cores.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
) -> None:
    """Train AMI (Eq. 9) or RFN (Eq. 11) on dense volumes, made sparse by decimation (Eq. 1)."""
    from saint_cli import compute, console
    from saint_cli.cli import words
    from saint_cli.training.loop import Schedule
    from saint_cli.training.run import MODEL, Settings, train

    words.one_of("--stage", stage, ("ami", "rfn"))
    words.one_of("--size", size, ("base", "fast"))
    words.one_of("--rfn-dims", str(rfn_dims), ("2", "3"))
    compute.set_threads(threads)
    schedule = Schedule(steps=steps, learning_rate=learning_rate, validate_every=validate_every, bf16=bf16)
    settings = Settings(
        stage, size, schedule, seed, batch, blocks=blocks, context=rfn_context, dims=rfn_dims, device=device
    )
    with console.progress(quiet=False) as report:
        for progress in train(settings, data_dir, val, out, resume=resume, say=report):
            report(f"{stage} steps", progress.step, steps)
            if progress.validation is not None:
                figures = ", ".join(f"{name} {value:.2f}" for name, value in progress.validation.items())
                console.say(f"step {progress.step}, {progress.seconds:.0f} s, loss {progress.loss:.5f}: {figures}")
    console.say(f"weights: {out / MODEL}")


train.__doc__ = f"{train.__doc__}\n{EXAMPLES}"
