"""``saint info``: what files and folders hold, from their headers."""

from pathlib import Path
from typing import Annotated

import typer

from saint_cli.cli import examples, options


def info(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="NIfTI, NRRD or MHA files; DICOM files, zips, DICOMDIR; folders; URLs.", show_default=False
        ),
    ],
    *,
    phi: Annotated[bool, typer.Option("--phi", help="Show patient and study text of DICOM too.")] = False,
    split_runs: Annotated[
        bool, typer.Option("--split-runs", help="List evenly spaced parts of uneven stacks.")
    ] = False,
    merge: options.Merge = False,
    outside_data: options.OutsideData = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON array on stdout.")] = False,
) -> None:
    """Show the volumes that files and folders hold: size, spacing, gaps, tilt, and what upsample would produce.

    Exit code 0: every path holds at least one volume that can be upsampled; else that of the first that does not.
    """
    from saint_cli import console
    from saint_cli.cli.info_view import as_document, as_lines
    from saint_cli.errors import SaintError
    from saint_cli.io import Description, describe, describe_remote, remote, urls

    asked = {"phi": phi, "split_runs": split_runs, "merge": merge}

    def look(path: str) -> Description:
        if urls.is_url(path):
            return describe_remote(remote.look(urls.check(path)), **asked)
        with console.counter("files read") as on_progress:
            return describe(Path(path), on_progress=on_progress, outside_data=outside_data, **asked)

    found: list[tuple[str, Description | SaintError]] = []
    for path in paths:
        shown = urls.shown(path) if urls.is_url(path) else str(Path(path))
        try:
            found.append((shown, look(path)))
        except SaintError as error:
            found.append((shown, error))
    if json:
        console.show_json(as_document(found))
    for path, one in found:
        if isinstance(one, SaintError):
            console.fail(str(one))
        elif not json:
            console.show_lines(as_lines(path, one))
    raise typer.Exit(next((code for _, one in found if (code := one.exit_code)), 0))


info.__doc__ = f"{info.__doc__}\n{examples.INFO}"
