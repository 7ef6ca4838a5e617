"""What a record of a job holds, and how it is told from one that is damaged."""

from pathlib import PurePosixPath
from typing import Any, Literal, TypedDict, get_type_hints

from saint_cli.batch.json_types import has_type, parse_object
from saint_cli.io.text_files import can_be_path

Record = dict[str, Any]

LONGEST_LINE = 1 << 20
"""Bytes of the longest record; those of jobs have a few thousand."""


class Fields(TypedDict, total=False):
    """The fields of a record that a later run uses. shapes in voxels x, y, z; spacings in mm."""

    target: str
    key: str
    status: Literal["done", "failed", "skipped", "begun"]
    name: str
    source: str
    model: str
    options: dict[str, Any]
    error: dict[str, Any] | None
    fingerprint: str | None
    weights_sha256: str | None
    shape_before: tuple[int, int, int] | None
    shape_after: tuple[int, int, int] | None
    spacing_before_mm: tuple[float, float, float] | None
    spacing_after_mm: tuple[float, float, float] | None
    voxels_after: int | None
    versions: dict[str, str]
    seconds: float | None
    threads: int | None
    device: str | None
    page: str | None
    warnings: list[str] | None


TYPES: dict[str, Any] = get_type_hints(Fields)

REQUIRED = ("target", "key", "status", "name", "source", "model", "options")

ERROR_TYPES: dict[str, Any] = {"class": str, "message": str, "exit_code": int}


def parse_record(line: bytes) -> Record:
    """The record in a line of the manifest, or in a receipt.

    Raises:
        ValueError: it is damaged; the text says in which way.
    """
    if len(line) > LONGEST_LINE:
        raise ValueError(f"longer than {LONGEST_LINE:,} bytes")
    found = parse_object(line)
    for name in REQUIRED:
        if name not in found:
            raise ValueError(f"without '{name}'")
    for name, kind in TYPES.items():
        if name in found and not has_type(found[name], kind):
            raise ValueError(f"'{name}' of a wrong type")
    if found["status"] in ("failed", "skipped"):
        error = found.get("error") or {}
        if not all(has_type(error.get(name), kind) for name, kind in ERROR_TYPES.items()):
            raise ValueError("'error' of a wrong type")
    if not _is_inside(found["target"]):
        raise ValueError("'target' outside the output folder")
    if any(found.get(name) is not None and found[name] < 0 for name in ("seconds", "threads", "voxels_after")):
        raise ValueError("a negative number")
    return found


def _is_inside(target: str) -> bool:
    path = PurePosixPath(target)
    return can_be_path(target) and bool(path.name) and not path.is_absolute() and ".." not in path.parts
