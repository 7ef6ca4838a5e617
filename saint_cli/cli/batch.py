"""``saint batch``: every thick-slice scan of folders, files and tables."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from saint_cli.cli import complete, examples, options


def batch(
    *,
    inputs: Annotated[list[str], Argument(metavar="IN...", help="Folders, files, patterns, URLs, .csv or .jsonl.")],
    out: Annotated[str, Argument(metavar="OUT_DIR", help="Folder of the results and of manifest.jsonl; or a URL.")],
    state_dir: Annotated[
        Path | None, Option("--state-dir", **options.LOCAL, help="If OUT_DIR is a URL: folder of manifest and pages.")
    ] = None,
    books: Annotated[Path | None, Option("--books", **options.LOCAL, hidden=True)] = None,
    to: Annotated[
        str,
        Option(
            "--to",
            metavar="FORMAT",
            autocompletion=complete.words("nii.gz", "nrrd", "mha", "dicom"),
            help="Format: nii.gz, nrrd, mha or dicom.",
        ),
    ] = "nii.gz",
    name_template: Annotated[
        str, Option("--name-template", metavar="TEXT", help="Names of results, of {path}, {folder}, {name}, {series}.")
    ] = "{path}",
    factor: options.Factor = None,
    spacing: options.Spacing = None,
    isotropic: options.Isotropic = False,
    axis: options.Axis = None,
    split_runs: options.SplitRuns = False,
    merge: options.Merge = False,
    outside_data: options.OutsideData = False,
    modality: options.Modality = "auto",
    model: options.Model = "auto",
    directions: options.Directions = 2,
    tta: options.Tta = False,
    match_noise: options.MatchNoise = False,
    regenerate: options.Regenerate = False,
    extrapolate: options.Extrapolate = False,
    slice_thickness: options.SliceThickness = None,
    keep_slice_thickness: options.KeepSliceThickness = None,
    max_memory: options.MaxMemory = None,
    no_skip_air: options.NoSkipAir = False,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    batch_size: options.BatchSize = "auto",
    threads: Annotated[
        int | None, Option("--threads", metavar="N", help="CPU threads of a job; default: its share.")
    ] = None,
    workers: Annotated[
        int | None, Option("--workers", metavar="N", help="Jobs at once; default: what fits here.")
    ] = None,
    scheduler: Annotated[
        str | None,
        Option("--scheduler", metavar="ADDRESS", help="A Dask cluster: tcp://HOST:PORT or its scheduler file."),
    ] = None,
    include: Annotated[
        str | None,
        Option(
            "--include",
            metavar="LIST",
            autocompletion=complete.several(lambda: ("derived", "label")),
            help="Also take stacks left out otherwise: derived, label.",
        ),
    ] = None,
    pages: Annotated[
        bool, Option(help="A page of pictures per scan; takes an eighth of the time, more if small.")
    ] = True,
    retry_failed: Annotated[bool, Option("--retry-failed", help="Try every failed scan again.")] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace files that no batch wrote.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Show the plan and its time; write nothing.")] = False,
    quiet: options.Quiet = False,
    as_json: options.SummaryAsJson = False,
) -> None:
    """Upsample every scan that is found, on all cores, GPUs or a cluster; one failed scan does not stop the others."""
    given = dict(locals())
    from saint_cli import console
    from saint_cli.batch import ledger, whole
    from saint_cli.cli import batch_view, chosen

    order = chosen.order_of(given)
    with console.progress(quiet=quiet or as_json) as report:
        found = whole.look(order, lambda count: report("scans found", count, 0))
    if dry_run:
        kept = ledger.read(order.home)
        batch_view.show_plan(order, whole.draft(order, found, kept), kept, as_json=as_json)
        return
    with batch_view.board(quiet=quiet or as_json) as (watch, told):
        summary = whole.carry_out(order, found, watch, told)
    batch_view.tell(summary, order, quiet=quiet, as_json=as_json)
    raise typer.Exit(summary.exit_code)


batch.__doc__ = f"{batch.__doc__}\n{examples.BATCH}"
