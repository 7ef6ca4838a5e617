"""``saint info``: what files and folders hold, from their headers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saint_cli.cli.parameters import Typed, declare, takes_options
from saint_cli.options.fields import Option, Panel, pick_options
from saint_cli.options.job import JobSettings, check_uneven_options

if TYPE_CHECKING:
    from saint_cli.io import Description

OF_INFO = (
    Option("--phi", "Show patient and study text of DICOM too.", Panel.INPUT),
    Option("--split-runs", "List evenly spaced parts of uneven stacks.", Panel.INPUT),
    Option("--irregular", "Describe uneven stacks as upsample --irregular reads them.", Panel.INPUT),
    *pick_options(JobSettings, "merge", "outside_data"),
)


@takes_options(*OF_INFO)
def info(
    *,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="NIfTI, NRRD or MHA files; DICOM files, zips, DICOMDIR; folders; URLs.",
            show_default=False,
        ),
    ],
    typed: Typed,
    as_json: Annotated[bool, declare("--json", "Print a JSON array on stdout.")] = False,
) -> None:
    """Show the volumes that files and folders hold: size, spacing, gaps, tilt, and what upsample would produce.

    Exit code 0: every path holds at least one volume that can be upsampled; else that of the first that does not.
    """
    from saint_cli.cli import console, info_view
    from saint_cli.errors import SaintError
    from saint_cli.io.remote import urls

    check_uneven_options(split_runs=bool(typed.get("split_runs")), irregular=bool(typed.get("irregular")))
    descriptions: list[tuple[str, Description | SaintError]] = []
    for path in paths:
        name = urls.public_url(path) if urls.is_url(path) else str(Path(path))
        try:
            descriptions.append((name, _describe(path, typed)))
        except SaintError as error:
            descriptions.append((name, error))
    if as_json:
        console.print_json(info_view.make_document(descriptions))
    flags = "".join(f" --{name.replace('_', '-')}" for name in ("split_runs", "merge") if typed.get(name))
    for name, one in descriptions:
        if isinstance(one, SaintError):
            console.print_error(str(one))
        elif not as_json:
            console.print_lines(info_view.format_lines(name, one, flags))
    raise typer.Exit(next((code for _, one in descriptions if (code := one.exit_code)), 0))


def _describe(path: str, typed: Typed) -> "Description":
    """What lies at a path or URL."""
    from saint_cli.cli import progress_display
    from saint_cli.io import DescribeOptions, describe, describe_remote
    from saint_cli.io.remote import transfer, urls

    options = DescribeOptions(**typed)
    if urls.is_url(path):
        return describe_remote(transfer.list_source(urls.check_url(path)), options)
    with progress_display.show_counter("files read") as on_progress:
        return describe(Path(path), options, on_progress=on_progress)
