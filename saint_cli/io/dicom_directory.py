"""A DICOMDIR: the files of a medium that it lists, as they are called where the medium was copied to (PS3.10 8.6)."""

import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataelem import RawDataElement

from saint_cli.errors import UnreadableError
from saint_cli.io.dicom_file import read_header
from saint_cli.io.dicom_values import many

KIND = "DICOMDIR"
"""What a DICOMDIR is counted as."""

UNDEFINED_LENGTH = 0xFFFFFFFF

ACTIVE = 0xFFFF
"""RecordInUseFlag of a record that counts."""


LONGEST_PART = 32
"""Characters of a folder or file in a name that is told; file IDs have 8, and lax writers a few more."""


def read_references(path: Path) -> list[tuple[str, Path | None]]:
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
            _check_length(data)
            records = data.get("DirectoryRecordSequence") or []
            listed = [parts for record in records if (parts := _parts(record))]
        except Exception as error:  # damage makes pydicom raise whatever its parser stumbles over
            raise UnreadableError(
                f"{path}: the DICOMDIR is damaged; give its folder ({type(error).__name__})"
            ) from None
    contents = lru_cache(maxsize=None)(_contents)
    return [(_name(parts), _find(path.absolute().parent, parts, contents)) for parts in listed]


def _check_length(data: pydicom.Dataset) -> None:
    """Raise EOFError where the directory is longer than the file: pydicom would list its start without a word."""
    raw = data.get_item("DirectoryRecordSequence")
    if isinstance(raw, RawDataElement) and raw.value is not None and UNDEFINED_LENGTH > raw.length > len(raw.value):
        raise EOFError("the directory is cut short")


def _parts(record: pydicom.Dataset) -> list[str]:
    """The folders and the file that a record refers to; none where it refers to no file or is not in use."""
    if int(record.get("RecordInUseFlag", ACTIVE)) == 0:
        return []
    joined = "/".join(str(part).strip(" \0") for part in many(record.get("ReferencedFileID")))
    return [part for part in joined.replace("\\", "/").split("/") if part not in ("", ".")]


def _name(parts: list[str]) -> str:
    """A listed name as it may be told: what is no file ID (PS3.10 section 8.2) may have swallowed other elements."""
    name = "/".join(parts)
    return name if name.isprintable() and all(len(part) <= LONGEST_PART for part in parts) else "a damaged name"


def _find(folder: Path, parts: list[str], contents: Any) -> Path | None:
    for part in parts:
        names: dict[str, str] = contents(folder)
        name = part if part in names.values() else names.get(_plain(part))
        if name is None or part == "..":
            return None
        folder = folder / name
    return folder if folder.is_file() else None


def _contents(folder: Path) -> dict[str, str]:
    """The names in a folder, by what of them is compared."""
    try:
        return {_plain(entry.name): entry.name for entry in sorted(folder.iterdir(), reverse=True)}
    except OSError:
        return {}


def _plain(name: str) -> str:
    return name.partition(";")[0].rstrip(".").casefold()
