"""``saint evaluate``: how much better than interpolation, on your own dense volumes."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saint_cli.cli.parameters import PathOption, Typed, declare, takes_options
from saint_cli.cli.parsing import check_new_file, list_of, parse_factors, parse_models
from saint_cli.errors import UsageError
from saint_cli.errors.parameter_names import adapt_message
from saint_cli.options.completion import list_completer, list_model_names
from saint_cli.options.fields import Option, Panel, count_option, from_typed, list_options, pick_options, word_option
from saint_cli.options.grid import GridRequest
from saint_cli.options.method import MATCH_NOISE_WARNING, MethodOptions
from saint_cli.options.model import ModelConfig

if TYPE_CHECKING:
    from saint_cli.evaluation.evaluate import EvaluationOptions, EvaluationResult

INTERPOLATORS = ("linear", "cubic", "bspline", "lanczos", "bicubic-misaligned")
"""Those of ``evaluation.interpolators``, here without its imports; a test compares them, and those below."""

MEASURES = ("noise", "tissues")


@dataclass(frozen=True)
class EvaluateOptions:
    """What is compared, with what, and how the result is written."""

    factors: tuple[int | Fraction, ...] = Option(
        "-f --factor", "Factors from 2 to 16, such as 2,2.5,4.", Panel.GRID, str, "4", "LIST", parse=parse_factors
    ).as_field()
    axis: int | None = pick_options(GridRequest, "axis")[0].as_field()
    models: tuple[str, ...] = Option(
        "-m --model",
        "auto (medium, mr-medium on MR, slab-medium with --slab), base, medium, fast, or files: one or several.",
        Panel.METHOD, str, "auto", "LIST", list_completer(list_model_names), parse_models,
    ).as_field()  # fmt: skip
    methods: tuple[str, ...] = Option(
        "--against", "Interpolators.", Panel.COMPARISON, str, ",".join(INTERPOLATORS), "LIST",
        list_completer(lambda: INTERPOLATORS), list_of("--against", *INTERPOLATORS),
    ).as_field()  # fmt: skip
    protocol: str = word_option(
        "--protocol", "paper or all: what is compared, see above.", Panel.COMPARISON, ("paper", "all")
    ).as_field()
    degradation: str = word_option(
        "--degrade", "decimate: keep single slices; average, gaussian: slabs, as scanners do, by a box or a Gaussian.",
        Panel.COMPARISON, ("decimate", "average", "gaussian"),
    ).as_field()  # fmt: skip
    slabs: bool = Option(
        "--slab", "Make thin slices of averaged ones, by models for slabs; needs --degrade average or gaussian.",
        Panel.COMPARISON,
    ).as_field()  # fmt: skip
    slices: int | None = count_option(
        "--slices", "Score only this many central slices, 3 or more.", Panel.COMPARISON, least=3
    ).as_field()
    measures: tuple[str, ...] = Option(
        "--measure", "noise, tissues (bone, lung, fat, and edges across slices): one or both, in tables of their own.",
        Panel.COMPARISON, str, None, "LIST", list_completer(lambda: MEASURES), list_of("--measure", *MEASURES),
    ).as_field()  # fmt: skip
    calibration: bool = Option(
        "--calibration", "Show observed against predicted errors, also as the scan's self-check predicts them.",
        Panel.COMPARISON,
    ).as_field()  # fmt: skip
    figure: Path | None = PathOption(
        "--figure", "Draw difference maps of the first volume and factor: a .png.", parse=Path
    ).as_field()
    json_file: Path | None = PathOption(
        "--json-file", "Write the JSON here and still print the tables.", parse=Path
    ).as_field()
    overwrite: bool = Option("--overwrite", "Replace an existing output.", Panel.OUTPUT).as_field()


@takes_options(
    *list_options(EvaluateOptions),
    *pick_options(MethodOptions, "noise", "match_noise", "tta", "skip_air"),
    *pick_options(ModelConfig, "device", "precision", "threads"),
)
def evaluate(
    *,
    volumes: Annotated[
        list[Path],
        typer.Argument(metavar="VOLUME...", help="Dense volumes: NIfTI, NRRD or MHA files, DICOM folders or zips."),
    ],
    typed: Typed,
    as_json: Annotated[bool, declare("--json", "Print everything as JSON instead of tables.")] = False,
) -> None:
    """Drop slices of dense volumes, restore them, and score every stage against interpolation."""
    from saint_cli.cli import console, evaluate_view

    options, config = from_typed(EvaluateOptions, typed), from_typed(ModelConfig, typed | {"model": None})
    _check(options, config, volumes)
    if typed.get("match_noise"):
        console.print_warning(adapt_message(MATCH_NOISE_WARNING))
    results, evaluation_options = _score(options, from_typed(MethodOptions, typed), config, volumes, quiet=as_json)
    document = evaluate_view.make_document(results, evaluation_options)
    if options.json_file is not None:
        from saint_cli.io.whole_files import write_text

        write_text(console.format_json(document), options.json_file, overwrite=options.overwrite)
    if options.figure is not None:
        from saint_cli.report import difference_maps

        comparison = evaluate_view.make_comparison(results[0], evaluation_options)
        difference_maps.write_difference_maps(comparison, options.figure, overwrite=options.overwrite)
    if as_json:
        console.print_json(document)
    else:
        evaluate_view.show_scores(results, evaluation_options, calibration=options.calibration)


def _check(options: EvaluateOptions, config: ModelConfig, volumes: list[Path]) -> None:
    """Refuse options and files that do not fit, and what fits no machine, before anything is computed."""
    from saint_cli.io.path_identity import check_distinct
    from saint_cli.models import shipped

    if options.slabs and options.degradation == "decimate":
        raise UsageError("--slab compares thin slices of slabs; give --degrade average, or gaussian, too")
    fractions = [factor for factor in options.factors if Fraction(factor).denominator > 1]
    if options.slabs and fractions:
        raise UsageError(
            f"--slab needs whole factors, for slabs of {float(fractions[0]):g} slices are none of the truth"
        )
    if options.slabs and options.calibration:
        raise UsageError("--calibration is of slices between acquired ones, and --slab keeps none; leave one out")
    outputs = []
    for flag, path, ending in (("--figure", options.figure, ".png"), ("--json-file", options.json_file, ".json")):
        if path is not None:
            check_new_file(flag, path, ending, overwrite=options.overwrite)
            outputs.append((f"{flag} {path}", path))
    inputs = dict.fromkeys(volumes, "one of the volumes")
    files = [Path(model) for model in options.models if not shipped.is_name(model)]
    check_distinct(outputs, inputs | dict.fromkeys(files, "the weights file"))
    for name in options.models:
        replace(config, model=name).check(slabs=options.slabs or (None if options.degradation != "decimate" else False))


def _score(
    options: EvaluateOptions, method: MethodOptions, config: ModelConfig, volumes: list[Path], *, quiet: bool
) -> "tuple[list[EvaluationResult], EvaluationOptions]":
    """The scores of all volumes, and what they were scored by."""
    from saint_cli.cli import evaluate_view, progress_display
    from saint_cli.models import shipped
    from saint_cli.runtime import cores

    load = cores.CoreLoad()
    with progress_display.show_progress(quiet=quiet) as on_progress:
        on_progress("loading networks", 0, 1)
        from saint_cli.evaluation import metrics
        from saint_cli.evaluation.evaluate import EvaluationOptions, evaluate_all
        from saint_cli.evaluation.inputs import EvaluationInputs
        from saint_cli.runtime import device_selection, memory  # torch takes seconds, and so comes only now

        inputs = EvaluationInputs(volumes, list(options.factors), options.axis, options.slices)
        evaluation_options = EvaluationOptions(
            interpolators=options.methods,
            protocol=metrics.PROTOCOLS[options.protocol],
            degradation=options.degradation,
            measures=options.measures or (),
            checks_calibration=options.calibration,
            method_options=method,
            slabs=options.slabs,
        )
        memory.keep_freed_memory()
        compute = device_selection.select_compute(config.device, config.precision)
        models = list(dict.fromkeys(options.models))
        threads = device_selection.select_threads(config.threads, load)
        of_ct = [shipped.resolve_name(name, slabs=options.slabs) for name in models]
        line = evaluate_view.describe_machine(list(dict.fromkeys(of_ct)), compute.devices, threads)
        announced = evaluate_view.AnnouncedProgress(on_progress, line)
        return evaluate_all(
            inputs, models, evaluation_options, compute, announced, on_progress.print_warning
        ), evaluation_options
