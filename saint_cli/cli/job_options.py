"""From what was typed to jobs: for one scan, and for every row of a table."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saint_cli.cli import parsing
from saint_cli.errors import UsageError
from saint_cli.options.fields import list_option_values
from saint_cli.options.job import COLUMNS, JobSettings, make_settings

if TYPE_CHECKING:
    from saint_cli.jobs import Job

GRID_COLUMNS = frozenset(("factor", "spacing", "isotropic"))
"""Options that say how fine to interpolate: any of them in a row replaces all of the command line."""

TYPE_NAMES: dict[type, str] = {int: "a whole number", float: "a number", bool: "true or false"}

BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def make_job(source: str, target: str, typed: Mapping[str, Any], **files: Any) -> "Job":
    """The job of a path or URL to another; ``files``: what else is written, by the fields of ``Job``.

    Raises:
        UsageError: a value that an option cannot have, or options that exclude each other.
        UnreadableError: nothing lies at the source's URL, or it cannot be listed.
    """
    from saint_cli.io.remote import transfer
    from saint_cli.jobs import Job
    from saint_cli.jobs.labels import name_labels_target
    from saint_cli.jobs.location import RemoteTarget

    settings = make_settings(typed)
    source_place, target_place = parsing.parse_path_or_url(source), parsing.parse_path_or_url(target)
    target_location = target_place if isinstance(target_place, Path) else RemoteTarget(target_place)
    if settings.label_settings.labels is not None:
        files["labels_target"] = files.get("labels_target") or name_labels_target(target_location)
    elif unused := list_unused(settings, files.get("labels_target")):
        raise UsageError(f"{unused[0]} needs a label map; name it with --labels")
    return Job(
        source_place if isinstance(source_place, Path) else transfer.list_source(source_place),
        target_location,
        settings,
        **files,
    )


def list_unused(settings: JobSettings, labels_target: Path | None = None) -> list[str]:
    """Flags that say something of labels, which has no meaning without any."""
    flags = [one.option.flag for one in list_option_values(settings.label_settings) if not one.is_default]
    return flags if labels_target is None else ["--labels-out", *flags]


def merge_row(typed: Mapping[str, Any], row: Mapping[str, str]) -> dict[str, Any]:
    """What was typed, with the cells of a table's row in its place.

    Raises:
        UsageError: a column that is not an option of a scan, a value of the wrong type.
    """
    cells: dict[str, Any] = {}
    for column, text in row.items():
        option = COLUMNS.get(column.replace("-", "_").lower())
        if option is None:
            raise UsageError(f"'{column}' is not a column of a table of scans; {_advise_column(column)}")
        try:
            cells[option.name] = BOOLEANS[text.lower()] if option.type is bool else option.type(text)
        except (KeyError, ValueError):
            raise UsageError(f'{column} "{text}" is not {TYPE_NAMES[option.type]}') from None
    if cells.get("isotropic") is False:  # says nothing of how fine
        del cells["isotropic"]
    replaced = GRID_COLUMNS if GRID_COLUMNS & cells.keys() else ()
    return {name: value for name, value in typed.items() if name not in replaced} | cells


def _advise_column(name: str) -> str:
    """Which column a name may stand for, or where all of them are listed."""
    known = ["source", "name", *COLUMNS]
    near = difflib.get_close_matches(name.replace("-", "_").lower(), known, n=1)
    return f"did you mean {near[0]}?" if near else "saint batch --help lists them"
