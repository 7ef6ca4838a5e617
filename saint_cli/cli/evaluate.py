"""``saint evaluate``: how much better than interpolation, on dense volumes of one's own."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from saint_cli.cli import complete, examples, options

INTERPOLATORS = "linear cubic bspline lanczos bicubic-misaligned"


def evaluate(
    *,
    volumes: Annotated[
        list[Path], Argument(metavar="VOLUME…", help="Dense volumes: NIfTI, NRRD or MHA files, DICOM folders or zips.")
    ],
    factor: Annotated[
        str, Option("-f", "--factor", metavar="LIST", help="Factors from 2 to 16, such as 2,2.5,4.")
    ] = "4",
    model: Annotated[
        str,
        Option(
            "-m",
            "--model",
            metavar="LIST",
            autocompletion=complete.several(complete.model_names),
            help="auto (base on a GPU, fast on a CPU), base, fast, weights files: one or several.",
        ),
    ] = "auto",
    against: Annotated[
        str,
        Option(
            "--against", metavar="LIST", autocompletion=complete.several(INTERPOLATORS.split), help="Interpolators."
        ),
    ] = ",".join(INTERPOLATORS.split()),
    protocol: Annotated[
        str,
        Option(
            "--protocol",
            metavar="NAME",
            autocompletion=complete.words("paper", "all"),
            help="paper or all: what is compared, see above.",
        ),
    ] = "paper",
    degrade: Annotated[
        str,
        Option(
            "--degrade",
            metavar="NAME",
            autocompletion=complete.words("decimate", "average"),
            help="decimate: keep single slices; average: slabs, as scanners do.",
        ),
    ] = "decimate",
    slices: Annotated[
        int | None, Option("--slices", metavar="N", help="Score only this many central slices, 3 or more.")
    ] = None,
    axis: options.Axis = None,
    tta: options.Tta = False,
    match_noise: options.MatchNoise = False,
    no_skip_air: options.NoSkipAir = False,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
    figure: Annotated[
        Path | None,
        Option("--figure", metavar="PATH", help="Draw difference maps of the first volume and factor: a .png."),
    ] = None,
    calibration: Annotated[
        bool, Option("--calibration", help="Show observed against predicted errors; JSON always has them.")
    ] = False,
    as_json: Annotated[bool, Option("--json", help="Print everything as JSON instead of tables.")] = False,
    json_file: Annotated[
        Path | None, Option("--json-file", metavar="PATH", help="Write the JSON here and still print the tables.")
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Drop slices of dense volumes, restore them, and score every stage against interpolation."""
    from saint_cli import console, cores, devices, shipped
    from saint_cli.choices import Choices
    from saint_cli.cli import evaluate_view, words
    from saint_cli.interpolate import METHODS
    from saint_cli.io.places import check_distinct
    from saint_cli.metrics import PROTOCOLS
    from saint_cli.scores import DEGRADATIONS

    chosen = (words.factors(factor), words.axis(axis), words.at_least("--slices", slices, 3))
    methods, models = words.listed("--against", against, tuple(METHODS)), words.listed("--model", model)
    words.one_of("--protocol", protocol, tuple(PROTOCOLS))
    words.one_of("--degrade", degrade, tuple(DEGRADATIONS))
    words.new_file("--figure", figure, ".png", overwrite=overwrite)
    words.new_file("--json-file", json_file, ".json", overwrite=overwrite)
    written = [(f"{name} {path}", path) for name, path in (("--figure", figure), ("--json-file", json_file)) if path]
    read = dict.fromkeys(volumes, "one of the volumes") | dict.fromkeys(map(Path, models), "the weights file")
    check_distinct(written, read)
    devices.check(device, precision, threads=threads)
    for name in models:
        shipped.check(name)
    seen = cores.Observation()
    with console.progress(quiet=as_json) as report:
        report("loading networks", 0, 1)
        from saint_cli import compute, memory  # torch takes seconds, and so comes only now
        from saint_cli.evaluate import Cases, Criteria, evaluate_all

        cases = Cases(volumes, *chosen)
        criteria = Criteria(
            methods, PROTOCOLS[protocol], degrade, Choices(tta=tta, match_noise=match_noise, skip_air=not no_skip_air)
        )
        memory.keep_freed()
        machine = compute.choose(device, precision)
        models = list(dict.fromkeys(shipped.resolve(name, machine.device.type) for name in models))
        line = evaluate_view.describe_machine(models, machine.devices, compute.take_threads(threads, seen))
        outcomes = evaluate_all(cases, models, criteria, machine, evaluate_view.Announcement(report, line), report.warn)
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
