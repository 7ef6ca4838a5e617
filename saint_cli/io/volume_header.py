"""What the header of a NIfTI, NRRD or MetaImage file says: the volume, and where its voxels lie."""

import math
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import numpy as np

from saint_cli.io.decompress import Packing
from saint_cli.io.formats import Format
from saint_cli.volume import Storage
from saint_cli.volume.fourth_axis import FourthAxis


class Encoding(Enum):
    """How voxels are written; the compressed ones with their :class:`~saint_cli.io.decompress.Packing`."""

    RAW = Packing.NONE
    GZIP = Packing.GZIP
    BZIP2 = Packing.BZIP2
    TEXT = "text"
    HEX = "hex"


@dataclass(frozen=True)
class Payload:
    """Where the voxels of a volume lie.

    files: in order, each with an equal part of the voxels. start: byte at which they begin in each file (for one
    that is packed as a whole, header and all, after unpacking it). dtype: in the file's byte order. shape: number of
    voxels along x, y, z. line_skip: lines to skip from there. byte_skip: bytes to skip of what ``encoding`` unpacks
    to; -n means that n - 1 bytes follow the voxels. file_packing: how the file is packed as a whole.
    trailing: bytes of other volumes behind the voxels, after which only little may follow; None where anything may, if
    the file is not packed. volume: its number, from 1, of several that follow each other in a file; None of one alone.
    """

    files: tuple[Path, ...]
    start: int
    dtype: np.dtype
    shape: tuple[int, int, int]
    encoding: Encoding = Encoding.RAW
    line_skip: int = 0
    byte_skip: int = 0
    file_packing: Packing = Packing.NONE
    trailing: int | None = None
    volume: int | None = None

    @property
    def voxel_packing(self) -> Packing:
        """How the voxels are packed."""
        return self.encoding.value if isinstance(self.encoding.value, Packing) else Packing.NONE

    @property
    def is_packed(self) -> bool:
        """Whether the files may be shorter than their voxels."""
        return self.voxel_packing is not Packing.NONE or self.file_packing is not Packing.NONE

    @property
    def count(self) -> int:
        """Number of voxels of one volume."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes of the voxels of one volume in memory."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True)
class VolumeHeader:
    """A header, checked.

    affine_lps: 4x4 float64, mm. payload: where the voxels are. storage: stored dtype and scaling.
    is_labels: the header says that the values are labels.
    volumes: how many the file holds, of which this is one. fourth_axis: how they follow each other.
    space_code: NIfTI form code of the affine; 1 for other formats.
    """

    format: Format
    affine_lps: np.ndarray
    payload: Payload
    storage: Storage
    warnings: tuple[str, ...]
    is_labels: bool = False
    volumes: int = 1
    space_code: int = 1
    fourth_axis: FourthAxis = field(default_factory=FourthAxis)
