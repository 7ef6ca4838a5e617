"""What may be written where, found out before hours are spent on what to write."""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saint_cli.errors import OutputError, UsageError
from saint_cli.geometry import SliceGrid
from saint_cli.io.atomic import content, is_fixed
from saint_cli.io.sniff import Format, sniff
from saint_cli.volume import Volume

ENDINGS = (".nii", ".nii.gz", ".nrrd", ".mha")
"""File endings that name an output format."""

FILE_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}$")
"""What looks like the ending of a file; the name of a folder may hold other dots (``CT_1.5mm``)."""

PACKED_SHARE = 0.2
"""Least share of its voxels' bytes that a compressed volume is assumed to take; noise rarely packs below."""

HEADER_BYTES = 4096
"""Rough size of a DICOM header."""


def is_folder_target(path: Path) -> bool:
    """Whether a path names the folder of a DICOM series, not a file.

    A name with one of the known endings is a file; an existing folder, or a name without any ending, is a folder.

    Raises:
        UsageError: another ending.
    """
    name = path.name.lower()
    if name.endswith(ENDINGS) and name not in ENDINGS:
        return False
    if path.is_dir() or not FILE_ENDING.search(name):
        return True
    raise UsageError(
        f"{path}: the ending names no output format; use one of {', '.join(ENDINGS)}, or a name without ending for a "
        "folder of DICOM slices"
    )


def check_writable(path: Path, *, overwrite: bool = False) -> None:
    """Find out from the path alone whether a volume could be written there.

    Raises:
        UsageError: an ending that names no format.
        OutputError: ``path`` exists and ``overwrite`` is False, it holds what saint did not write, or its folder
            cannot be written.
    """
    try:
        if is_folder_target(path):
            _check_replaceable(path, overwrite=overwrite)
        elif path.is_dir():
            raise OutputError(f"{path}: is a folder; name a file to write")
        elif path.exists() and not overwrite:
            raise OutputError(f"{path}: exists already; choose another name or pass --overwrite")
        _check_folder(path)
    except OSError as error:  # a name that is too long for the file system, among others
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from None


@dataclass(frozen=True)
class Beside:
    """A file that is wanted besides the result: the option that asks for it, and the endings it may have."""

    option: str
    path: Path
    endings: tuple[str, ...] = ENDINGS


def check_outputs(source: Path, target: Path, beside: Sequence[Beside], *, overwrite: bool = False) -> None:
    """Refuse a result or files beside it that cannot be written, or that are the input or each other.

    Raises:
        UsageError: an ending that fits no format, a file inside the output's folder, or one name for two files.
        OutputError: as ``check_writable``.
    """
    if target.exists() and target.resolve() == source.resolve():
        raise UsageError(f"{target} is the input itself; write the result beside it")
    if target.is_dir() and target.resolve() in source.resolve().parents:
        raise UsageError(f"{target} is the folder that the input lies in; write the result elsewhere")
    check_writable(target, overwrite=overwrite)
    taken = {source.resolve(): "the input itself", target.resolve(): "the output itself"}
    for file in beside:
        path, named = file.path.resolve(), f"{file.option} {file.path}"
        _check_beside(file, overwrite=overwrite)
        if target.resolve() in path.parents:
            raise UsageError(f"{named} lies inside the output folder; name a file beside it")
        if path in taken:
            raise UsageError(f"{named} is {taken[path]}; name another file")
        taken[path] = f"also what {file.option} names"


def _check_beside(file: Beside, *, overwrite: bool) -> None:
    if file.endings == ENDINGS:
        if is_folder_target(file.path):
            raise UsageError(f"{file.option} {file.path} names no file; use one ending in .nii.gz, .nrrd or .mha")
        check_writable(file.path, overwrite=overwrite)
        return
    if not file.path.name.lower().endswith(file.endings):
        raise UsageError(f"{file.option} {file.path}: the name must end in {' or '.join(file.endings)}")
    if file.path.is_dir():
        raise OutputError(f"{file.path}: is a folder; name a file to write")
    if file.path.exists() and not overwrite:
        raise OutputError(f"{file.path}: exists already; choose another name or pass --overwrite")
    _check_folder(file.path)


def _check_folder(path: Path) -> None:
    """Refuse a path whose folder, or the nearest one above that exists, cannot be written."""
    folder = _standing(path)
    if not folder.is_dir():
        raise OutputError(f"{path}: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: no permission to write in {folder}")


def check_result(volume: Volume, grid: SliceGrid, path: Path) -> None:
    """Find out whether ``volume`` on ``grid`` could be written to ``path``.

    Raises:
        UsageError: DICOM is wanted, but the source is not DICOM, or its slices would not be kept.
        OutputError: too little space, or a DICOM folder that holds source files.
    """
    folder = is_folder_target(path)
    if folder:
        from saint_cli.io.dicom_write import check_source

        check_source(volume, path, grid)
    need = volume.voxels.nbytes * grid.count // grid.acquired
    if folder:
        need += HEADER_BYTES * grid.count
    elif path.name.lower().endswith((".gz", ".nrrd")):
        need = int(need * PACKED_SHARE)
    free = shutil.disk_usage(_standing(path)).free
    if free < need:
        raise OutputError(f"{path}: about {need / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free")


def _check_replaceable(path: Path, *, overwrite: bool) -> None:
    """Only an empty folder may be replaced, or with ``overwrite`` one of files that saint wrote."""
    if path.is_symlink():
        raise OutputError(f"{path}: is a link; name the folder itself")
    if not path.exists():
        return
    if not path.is_dir():
        raise OutputError(f"{path}: is a file; name another folder for the DICOM slices")
    try:
        entries = content(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be listed ({error.strerror})") from None
    if not entries:
        return
    if not overwrite:
        raise OutputError(f"{path}: exists already and is not empty; choose another name or pass --overwrite")
    if not all(_is_ours(entry) for entry in entries):
        raise OutputError(
            f"{path}: holds files that saint did not write; --overwrite replaces only a series of its own"
        )


def _is_ours(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or sniff(path) is not Format.DICOM:
        return False
    from pydicom.filereader import read_file_meta_info

    try:
        meta = read_file_meta_info(path)
    except Exception:  # damage makes pydicom raise whatever its parser stumbles over
        return False
    return str(meta.get("ImplementationVersionName") or "").startswith("SAINT_")


def _standing(path: Path) -> Path:
    """Where the result is written before it takes its name: the nearest folder above, or one that must stay."""
    if is_fixed(path):
        return path
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    return folder
