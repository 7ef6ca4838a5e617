"""``saint upsample``: one scan in, one scan with finer slices out."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """
[bold]Examples[/bold]

Isotropic voxels:
  [green]saint upsample chest.nii.gz -o chest_iso.nii.gz[/green]

Three new slices between each two acquired ones:
  [green]saint upsample chest.nii.gz --factor 4 -o chest_x4.nii.gz[/green]

Slices 1 mm apart, quickly, from a DICOM folder:
  [green]saint upsample FOLDER --spacing 1 --model fast -o chest.nrrd[/green]

Acquired slices on the new grid (all of them with --factor) are copied bit
for bit; origin and orientation stay.
"""


def upsample(
    *,
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="NIfTI, NRRD, MHA file or DICOM folder.")],
    target: Annotated[Path, typer.Option("-o", "--output", help="File to write: .nii, .nii.gz, .nrrd or .mha.")],
    factor: Annotated[int | None, typer.Option("-f", "--factor", help="How many times as many slices, 2…16.")] = None,
    spacing: Annotated[float | None, typer.Option("--spacing", help="Wanted distance between slices, mm.")] = None,
    isotropic: Annotated[bool, typer.Option("--isotropic", help="As fine as in-plane; the default.")] = False,
    axis: Annotated[str | None, typer.Option("--axis", help="Through-plane voxel axis: x, y or z.")] = None,
    series: Annotated[str | None, typer.Option("--series", help="Which DICOM series: number or UID.")] = None,
    modality: Annotated[str, typer.Option("--modality", help="auto, ct or mr: how to read intensities.")] = "auto",
    model: Annotated[str, typer.Option("-m", "--model", help="base, fast, or a weights file.")] = "base",
    directions: Annotated[int, typer.Option("--directions", help="2, or 4 with both diagonals.")] = 2,
    regenerate: Annotated[
        bool, typer.Option("--regenerate", help="Run acquired slices through the networks too.")
    ] = False,
    extrapolate: Annotated[bool, typer.Option("--extrapolate", help="Go on past the last slice (N·r).")] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="auto, fp32, bf16 or fp16.")] = "auto",
    batch_size: Annotated[str, typer.Option("--batch-size", help="Slices at once; auto fits the device.")] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", help="CPU threads; default all cores.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Interpolate the slices of one thick-slice scan with SAINT."""
    from dataclasses import asdict

    from saint_cli import console
    from saint_cli.cli import words
    from saint_cli.jobs import Engine, Grid, Job, run_job
    from saint_cli.pipeline import Choices

    grid = Grid(factor, words.grid_spacing(spacing, isotropic, factor), words.axis(axis), extrapolate)
    engine = Engine(model, device, precision, words.batch_size(batch_size), threads)
    choices = Choices(words.directions(directions), regenerate)
    job = Job(source, target, grid, engine, choices, series, words.modality(modality), overwrite)
    with console.progress(quiet=quiet or as_json) as report:
        done = run_job(job, report)
    if as_json:
        console.show_json(asdict(done))
    elif not quiet:
        for sentence in done.warnings:
            console.warn(sentence)
        console.say(done.summary)


upsample.__doc__ = f"{upsample.__doc__}\n{EXAMPLES}"
