"""A DICOMDIR: the files of a medium that it lists, under their names where the medium was copied to (PS3.10 8.6)."""

import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pydicom

from saint_cli.errors import UnreadableError
from saint_cli.io.dicom.bounded_parse import is_truncated, read_header
from saint_cli.io.dicom.values import list_values

SKIP_REASON = "DICOMDIR"
"""Reason under which a DICOMDIR is counted."""

IN_USE = 0xFFFF
"""RecordInUseFlag of a record that counts."""

MAX_SHOWN_PART = 32
"""Characters of a folder or file in a name that is shown; file IDs have 8, and lax writers a few more."""


def read_dicomdir(path: Path) -> list[tuple[str, Path | None]]:
    """What a DICOMDIR lists, in its order: each file as listed, and where it lies; None where it is missing.

    Names are compared without regard to case, a version such as ";1" and a final dot, which media add to them. None
    that leads out of the folder of the DICOMDIR is followed.

    Raises:
        UnreadableError: it cannot be read as far as its directory.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", "End of file")  # a list that ends early would hide a part of the study
        try:
            data, _ = read_header(path, ["DirectoryRecordSequence"])
            if is_truncated(data):
                raise EOFError("the directory is cut short")
            records = data.get("DirectoryRecordSequence") or []
            listed = [parts for record in records if (parts := _parse_file_id(record))]
        except Exception as error:  # damage makes pydicom raise whatever its parser stumbles over
            raise UnreadableError(
                f"{path}: the DICOMDIR is damaged; give its folder ({type(error).__name__})"
            ) from None
    list_names = lru_cache(maxsize=None)(_list_names)
    return [(_show_name(parts), _find_file(path.absolute().parent, parts, list_names)) for parts in listed]


def _parse_file_id(record: pydicom.Dataset) -> list[str]:
    """The folders and the file that a record refers to; none where it refers to no file or is not in use."""
    if int(record.get("RecordInUseFlag", IN_USE)) == 0:
        return []
    joined = "/".join(str(part).strip(" \0") for part in list_values(record.get("ReferencedFileID")))
    return [part for part in joined.replace("\\", "/").split("/") if part not in ("", ".")]


def _show_name(parts: list[str]) -> str:
    """A listed name for messages: what is not a file ID (PS3.10 section 8.2) may contain other elements."""
    name = "/".join(parts)
    return name if name.isprintable() and all(len(part) <= MAX_SHOWN_PART for part in parts) else "a damaged name"


def _find_file(folder: Path, parts: list[str], list_names: Callable[[Path], dict[str, str]]) -> Path | None:
    for part in parts:
        names = list_names(folder)
        name = part if part in names.values() else names.get(_fold_name(part))
        if name is None or part == "..":
            return None
        folder = folder / name
    return folder if folder.is_file() else None


def _list_names(folder: Path) -> dict[str, str]:
    """The names in a folder, by what of them is compared."""
    try:
        return {_fold_name(entry.name): entry.name for entry in sorted(folder.iterdir(), reverse=True)}
    except OSError:
        return {}


def _fold_name(name: str) -> str:
    return name.partition(";")[0].rstrip(".").casefold()
