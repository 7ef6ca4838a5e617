"""Reading a volume of any supported format."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from saint_cli import fill
from saint_cli.errors import UnreadableError, UsageError
from saint_cli.io.checks import value_warnings
from saint_cli.io.entries import is_file
from saint_cli.io.exceptions import convert_exceptions
from saint_cli.io.file_stamps import unchanged
from saint_cli.io.limits import ReadLimits
from saint_cli.io.other_formats import name_other_format
from saint_cli.io.sniff import Format, is_analyze, is_pair_data, read_head, sniff
from saint_cli.volume import Volume

SUPPORTED = "NIfTI, NRRD, MHA and DICOM"


def read_volume(
    path: str | Path,
    *,
    series: str | None = None,
    volume: int | None = None,
    split_runs: bool = False,
    merge: bool = False,
    modality: str | None = None,
    outside_data: bool = False,
    max_memory: int | None = None,
) -> Volume:
    """Read a NIfTI, NRRD or MetaImage file, or a DICOM series (its folder, a zip of it, a DICOMDIR, or
    a multi-frame file).

    The format is found by content. Voxels are [x, y, z] scanner values: integers where the file stores whole scanner
    values, else float32, or float64 where float32 does not hold what is stored exactly. ``series`` chooses among the
    stacks of a DICOM folder: its number as listed by
    :func:`~saint_cli.io.inspect.describe`, its SeriesInstanceUID, the end of that, or either with ``#k`` for its
    k-th stack. ``volume`` chooses, from 1, among the volumes of a 4-D NIfTI file or the stacks of one series.
    ``split_runs`` reads the longest evenly spaced run of a DICOM stack that is not regular as a whole.
    ``merge`` takes DICOM slices as one scan that are evenly spaced but differ in UIDs, ImageType or acquisition.
    ``modality`` overrules what the file says or leaves open. ``outside_data`` lets a detached header (.mhd, .nhdr)
    read voxels from outside its folder. ``max_memory``: bytes that the voxels may take, if not all that is free. Fill
    values are found here for every format (:mod:`~saint_cli.fill`), and what is odd about the values is told in
    ``Header.warnings``.

    Raises:
        UsageError: a folder without CT or MR slices, several stacks and no ``series``, or ``series`` for a file
            that holds one volume, a ``volume`` that does not exist; voxels that take more memory than there is.
        UnreadableError: missing, truncated, corrupt, colour, complex, all NaN, or of an unknown format.
        SourceChangedError: it was written to while it was read.
        GeometryError: not a regular stack of at least two slices.

    Nothing that a file holds raises anything but a ``SaintError``.
    """
    path, limits = Path(path), ReadLimits(max_memory, outside_data)
    with convert_exceptions(path):
        with unchanged([path] if is_file(path) else []):
            read = _read(path, series, volume, limits, split_runs=split_runs, merge=merge)
        if modality is not None:
            read = replace(read, header=replace(read.header, modality=modality))
        if read.voxels.dtype.kind == "f" and not np.isfinite(read.voxels).any():
            raise UnreadableError(f"{path}: no voxel is a finite number; export the scan again")
        filled = fill.with_fill(read)
        warnings = (*filled.header.warnings, *value_warnings(filled.voxels, filled.header))
        return replace(filled, header=replace(filled.header, warnings=warnings))


def _read(
    path: Path, series: str | None, volume: int | None, limits: ReadLimits, *, split_runs: bool, merge: bool
) -> Volume:
    """The volume as its format's reader gives it."""
    form = find_format(path)
    if form is Format.DICOM:
        from saint_cli.io import dicom  # each format's library takes a while to import, so only the one needed is

        return dicom.read(path, series, volume, limits, in_runs=split_runs, merge=merge)
    if series is not None:
        raise UsageError(f"{path}: --series chooses among DICOM series, but this is a {form.value} file")
    if split_runs:
        raise UsageError(f"{path}: --split-runs is for DICOM; slices of a {form.value} file are evenly spaced")
    if merge:
        raise UsageError(f"{path}: --merge is for DICOM; a {form.value} file holds its slices in order")
    if form is Format.NIFTI:
        from saint_cli.io import nifti

        return nifti.read(path, volume, limits)
    if volume not in (None, 1):
        raise UsageError(f"{path}: --volume chooses among the volumes of 4-D NIfTI and DICOM, not of {form.value}")
    from saint_cli.io import itk

    return itk.read(path, form, limits)


def check_complete(volume: Volume) -> None:
    """Find out whether a DICOM series was read whole, or more of its slices came since.

    Raises:
        SourceChangedError: more came, as while a series is received.
    """
    if volume.header.origin is not None and volume.header.origin.listing is not None:
        from saint_cli.io import dicom_sources

        dicom_sources.check_complete(volume)


def find_format(path: Path) -> Format:
    """The format of a file or folder, never ``UNKNOWN``; a folder or a zip file stands for DICOM.

    Raises:
        UnreadableError: missing, empty, or of an unknown format.
    """
    try:
        if path.is_dir():
            return Format.DICOM
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be opened ({error.strerror or error})") from None
    form = sniff(path)
    if form is Format.ZIP:
        return Format.DICOM
    if form is not Format.UNKNOWN:
        return form
    head = read_head(path)
    other = name_other_format(head)
    if other:
        raise UnreadableError(f"{path}: {other}")
    if is_pair_data(path) or is_analyze(head):
        return Format.NIFTI
    if path.stat().st_size == 0:
        raise UnreadableError(f"{path}: the file is empty")
    if any(path.name.lower().endswith(ending) for ending in (".nii", ".nii.gz", ".hdr")):
        raise UnreadableError(f"{path}: not a NIfTI file, or damaged at its start")
    raise UnreadableError(f"{path}: not a file that saint reads; it reads {SUPPORTED}")
