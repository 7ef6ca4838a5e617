"""``saint batch``: every thick-slice scan of folders, files and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saint_cli.cli import parsing
from saint_cli.cli.job_options import list_unused, merge_row
from saint_cli.cli.parameters import DryRun, PathOption, Quiet, SummaryAsJson, Typed, takes_options
from saint_cli.cli.parsing import list_of
from saint_cli.errors import UsageError
from saint_cli.options.completion import list_completer, word_completer
from saint_cli.options.fields import Option, Panel, count_option, from_typed, list_options, word_option
from saint_cli.options.job import JOB_OPTIONS, make_settings
from saint_cli.options.values import ALL_VOLUMES

FORMATS = ("nii.gz", "nrrd", "mha", "dicom")

if TYPE_CHECKING:
    from saint_cli.batch.workflow import BatchRequest

KINDS = ("derived", "label")

OF_ONE_SCAN = ("series", "volume", "allow_labels")
"""Options of a job that only a table's row may set; of ``volume`` a batch itself may say "all"."""

LABELS_HELP = "Also bring the label map of each scan; the path is made of {path}, {folder}, {name}."


def check_all(word: str) -> str:
    """``all``; a number would be of one scan.

    Raises:
        UsageError: another word.
    """
    if word.lower() != ALL_VOLUMES:
        raise UsageError(
            f"--volume {word}: for many scans only all; a table's column volume chooses the volume of one scan"
        )
    return ALL_VOLUMES


@dataclass(frozen=True)
class BatchOptions:
    """What a batch does with all its scans."""

    state_dir: Path | None = PathOption("--state-dir", "If OUT_DIR is a URL: folder of manifest and pages.").as_field()
    output_format: str = word_option(
        "--to", f"Format: {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.", Panel.OUTPUT, FORMATS
    ).as_field()
    name_template: str = Option(
        "--name-template", "Names of results, made of {path}, {folder}, {name}, {series}.", Panel.OUTPUT, str, "{path}",
        "TEXT",
    ).as_field()  # fmt: skip
    pages: bool = Option(
        "--pages/--no-pages", "Write a page of pictures per scan; takes an eighth of the time, more if small.",
        Panel.OUTPUT, default=True,
    ).as_field()  # fmt: skip
    overwrite: bool = Option(
        "--overwrite", "Replace files that no batch wrote, and results of other scans.", Panel.OUTPUT
    ).as_field()
    include: tuple[str, ...] | None = Option(
        "--include", "Also take stacks that are skipped otherwise: derived, label.", Panel.INPUT, str, None, "LIST",
        list_completer(lambda: KINDS), list_of("--include", *KINDS),
    ).as_field()  # fmt: skip
    volume: str | None = Option(
        "--volume", "all: every volume of 4-D scans, a job for each scan.", Panel.INPUT, str, None, "all",
        word_completer(ALL_VOLUMES), check_all,
    ).as_field()  # fmt: skip
    workers: int | None = count_option(
        "--workers", "Jobs at once; default: as many as fit this machine.", Panel.MACHINE
    ).as_field()
    scheduler: str | None = Option(
        "--scheduler", "A Dask cluster: tcp://HOST:PORT or its scheduler file.", Panel.MACHINE, str, None, "ADDRESS"
    ).as_field()
    retry_failed: bool = Option("--retry-failed", "Try every failed scan again.", Panel.RUN).as_field()


def _list_options_of_scans() -> list[Option]:
    options = [one for one in list_options(*JOB_OPTIONS) if one.name not in OF_ONE_SCAN]
    return [replace(one, help=LABELS_HELP) if one.name == "labels" else one for one in options]


@takes_options(*list_options(BatchOptions), *_list_options_of_scans())
def batch(
    *,
    inputs: Annotated[
        list[str], typer.Argument(metavar="IN...", help="Folders, files, patterns, URLs, .csv or .jsonl.")
    ],
    out: Annotated[
        str, typer.Argument(metavar="OUT_DIR", help="Folder of the results and of manifest.jsonl; or a URL.")
    ],
    typed: Typed,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: SummaryAsJson = False,
) -> None:
    """Upsample every scan that is found, on all cores, GPUs or a cluster; one failed scan does not stop the others."""
    from saint_cli.batch import manifest, workflow
    from saint_cli.cli import batch_view, plan_view, progress_display

    request = _make_request(inputs, out, from_typed(BatchOptions, typed), typed)
    with progress_display.show_progress(quiet=quiet or as_json) as on_progress:
        findings = workflow.discover(request, lambda count: on_progress("scans found", count, 0))
    if dry_run:
        state = manifest.read_state(request.state_dir)
        plan = workflow.make_plan(request, findings, state)
        raise typer.Exit(plan_view.show_plan(request, plan, state, quiet=quiet, as_json=as_json))
    with batch_view.show_batch_progress(quiet=quiet or as_json) as (on_batch_progress, on_message):
        summary = workflow.run_parts([workflow.BatchPart(request, findings)], on_batch_progress, on_message)
    batch_view.show_outcome(summary, request, quiet=quiet, as_json=as_json)
    raise typer.Exit(summary.exit_code)


def _make_request(inputs: Sequence[str], out: str, options: BatchOptions, typed: Mapping[str, Any]) -> "BatchRequest":
    """What ``saint batch`` is to do.

    Raises:
        UsageError: values that options cannot have, or options that exclude each other.
    """
    from saint_cli.batch.inputs import is_table
    from saint_cli.batch.plan import RerunPolicy
    from saint_cli.batch.search import SearchRules
    from saint_cli.batch.workflow import BatchRequest

    kinds = frozenset(options.include or ())
    typed = {**typed, "allow_labels": "label" in kinds}
    settings, places = make_settings(typed), tuple(map(parsing.parse_path_or_url, inputs))
    has_labels = settings.label_settings.labels is not None or any(map(is_table, places))
    if not has_labels and (unused := list_unused(settings)):
        raise UsageError(f"{unused[0]} needs label maps; name them with --labels")
    state_dir, url = parsing.parse_batch_output(out, options.state_dir)
    return BatchRequest(
        inputs=places,
        rules=SearchRules(lambda row: make_settings(merge_row(typed, row)), state_dir, kinds, url),
        rerun_policy=RerunPolicy(options.retry_failed, options.overwrite, options.pages),
        model_config=settings.model_config,
        output_format=options.output_format,
        name_template=options.name_template,
        workers=options.workers,
        scheduler=options.scheduler,
    )
