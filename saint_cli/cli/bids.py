"""``saint bids``: a BIDS App, the thick anatomical images of a BIDS data set into a derivative data set."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saint_cli.cli import parsing
from saint_cli.cli.batch import BatchOptions
from saint_cli.cli.parameters import DryRun, Quiet, SummaryAsJson, Typed, takes_options
from saint_cli.options.fields import Option, Panel, from_typed, get_options, list_options, pick_options
from saint_cli.options.grid import GridRequest
from saint_cli.options.job import make_settings
from saint_cli.options.method import MethodOptions
from saint_cli.options.model import ModelConfig
from saint_cli.options.values import ALL_VOLUMES, match_word

if TYPE_CHECKING:
    from saint_cli.batch.workflow import BatchRequest

LEVEL = "participant"


def parse_labels(prefix: str) -> Callable[[Sequence[str]], tuple[str, ...]]:
    """A parser of ``01 sub-02 03,04``: labels without the prefix, each once."""

    def parse(words: Sequence[str]) -> tuple[str, ...]:
        labels = [label.strip().removeprefix(prefix) for word in words for label in word.split(",")]
        return tuple(dict.fromkeys(filter(None, labels)))

    return parse


@dataclass(frozen=True)
class BidsOptions:
    """Which images of the data set are taken; none named stands for all."""

    participants: tuple[str, ...] = Option(
        "--participant-label", "Participants, with or without sub-.", Panel.INPUT, list[str], None, "LABEL...",
        parse=parse_labels("sub-"),
    ).as_field()  # fmt: skip
    sessions: tuple[str, ...] = Option(
        "--session-label", "Sessions, with or without ses-.", Panel.INPUT, list[str], None, "LABEL...",
        parse=parse_labels("ses-"),
    ).as_field()  # fmt: skip
    suffixes: tuple[str, ...] = Option(
        "--suffix", "Suffixes such as FLAIR T2w.", Panel.INPUT, list[str], None, "SUFFIX...", parse=parse_labels("")
    ).as_field()
    skip_bids_validation: bool = Option(
        "--skip-bids-validation", "Accepted for BIDS Apps; saint never runs the validator.", Panel.INPUT
    ).as_field()


BATCH_OPTIONS = (
    *pick_options(BatchOptions, "pages", "overwrite", "scheduler", "retry_failed"),
    replace(get_options(BatchOptions)["workers"], flags="--n-procs --workers"),
)


@takes_options(
    *list_options(BidsOptions, GridRequest, ModelConfig),
    *pick_options(MethodOptions, "tta", "directions", "regenerate"),
    *BATCH_OPTIONS,
)
def bids(
    *,
    bids_dir: Annotated[str, typer.Argument(metavar="BIDS_DIR", help="Root of the BIDS data set.")],
    output_dir: Annotated[str, typer.Argument(metavar="OUTPUT_DIR", help="Folder of the derivative data set.")],
    analysis_level: Annotated[str, typer.Argument(metavar=LEVEL, help="The only level of analysis.")],
    typed: Typed,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: SummaryAsJson = False,
) -> None:
    """Upsample the thick anatomical images of a BIDS data set into a BIDS derivative data set."""
    from saint_cli.bids import names, workflow
    from saint_cli.bids.dataset import Selection
    from saint_cli.cli import batch_view, console, plan_view, progress_display

    match_word("the level of analysis", analysis_level, (LEVEL,))
    options = from_typed(BidsOptions, typed)
    suffixes = tuple(match_word("--suffix", suffix, names.list_suffixes()) for suffix in options.suffixes or ())
    chosen = Selection(options.participants or (), options.sessions or (), suffixes)
    request, root = _make_request(bids_dir, output_dir, typed), parsing.parse_local_path(bids_dir)
    with progress_display.show_progress(quiet=quiet or as_json) as on_progress:
        run = workflow.discover(request, root, chosen, lambda count: on_progress("scans found", count, 0))
    if dry_run:
        plan, state = run.make_plan()
        raise typer.Exit(
            plan_view.show_plan(request, plan, state, quiet=quiet, as_json=as_json, name_scan=run.name_source)
        )
    with batch_view.show_batch_progress(quiet=quiet or as_json, name_scan=run.name_source) as (
        on_batch_progress,
        on_message,
    ):
        summary = run.run(on_batch_progress, on_message)
    batch_view.show_outcome(summary, request, quiet=quiet, as_json=as_json, name_scan=run.name_source)
    if request.rerun_policy.pages and summary.ran and not (summary.index or quiet or as_json):
        console.print_message(f"lists of all scans: {run.output}/sub-*/report/index.html")
    raise typer.Exit(summary.exit_code)


def _make_request(bids_dir: str, output_dir: str, typed: Mapping[str, Any]) -> "BatchRequest":
    """What is common to all participants.

    Raises:
        UsageError: values that options cannot have, or options that exclude each other; a URL.
    """
    from saint_cli.batch.plan import RerunPolicy
    from saint_cli.batch.search import SearchRules
    from saint_cli.batch.workflow import BatchRequest

    options = from_typed(BatchOptions, typed)
    settings = make_settings({**typed, "modality": "mr", "volume": ALL_VOLUMES})
    return BatchRequest(
        inputs=(parsing.parse_local_path(bids_dir),),
        rules=SearchRules(lambda row: settings, parsing.parse_local_path(output_dir)),
        rerun_policy=RerunPolicy(
            options.retry_failed, options.overwrite, options.pages, advice="choose another OUTPUT_DIR"
        ),
        model_config=settings.model_config,
        workers=options.workers,
        scheduler=options.scheduler,
    )
