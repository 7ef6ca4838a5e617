"""``saint evaluate``: how much better than interpolation, on dense volumes of one's own."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """
[bold]Examples[/bold]

  [green]saint evaluate dense.nii.gz --factor 4[/green]

  [green]saint evaluate a.nii.gz b.nii.gz -f 2,3,4,6,8 -m fast --json[/green]

PSNR in dB over synthesised slices: HU + 1024 clipped to 0…4000, data range
4000, central 256 x 256 pixels, mean over slices (the paper's protocol).
"""


def evaluate(
    *,
    volumes: Annotated[list[Path], typer.Argument(metavar="VOLUME…", help="Dense volumes: files or DICOM folders.")],
    factor: Annotated[str, typer.Option("-f", "--factor", help="Decimation factors, such as 2,4,6.")] = "4",
    slices: Annotated[int | None, typer.Option("--slices", help="Score only this many central slices.")] = None,
    axis: Annotated[str | None, typer.Option("--axis", help="Through-plane voxel axis: x, y or z.")] = None,
    model: Annotated[str, typer.Option("-m", "--model", help="base, fast, or a weights file.")] = "base",
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="auto, fp32, bf16 or fp16.")] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", help="CPU threads; default all cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Drop slices of dense volumes, restore them, and score every stage against linear and cubic interpolation."""
    from dataclasses import asdict
    from math import inf

    from saint_cli import compute, console
    from saint_cli.cli import words
    from saint_cli.evaluate import Cases, score_files

    compute.set_threads(threads)
    machine = compute.choose(device, precision)
    with console.progress(quiet=as_json) as report:
        cases = Cases(volumes, words.factors(factor), words.axis(axis), words.at_least("--slices", slices, 3))
        scores = score_files(cases, model, machine, report)
    rows = [asdict(score) for score in scores]
    if as_json:  # JSON has no infinity, which is what an exact result scores
        console.show_json([{k: None if v == inf else v for k, v in row.items()} for row in rows])
    else:
        cells = ([f"{v:.2f}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows)
        console.show_table(f"PSNR in dB, protocol paper, model {model}", rows[0], cells)


evaluate.__doc__ = f"{evaluate.__doc__}\n{EXAMPLES}"
