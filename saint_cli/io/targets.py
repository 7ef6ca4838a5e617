"""What may be written where, found out before hours are spent on what to write."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saint_cli.errors import OutputError, UsageError
from saint_cli.files import NO_FILE
from saint_cli.geometry import SliceGrid
from saint_cli.io import partial
from saint_cli.io.atomic import content, is_fixed
from saint_cli.io.places import check_distinct, is_same_file, lies_in
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

    A link counts as what exists, wherever it leads; ``overwrite`` replaces the link, and never what it leads to.

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
        else:
            _check_free(path, overwrite=overwrite)
        _check_folder(path)
    except OSError as error:  # a name that is too long for the file system, among others
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from None


@dataclass(frozen=True)
class Beside:
    """A file that is wanted besides the result: the option that asks for it, and the endings it may have."""

    option: str
    path: Path
    endings: tuple[str, ...] = ENDINGS


def check_outputs(
    source: Path,
    target: Path,
    beside: Sequence[Beside],
    *,
    overwrite: bool = False,
    inputs: Mapping[Path, str] | None = None,
) -> None:
    """Refuse a result or files beside it that cannot be written, or that are the input or each other by any name.

    inputs: what else is read, and what it is. What runs that were killed left beside the outputs is removed first.

    Raises:
        UsageError: an ending that fits no format, a file inside the output's folder, or one name for two files.
        OutputError: as ``check_writable``.
    """
    for folder in {path.absolute().parent for path in (target, *(file.path for file in beside))} | {target}:
        partial.remove_stale(folder)
    if is_same_file(target, source):
        raise UsageError(f"{target} is the input itself; write the result beside it")
    if target.is_dir() and lies_in(source, target):
        raise UsageError(f"{target} is the folder that the input lies in; write the result elsewhere")
    check_writable(target, overwrite=overwrite)
    for file in beside:
        _check_beside(file, overwrite=overwrite)
        if lies_in(file.path, target) and not is_same_file(file.path, target):
            raise UsageError(f"{file.option} {file.path} lies inside the output folder; name a file beside it")
    read = {**(inputs or {}), source: "the input itself"}
    check_distinct([(str(target), target)], read)
    read[target] = "the output itself"
    check_distinct([(f"{file.option} {file.path}", file.path) for file in beside], read)


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
    _check_free(file.path, overwrite=overwrite)
    _check_folder(file.path)


def _check_free(path: Path, *, overwrite: bool) -> None:
    """Refuse the name of a file that exists, and with ``overwrite`` that of what is no file."""
    if not os.path.lexists(path):  # a link that leads nowhere exists
        return
    if path.exists() and not path.is_file():
        raise OutputError(f"{path}: is a {NO_FILE}; name a file to write")
    if not overwrite:
        raise OutputError(f"{path}: exists already; choose another name or pass --overwrite")


def _check_folder(path: Path) -> None:
    """Refuse a path whose folder, or the nearest one above that exists, cannot be written."""
    folder = _standing(path)
    if not folder.is_dir():
        raise OutputError(f"{path}: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        is_fixed = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
        raise OutputError(f"{path}: {'read-only file system' if is_fixed else 'no permission to write in'} {folder}")


def find_disk(path: Path) -> int:
    """The number of the disk that a result at this path is written to.

    Raises:
        OutputError: its folder cannot be looked at any more.
    """
    folder = _standing(path)
    try:
        return folder.stat().st_dev
    except OSError as error:
        raise OutputError(f"{path}: {folder} cannot be reached ({error.strerror or error})") from None


def check_result(volume: Volume, grid: SliceGrid, path: Path) -> None:
    """Find out whether ``volume`` on ``grid`` could be written to ``path``: headers are encoded, and thrown away.

    Raises:
        UsageError: DICOM is wanted, but the source is not DICOM, or its slices would not be kept; a format that does
            not hold the voxels' type or place.
        OutputError: too little space, a DICOM folder that holds source files, or headers that cannot be encoded.
    """
    folder = is_folder_target(path)
    if folder:
        from saint_cli.io.dicom_write import check_headers, check_source

        check_source(volume, path, grid)
        check_headers(volume, path, grid)
    else:
        from saint_cli.io.write import encode_header

        counts = tuple(grid.count if axis == grid.axis else n for axis, n in enumerate(volume.shape))
        empty = np.broadcast_to(volume.voxels.dtype.type(0), counts)
        encode_header(Volume(empty, grid.refine(volume.affine_lps), volume.header), path)
    need = volume.voxels.nbytes * grid.count // grid.acquired
    if folder:
        need += HEADER_BYTES * grid.count
    elif path.name.lower().endswith((".gz", ".nrrd")):
        need = int(need * PACKED_SHARE)
    free = shutil.disk_usage(_standing(path)).free
    if free < need:
        raise OutputError(f"{path}: about {_size(need)} are needed, {_size(free)} are free; choose another folder")


def _size(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"


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
    while not folder.exists() and not folder.is_symlink():  # no folder can be made where a link leads nowhere
        folder = folder.parent
    return folder
