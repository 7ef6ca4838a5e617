"""Where each result goes: names that stay the same from run to run and hold nothing that a DICOM header says."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from saint_cli.batch.find import Scan
from saint_cli.errors import UsageError
from saint_cli.io import places

TEMPLATE = "{path}"

FIELDS = ("path", "folder", "name", "series")
"""What a template may hold: the mirrored path, its folder, its last part, and eight digits that tell stacks apart."""

ENDINGS = {"nii.gz": ".nii.gz", "nrrd": ".nrrd", "mha": ".mha", "dicom": ""}
"""Formats of results and how their names end; DICOM goes to folders."""

LONGEST_PART = 255
"""Bytes of one name on every usual file system."""

LONGEST_PATH = 3000
"""Bytes of a whole name, so that with the folder of results it stays below the 4,096 of Linux."""

ADDED = len("-12345678.nii.gz")
"""Bytes that may follow a scan's name: digits, and the longest ending of a result, page or picture."""

OWN = ("manifest.jsonl", "report", "index")
"""What else lies in the folder of results, or among the pages in ``report``."""


def targets(scans: Sequence[Scan], template: str, form: str) -> list[str]:
    """The path of each scan's result below the folder of results, all different.

    Where two would be the same (or a DICOM folder would hold another result), each gets digits of its own.

    Raises:
        UsageError: a template with unknown fields, or one that leads out of the folder.
    """
    plain = [_short(_filled(scan, template), scan) for scan in scans]
    if form == "dicom":  # a dot would look like the ending of a file
        plain = [str(PurePosixPath(name).with_name(PurePosixPath(name).name.replace(".", "_"))) for name in plain]
    taken = Counter(map(places.plain, plain))
    if form == "dicom":
        taken.update({str(above) for name in set(taken) for above in PurePosixPath(name).parents})
    distinct = [
        f"{name}-{_digits(scan)}" if taken[places.plain(name)] > 1 or places.plain(name) in OWN else name
        for scan, name in zip(scans, plain, strict=True)
    ]
    return [name + ENDINGS[form] for name in distinct]


def _short(name: str, scan: Scan) -> str:
    """The path short enough for a file system, and every part, endings and digits included; cut ones get digits.

    Of a path that is too long as a whole the innermost folders are left out.
    """
    *folders, last = PurePosixPath(name).parts
    rooms = [*[LONGEST_PART] * len(folders), LONGEST_PART - ADDED]
    parts = [_cut(part, room, _digits(scan)) for part, room in zip((*folders, last), rooms, strict=True)]
    if sum(len(os.fsencode(part)) + 1 for part in parts) > LONGEST_PATH:
        parts[-1] = _cut(f"{parts[-1]}-{_digits(scan)}", rooms[-1], _digits(scan))
    while sum(len(os.fsencode(part)) + 1 for part in parts) > LONGEST_PATH:
        del parts[-2]
    return str(PurePosixPath(*parts))


def _cut(part: str, room: int, digits: str) -> str:
    if len(os.fsencode(part)) <= room:
        return part
    while len(os.fsencode(f"{part}-{digits}")) > room:
        part = part[:-1]
    return f"{part}-{digits}"


def _filled(scan: Scan, template: str) -> str:
    path = PurePosixPath(scan.path)
    values = {"path": scan.path, "folder": str(path.parent), "name": path.name, "series": _digits(scan)}
    try:
        name = PurePosixPath(template.format(**values))
    except (KeyError, ValueError, IndexError, AttributeError):
        shown = ", ".join(f"{{{field}}}" for field in FIELDS)
        raise UsageError(f"--name-template {template}: write fields as {shown}") from None
    if name.is_absolute() or ".." in name.parts or not name.name:
        raise UsageError(f"--name-template {template} makes {name}, which is no path inside the output folder")
    return str(name)


def _digits(scan: Scan) -> str:
    return hashlib.sha256(scan.tag.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def name_of(target: str) -> str:
    """A target's name without the ending of its format."""
    ending = next((e for e in ENDINGS.values() if e and target.endswith(e)), "")
    return target.removesuffix(ending)
