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

With the error, in HU, that each voxel is expected to have:
  [green]saint upsample chest.nii.gz -o iso.nii.gz --uncertainty error.nii.gz[/green]

A DICOM series of a DICOM series, for the archive:
  [green]saint upsample FOLDER --factor 4 -o NEW_FOLDER/[/green]

Acquired slices on the new grid (all of them with --factor) are copied bit
for bit; origin and orientation stay.
"""


def upsample(
    *,
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="NIfTI, NRRD, MHA file or DICOM folder.")],
    target: Annotated[Path, typer.Option("-o", "--output", help="File (.nii, .nii.gz, .nrrd, .mha) or DICOM folder.")],
    factor: Annotated[int | None, typer.Option("-f", "--factor", help="How many times as many slices, 2…16.")] = None,
    spacing: Annotated[float | None, typer.Option("--spacing", help="Wanted distance between slices, mm.")] = None,
    isotropic: Annotated[bool, typer.Option("--isotropic", help="As fine as in-plane; the default.")] = False,
    axis: Annotated[str | None, typer.Option("--axis", help="Through-plane voxel axis: x, y or z.")] = None,
    series: Annotated[str | None, typer.Option("--series", help="Which DICOM series: number or UID.")] = None,
    volume: Annotated[int | None, typer.Option("--volume", help="Which volume of a 4-D scan, from 1.")] = None,
    modality: Annotated[str, typer.Option("--modality", help="auto, ct or mr: how to read intensities.")] = "auto",
    model: Annotated[str, typer.Option("-m", "--model", help="base, fast, or a weights file.")] = "base",
    directions: Annotated[int, typer.Option("--directions", help="2, or 4 with both diagonals.")] = 2,
    tta: Annotated[bool, typer.Option("--tta", help="Average over flips: a little better, 4 times the time.")] = False,
    match_noise: Annotated[
        bool, typer.Option("--match-noise", help="Make synthesised CT slices as noisy as acquired ones.")
    ] = False,
    regenerate: Annotated[
        bool, typer.Option("--regenerate", help="Run acquired slices through the networks too.")
    ] = False,
    extrapolate: Annotated[bool, typer.Option("--extrapolate", help="Go on past the last slice (N·r).")] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="auto, fp32, bf16 or fp16.")] = "auto",
    batch_size: Annotated[str, typer.Option("--batch-size", help="Slices at once; auto fits the device.")] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", help="CPU threads; default all cores.")] = None,
    uncertainty: Annotated[
        Path | None, typer.Option("--uncertainty", help="Also write every voxel's expected error, HU, to this file.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    keep_slice_thickness: Annotated[
        bool, typer.Option("--keep-slice-thickness", help="Keep SliceThickness in DICOM output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Interpolate the slices of one thick-slice scan with SAINT."""
    from dataclasses import asdict, replace

    from saint_cli import console
    from saint_cli.cli import words
    from saint_cli.directions import Choices
    from saint_cli.jobs import Engine, Grid, Job, run_job

    grid = Grid(factor, words.grid_spacing(spacing, isotropic, factor), words.axis(axis), extrapolate)
    engine = Engine(model, device, precision, words.batch_size(batch_size), threads)
    choices = Choices(words.directions(directions), regenerate, tta, match_noise)
    chosen = words.at_least("--volume", volume, 1)
    job = Job(source, target, grid, engine, choices, series, words.modality(modality), overwrite)
    job = replace(job, uncertainty=uncertainty, volume=chosen, keep_slice_thickness=keep_slice_thickness)
    with console.progress(quiet=quiet or as_json) as report:
        done = run_job(job, report)
    if as_json:
        console.show_json(asdict(done))
    elif not quiet:
        for sentence in done.warnings:
            console.warn(sentence)
        console.say(done.summary)


upsample.__doc__ = f"{upsample.__doc__}\n{EXAMPLES}"
