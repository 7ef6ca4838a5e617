"""``saint upsample``: one scan in, one scan with finer slices out."""

from dataclasses import dataclass
from pathlib import Path

from saint_cli.cli.parameters import PathOption, Quiet, Source, SummaryAsJson, Target, Typed, takes_options
from saint_cli.options.fields import Option, Panel, from_typed, list_options
from saint_cli.options.job import JOB_OPTIONS


@dataclass(frozen=True)
class OtherOutputs:
    """Files beside the result, and whether what exists is replaced."""

    labels_target: Path | None = PathOption(
        "--labels-out", "File of the labels on the new grid; default: OUTPUT with _labels.", panel=Panel.LABELS
    ).as_field()
    uncertainty: Path | None = PathOption(
        "--uncertainty", "Also write every voxel's expected error, scanner values (HU for CT), to this file."
    ).as_field()
    page: Path | None = PathOption("--report", "Also write a quality-control page (.html) of the scan.").as_field()
    preview: Path | None = PathOption("--preview", "Also write a picture (.png, .jpg), before beside after.").as_field()
    overwrite: bool = Option("--overwrite", "Replace an existing output.", Panel.OUTPUT).as_field()


@takes_options(*list_options(*JOB_OPTIONS, OtherOutputs))
def upsample(
    *, source: Source, target: Target, typed: Typed, quiet: Quiet = False, as_json: SummaryAsJson = False
) -> None:
    """Interpolate the slices of one thick-slice scan with SAINT."""
    from saint_cli.cli import job_options, progress_display, result_view
    from saint_cli.jobs import announcements, run_job

    job = job_options.make_job(source, target, typed, **vars(from_typed(OtherOutputs, typed)))
    with progress_display.show_progress(quiet=quiet or as_json) as on_progress:
        announcer = announcements.Announcer(on_progress.print_message, on_progress.print_warning)
        result = run_job(job, on_progress, None if quiet or as_json else announcer)
    result_view.show_result(result, quiet=quiet, as_json=as_json, announced=announcer.announced)
