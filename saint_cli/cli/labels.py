"""``saint labels``: a label map brought to the grid of an upsampled, or of a thick, scan."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from saint_cli.cli.parameters import Quiet, SummaryAsJson, Typed, declare, takes_options
from saint_cli.cli.parsing import parse_local_path
from saint_cli.errors import UsageError
from saint_cli.options.fields import Option, Panel, from_typed, get_options, pick_options
from saint_cli.options.job import JobSettings
from saint_cli.options.labels import LabelSettings
from saint_cli.options.model import ModelConfig

if TYPE_CHECKING:
    from saint_cli.jobs.label_job import LabelJob

VOLUME = replace(
    get_options(JobSettings)["volume"], help="Which volume of a 4-D scan, from 1.", metavar="N", complete=None
)
"""All volumes of a scan have one grid, so that "all" says nothing here."""

OF_LABELS = (
    Option("--overwrite", "Replace an existing output.", Panel.OUTPUT),
    *pick_options(LabelSettings, "segments", "guide"),
    *pick_options(JobSettings, "series"),
    VOLUME,
    *pick_options(JobSettings, "split_runs", "merge", "outside_data"),
    *pick_options(ModelConfig, "max_memory"),
)


@takes_options(*OF_LABELS)
def labels(
    *,
    source: Annotated[
        str, typer.Argument(metavar="LABELS", help="Label map: NIfTI, NRRD, MHA, DICOM SEG or RTSTRUCT.")
    ],
    like: Annotated[
        str, declare("--like", "Scan whose grid the labels get: file or DICOM folder.", Panel.INPUT, "SCAN")
    ],
    target: Annotated[
        str,
        declare(
            "-o --output", "File (.nii, .nii.gz, .nrrd, .mha), or .dcm for a DICOM segmentation.", Panel.OUTPUT, "PATH"
        ),
    ],
    typed: Typed,
    quiet: Quiet = False,
    as_json: SummaryAsJson = False,
) -> None:
    """Bring a label map to the grid of an upsampled scan, or back to that of the thick scan."""
    from saint_cli.cli import progress_display, result_view
    from saint_cli.jobs.label_job import run_label_job

    with progress_display.show_progress(quiet=quiet or as_json) as on_progress:
        result = run_label_job(_make_job(source, like, target, typed), on_progress)
    result_view.show_result(result, quiet=quiet, as_json=as_json)


def _make_job(source: str, like: str, target: str, typed: Typed) -> "LabelJob":
    """The job of one label map.

    Raises:
        UsageError: URLs, or values that options cannot have.
    """
    from saint_cli.io import LabelReadOptions, ReadOptions
    from saint_cli.jobs.label_job import LabelJob

    settings, chosen = from_typed(JobSettings, typed), from_typed(LabelSettings, typed)
    max_memory = from_typed(ModelConfig, typed).max_memory
    if not isinstance(settings.volume, int | None):
        raise UsageError("`volume=all`: all volumes of a scan have one grid; name any of them, as in --volume 1")
    return LabelJob(
        parse_local_path(source),
        parse_local_path(like),
        parse_local_path(target),
        guide=chosen.guide,
        overwrite=typed["overwrite"],
        label_options=LabelReadOptions(
            segments=chosen.segments, outside_data=settings.outside_data, max_memory=max_memory
        ),
        read_options=ReadOptions(
            series=settings.series,
            volume=settings.volume,
            split_runs=settings.split_runs,
            merge=settings.merge,
            outside_data=settings.outside_data,
            max_memory=max_memory,
        ),
    )
