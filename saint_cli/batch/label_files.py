"""The label maps that come along with the scans of a batch: where they lie, and what distinguishes them."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from saint_cli.batch.job_keys import fingerprint_inputs
from saint_cli.batch.templates import fill_in
from saint_cli.errors import UnreadableError
from saint_cli.io.folder_walk import explain_absence, is_folder, is_there

COLUMN = "labels"
"""The column of a table that names the label map of each scan."""

LABEL_MAP = "label_map"
"""Where a record names the label map that came along."""


def resolve_cell(options: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The cells of a row, its label map relative to the folder of the table, and without fields."""
    return {
        column: str(folder / text).replace("{", "{{").replace("}", "}}")
        if column.replace("-", "_").lower() == COLUMN and "://" not in text
        else text
        for column, text in options.items()
    }


def locate_labels(template: str, scan_path: str) -> Path:
    """Where the label map of a scan should lie, by its path, as ``Scan.path`` has it.

    Raises:
        UsageError: fields that do not exist.
    """
    path = PurePosixPath(scan_path)
    return Path(fill_in("--labels", template, {"path": scan_path, "folder": path.parent, "name": path.name})).absolute()


def check_labels(place: Path, scan_path: str) -> None:
    """Check that a label map is there.

    Raises:
        UnreadableError: no such file or folder.
    """
    if not is_there(place):
        raise UnreadableError(f"{place}: {explain_absence(place)}; it should be the label map of {scan_path}")


def fingerprint_labels(path: Path) -> str:
    """Names, sizes and times of change of the files of a label map."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if is_folder(path) else [path]
    return fingerprint_inputs(path, files)
