"""``saint evaluate``: how much better than interpolation, on dense volumes of one's own."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """
[bold]Examples[/bold]

  [green]saint evaluate dense.nii.gz --factor 4[/green]

  [green]saint evaluate a.nii.gz b.nii.gz -f 2,4,6 -m base,fast --json[/green]

  [green]saint evaluate dense.nii.gz -f 4 --degrade average --figure maps.png[/green]

Protocol paper compares synthesised slices: HU + 1024 clipped to 0…4000, data
range 4000, central 256 x 256 pixels, mean over slices. Protocol all compares
every slice, whole, with range 4095.

A factor such as 2.5 = 5/2 keeps every 5th slice and compares every 2nd, so
its gaps, and its figures, are those of factor 5.
"""


def evaluate(
    *,
    volumes: Annotated[list[Path], typer.Argument(metavar="VOLUME…", help="Dense volumes: files or DICOM folders.")],
    factor: Annotated[str, typer.Option("-f", "--factor", help="Factors from 2 to 16, such as 2,2.5,4.")] = "4",
    model: Annotated[str, typer.Option("-m", "--model", help="base, fast, weights files: one or several.")] = "base",
    against: Annotated[
        str, typer.Option("--against", help="Interpolators: linear,cubic,bspline,lanczos,bicubic-misaligned.")
    ] = "linear,cubic,bspline,lanczos,bicubic-misaligned",
    protocol: Annotated[str, typer.Option("--protocol", help="paper or all: what is compared, see below.")] = "paper",
    degrade: Annotated[
        str, typer.Option("--degrade", help="decimate: keep single slices; average: slabs, as scanners do.")
    ] = "decimate",
    slices: Annotated[int | None, typer.Option("--slices", help="Score only this many central slices.")] = None,
    axis: Annotated[str | None, typer.Option("--axis", help="Through-plane voxel axis: x, y or z.")] = None,
    tta: Annotated[bool, typer.Option("--tta", help="Average over flips: a little better, 4 times the time.")] = False,
    match_noise: Annotated[
        bool, typer.Option("--match-noise", help="Make synthesised slices as noisy as acquired ones.")
    ] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="auto, fp32, bf16 or fp16.")] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", help="CPU threads; default all cores.")] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Draw difference maps of the first volume and factor: a .png.")
    ] = None,
    calibration: Annotated[
        bool, typer.Option("--calibration", help="Show observed against predicted errors; JSON always has them.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON instead of tables.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json-file", help="Write the JSON here and still print the tables.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing figure or JSON file.")] = False,
) -> None:
    """Drop slices of dense volumes, restore them, and score every stage against interpolation."""
    from saint_cli import compute, console
    from saint_cli.cli import evaluate_view, words
    from saint_cli.directions import Choices
    from saint_cli.evaluate import Cases, Criteria, evaluate_all
    from saint_cli.interpolate import METHODS
    from saint_cli.metrics import PROTOCOLS
    from saint_cli.report import difference_maps
    from saint_cli.scores import DEGRADATIONS

    cases = Cases(volumes, words.factors(factor), words.axis(axis), words.at_least("--slices", slices, 3))
    methods = words.listed("--against", against, tuple(METHODS))
    words.one_of("--protocol", protocol, tuple(PROTOCOLS))
    words.one_of("--degrade", degrade, tuple(DEGRADATIONS))
    criteria = Criteria(methods, PROTOCOLS[protocol], degrade, Choices(tta=tta, match_noise=match_noise))
    words.new_file("--figure", figure, ".png", overwrite=overwrite)
    words.new_file("--json-file", json_file, ".json", overwrite=overwrite)
    compute.set_threads(threads)
    machine = compute.choose(device, precision)
    with console.progress(quiet=as_json) as report:
        outcomes = evaluate_all(cases, words.listed("--model", model), criteria, machine, report)
    found = evaluate_view.document(outcomes, criteria)
    if json_file is not None:
        json_file.write_text(console.as_json(found), encoding="utf-8")
    if figure is not None:
        difference_maps.draw(evaluate_view.comparison(outcomes[0], criteria), figure)
    if as_json:
        console.show_json(found)
    else:
        evaluate_view.show(outcomes, criteria, calibration=calibration)


evaluate.__doc__ = f"{evaluate.__doc__}\n{EXAMPLES}"
