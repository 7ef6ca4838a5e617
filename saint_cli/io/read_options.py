"""What to read of a path."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadOptions:
    """What to read of a path, and how.

    series: which stack of a DICOM folder: its number as :func:`~saint_cli.io.describe.describe` lists it, its
    SeriesInstanceUID, the end of that, or either with ``#k`` for its k-th stack.
    volume: which volume of a 4-D NIfTI file, or which stack of one DICOM series, from 1.
    split_runs: read the longest evenly spaced run of a DICOM stack that is not regular as a whole.
    irregular: read a DICOM stack whose slices are missing or unevenly spaced as it is (``Header.slice_positions``).
    merge: take evenly spaced DICOM slices as one scan though they differ in UIDs, ImageType or acquisition.
    modality: "CT" or "MR", in place of what the file says or leaves open.
    outside_data: a detached header (.mhd, .nhdr) may name data files outside its folder.
    max_memory: bytes that the voxels may take; None for all that is free.
    """

    series: str | None = None
    volume: int | None = None
    split_runs: bool = False
    irregular: bool = False
    merge: bool = False
    modality: str | None = None
    outside_data: bool = False
    max_memory: int | None = None
