"""What may be written where, checked before hours are spent on what to write."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from saint_cli.errors import OutputError, TargetExistsError, UsageError
from saint_cli.io import partial_names
from saint_cli.io.atomic import is_irreplaceable, list_content
from saint_cli.io.error_conversion import convert_os_errors
from saint_cli.io.formats import Format, detect_format
from saint_cli.io.path_identity import check_distinct, is_same_file, lies_in
from saint_cli.io.regular_files import SPECIAL_FILE

OUTPUT_ENDINGS = (".nii", ".nii.gz", ".nrrd", ".mha")
"""File endings that name an output format."""

OBJECT_ENDING = ".dcm"
"""Of a DICOM Parametric Map or SEG, one file beside a DICOM series."""

FILE_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}$")
"""What looks like the ending of a file; the name of a folder may hold other dots (``CT_1.5mm``)."""


def is_folder_target(path: Path) -> bool:
    """Whether a path names the folder of a DICOM series, not a file.

    A name with one of the known endings is a file; an existing folder, or a name without any ending, is a folder.

    Raises:
        UsageError: another ending.
    """
    name = path.name.lower()
    if name.endswith(OUTPUT_ENDINGS) and name not in OUTPUT_ENDINGS:
        return False
    if path.is_dir() or not FILE_ENDING.search(name):
        return True
    raise UsageError(
        f"{path}: the ending names no output format; use one of {', '.join(OUTPUT_ENDINGS)}, or a name without ending "
        "for a folder of DICOM slices"
    )


def check_target_path(path: Path, *, overwrite: bool = False) -> None:
    """Check by the path alone whether a volume could be written there.

    A link counts as what exists, wherever it leads; ``overwrite`` replaces the link, and never what it leads to.

    Raises:
        UsageError: an ending that names no format.
        OutputError: ``path`` exists and ``overwrite`` is False, it holds what saint did not write, or its folder
            cannot be written.
    """
    with convert_os_errors(path, "written", OutputError):  # a name that is too long for the file system, among others
        if is_folder_target(path):
            _check_replaceable(path, overwrite=overwrite)
            _check_folder(path)
        else:
            _check_file(path, overwrite=overwrite)


def check_object_path(path: Path, *, overwrite: bool) -> None:
    """Check by the path alone whether a DICOM Parametric Map or SEG could be written there.

    Raises:
        OutputError: as ``check_target_path``.
    """
    with convert_os_errors(path, "written", OutputError):
        _check_file(path, overwrite=overwrite)


@dataclass(frozen=True)
class ExtraOutput:
    """A file that is wanted besides the result: the option that asks for it, and the endings it may have."""

    option: str
    path: Path
    endings: tuple[str, ...] = OUTPUT_ENDINGS


def check_outputs(
    source: Path,
    target: Path,
    extras: Sequence[ExtraOutput],
    *,
    overwrite: bool = False,
    inputs: Mapping[Path, str] | None = None,
) -> None:
    """Refuse a result or files beside it that cannot be written, or that are the input or each other by any name.

    inputs: what else is read, and what it is. What killed runs left beside the outputs is removed first.

    Raises:
        UsageError: an ending that fits no format, a file inside the output's folder, or one name for two files.
        OutputError: as ``check_target_path``.
    """
    for folder in {path.absolute().parent for path in (target, *(file.path for file in extras))} | {target}:
        partial_names.remove_stale(folder)
    if is_same_file(target, source):
        raise UsageError(f"{target} is the input itself; write the result beside it")
    if target.is_dir() and lies_in(source, target):
        raise UsageError(f"{target} is the folder that the input lies in; write the result elsewhere")
    check_target_path(target, overwrite=overwrite)
    for file in extras:
        check_extra_output(file, overwrite=overwrite)
        if lies_in(file.path, target) and not is_same_file(file.path, target):
            raise UsageError(f"{file.option} {file.path} lies inside the output folder; name a file beside it")
    read = {**(inputs or {}), source: "the input itself"}
    check_distinct([(str(target), target)], read)
    read[target] = "the output itself"
    check_distinct([(f"{file.option} {file.path}", file.path) for file in extras], read)


def is_object_target(path: Path) -> bool:
    """Whether a path names a DICOM Parametric Map or SEG."""
    return path.name.lower().endswith(OBJECT_ENDING)


def check_extra_output(file: ExtraOutput, *, overwrite: bool) -> None:
    """Check by its path alone whether a file could be written.

    Raises:
        UsageError: an ending that it may not have. OutputError: as ``check_target_path``.
    """
    name = file.path.name.lower()
    if not name.endswith(file.endings) or name in file.endings:
        raise UsageError(f"{file.option} {file.path}: the name must end in {' or '.join(file.endings)}")
    _check_file(file.path, overwrite=overwrite)


def _check_file(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that exists (with ``overwrite`` only what is no file), and a folder that cannot be written."""
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file to write")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path}: is a {SPECIAL_FILE}; name a file to write")
    if os.path.lexists(path) and not overwrite:  # a link that leads nowhere exists
        raise TargetExistsError(f"{path}: exists already; choose another name or pass `overwrite=True`")
    _check_folder(path)


def _check_folder(path: Path) -> None:
    """Refuse a path whose folder, or the nearest one above that exists, cannot be written."""
    folder = find_parent(path)
    if not folder.is_dir():
        raise OutputError(f"{path}: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        is_read_only = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
        raise OutputError(
            f"{path}: {'read-only file system' if is_read_only else 'no permission to write in'} {folder}"
        )


def find_disk(path: Path) -> int:
    """The number of the disk that a result at this path is written to.

    Raises:
        OutputError: its folder cannot be reached any more.
    """
    folder = find_parent(path)
    try:
        return folder.stat().st_dev
    except OSError as error:
        raise OutputError(f"{path}: {folder} cannot be reached ({error.strerror or error})") from None


def _check_replaceable(path: Path, *, overwrite: bool) -> None:
    """Only an empty folder may be replaced, or with ``overwrite`` one of files that saint wrote."""
    if path.is_symlink():
        raise OutputError(f"{path}: is a link; name the folder itself")
    if not path.exists():
        return
    if not path.is_dir():
        raise OutputError(f"{path}: is a file; name another folder for the DICOM slices")
    with convert_os_errors(path, "listed", OutputError):
        entries = list_content(path)
    if not entries:
        return
    if not overwrite:
        raise TargetExistsError(
            f"{path}: exists already and is not empty; choose another name or pass `overwrite=True`"
        )
    if not all(_is_own_series(entry) for entry in entries):
        raise OutputError(
            f"{path}: holds files that saint did not write; `overwrite=True` replaces only a series of its own: choose "
            "another folder"
        )


def _is_own_series(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or detect_format(path) is not Format.DICOM:
        return False
    from pydicom.filereader import read_file_meta_info

    try:
        meta = read_file_meta_info(path)
    except Exception:  # damage makes pydicom raise whatever its parser stumbles over
        return False
    return str(meta.get("ImplementationVersionName") or "").startswith("SAINT_")


def find_parent(path: Path) -> Path:
    """Where the result is written before it takes its name: the nearest folder above, or one that must stay."""
    if is_irreplaceable(path):
        return path
    folder = path.absolute().parent
    while not folder.exists() and not folder.is_symlink():  # no folder can be made where a link leads nowhere
        folder = folder.parent
    return folder
