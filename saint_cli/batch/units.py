"""Which files and folders of a tree are described, each by itself, and which are passed over."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from saint_cli.errors import SaintError, UnreadableError
from saint_cli.io.entries import explain_unusable, is_folder, walk_folders
from saint_cli.io.exceptions import convert_exceptions
from saint_cli.io.skipped import ARCHIVE, NAMES_SHOWN, format_reason, is_archive
from saint_cli.io.sniff import DICOM_ENDINGS, ENDINGS, Format, is_part_of_pair, read_head, sniff

NO_IMAGE = "not an image"
"""Why most files are passed over."""


def find_units(root: Path, holds: Callable[[str, str], bool], ignored: Counter[str]) -> Iterator[Path]:
    """Files of other formats, and of DICOM the topmost folder that holds any (or a DICOMDIR) with all below it.

    holds: whether a folder, by its path and last part, is that of the results. ignored: takes the counts of the other
    files, by reason.

    Raises:
        UnreadableError: after what could be found, where the folder itself cannot be listed to its end.
    """
    if not is_folder(root):
        yield root
        return
    owned: str | None = None  # the last such folder: all below it comes before anything else
    problems: dict[str, list[str]] = defaultdict(list)  # of DICOM units, those who read their headers tell
    closed: list[OSError] = []

    def enter(path: str, name: str) -> bool:
        return not name.startswith(".") and not holds(path, name)

    def note_closed(error: OSError) -> None:
        reason = f"folder that cannot be listed, {(error.strerror or 'error').lower()}"
        if error.filename == str(root):
            closed.append(error)
        elif owned is None or not error.filename.startswith(owned):
            problems[reason].append(Path(error.filename).name)

    for folder, names in walk_folders(root, enter, note_closed):
        kinds = {name: _kind(Path(folder, name)) for name in names if not name.startswith(".")}
        dicom = owned is not None and folder.startswith(owned)
        if not dicom and "DICOM" in kinds.values():
            dicom, owned = True, os.path.join(folder, "")  # noqa: PTH118 - with a separator at its end
            yield Path(folder)
        for name, kind in kinds.items():
            if kind == "file":
                yield Path(folder, name)
            elif kind in (NO_IMAGE, ARCHIVE):
                ignored[kind] += 1
            elif kind not in ("DICOM", "part") and not dicom:
                problems[kind].append(Path(folder, name).relative_to(root).as_posix())
    for reason, places in problems.items():
        ignored[format_reason(reason, len(places), {reason: places[:NAMES_SHOWN]})] += len(places)
    for error in closed:
        raise UnreadableError(f"{root}: cannot be listed ({error.strerror})")


def _kind(path: Path) -> str:
    """``DICOM``, ``file`` for one to describe, ``part`` of another file, or why it is passed over.

    A name that promises an image is one to describe, even if it cannot be opened, so that it counts as a failure.
    """
    name = path.name.lower()
    reason, packed = explain_unusable(path), False
    try:
        with convert_exceptions(path):
            form = Format.UNKNOWN if reason else sniff(path)
            packed = not reason and is_archive(read_head(path))
    except SaintError as error:
        form, reason = Format.UNKNOWN, f"that {str(error).removeprefix(f'{path}: ')}"
    if form is Format.DICOM or (reason and name.endswith(DICOM_ENDINGS)):
        return "DICOM"
    if form is Format.UNKNOWN and is_part_of_pair(path):
        return "part"
    if reason and not name.endswith(ENDINGS):
        return reason
    if name.endswith(ENDINGS) or form not in (Format.UNKNOWN, Format.ZIP):
        return "file"
    return ARCHIVE if packed else NO_IMAGE
