"""``saint evaluate``: how much better than interpolation, on dense volumes of one's own."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from saint_cli.cli import examples, options


def evaluate(
    *,
    volumes: Annotated[
        list[Path], Argument(metavar="VOLUME…", help="Dense volumes: NIfTI, NRRD or MHA files, DICOM folders or zips.")
    ],
    factor: Annotated[str, Option("-f", "--factor", help="Factors from 2 to 16, such as 2,2.5,4.")] = "4",
    model: Annotated[str, Option("-m", "--model", help="base, fast, weights files: one or several.")] = "base",
    against: Annotated[
        str, Option("--against", help="Interpolators: linear,cubic,bspline,lanczos,bicubic-misaligned.")
    ] = "linear,cubic,bspline,lanczos,bicubic-misaligned",
    protocol: Annotated[str, Option("--protocol", help="paper or all: what is compared, see above.")] = "paper",
    degrade: Annotated[
        str, Option("--degrade", help="decimate: keep single slices; average: slabs, as scanners do.")
    ] = "decimate",
    slices: Annotated[int | None, Option("--slices", help="Score only this many central slices, 3 or more.")] = None,
    axis: options.Axis = None,
    tta: options.Tta = False,
    match_noise: options.MatchNoise = False,
    no_skip_air: options.NoSkipAir = False,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
    figure: Annotated[
        Path | None, Option("--figure", help="Draw difference maps of the first volume and factor: a .png.")
    ] = None,
    calibration: Annotated[
        bool, Option("--calibration", help="Show observed against predicted errors; JSON always has them.")
    ] = False,
    as_json: Annotated[bool, Option("--json", help="Print everything as JSON instead of tables.")] = False,
    json_file: Annotated[
        Path | None, Option("--json-file", help="Write the JSON here and still print the tables.")
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Drop slices of dense volumes, restore them, and score every stage against interpolation."""
    from saint_cli import console, devices, shipped
    from saint_cli.choices import Choices
    from saint_cli.cli import evaluate_view, words
    from saint_cli.interpolate import METHODS
    from saint_cli.metrics import PROTOCOLS
    from saint_cli.scores import DEGRADATIONS

    chosen = (words.factors(factor), words.axis(axis), words.at_least("--slices", slices, 3))
    methods, models = words.listed("--against", against, tuple(METHODS)), words.listed("--model", model)
    words.one_of("--protocol", protocol, tuple(PROTOCOLS))
    words.one_of("--degrade", degrade, tuple(DEGRADATIONS))
    words.new_file("--figure", figure, ".png", overwrite=overwrite)
    words.new_file("--json-file", json_file, ".json", overwrite=overwrite)
    devices.check(device, precision, threads=threads)
    for name in models:
        shipped.find(name)
    from saint_cli import compute, memory  # torch takes seconds, and so comes only now
    from saint_cli.evaluate import Cases, Criteria, evaluate_all

    cases = Cases(volumes, *chosen)
    criteria = Criteria(
        methods, PROTOCOLS[protocol], degrade, Choices(tta=tta, match_noise=match_noise, skip_air=not no_skip_air)
    )
    memory.keep_freed()
    compute.set_threads(threads)
    machine = compute.choose(device, precision)
    with console.progress(quiet=as_json) as report:
        outcomes = evaluate_all(cases, models, criteria, machine, report)
    found = evaluate_view.document(outcomes, criteria)
    if json_file is not None:
        evaluate_view.write(found, json_file)
    if figure is not None:
        evaluate_view.draw(outcomes[0], criteria, figure)
    if as_json:
        console.show_json(found)
    else:
        evaluate_view.show(outcomes, criteria, calibration=calibration)


evaluate.__doc__ = f"{evaluate.__doc__}\n{examples.EVALUATE}"
