"""How much a file may take: asked before its voxels are read, of what it declares."""

from dataclasses import dataclass
from pathlib import Path

from saint_cli.errors import UnreadableError

LARGE_BYTES = 1 << 30
"""From here on voxels are held against the file that they are packed in."""

MOST_RATIO = 256
"""Times that an image packs at most: noise lets CT and MR pack 1.5 to 4 times, and 50 times with much air."""


@dataclass(frozen=True)
class ReadLimits:
    """What reading may take and reach: bytes of memory (None: what is free); whether data files may lie anywhere."""

    max_memory: int | None = None
    outside_data: bool = False


DEFAULT = ReadLimits()


def check_packed(path: Path, size: int, packed: int | None) -> None:
    """Refuse gigabytes of voxels out of a few megabytes of packed data.

    size, packed: bytes of the voxels with what lies before them, and of the files that hold them; None: not packed.

    Raises:
        UnreadableError: no image packs so well.
    """
    if packed is not None and size > LARGE_BYTES and size > MOST_RATIO * packed:
        raise UnreadableError(
            f"{path}: {packed / 1e6:,.1f} MB unpack to {size / 1e6:,.0f} MB of voxels, more than any image does; "
            "the file is damaged (if it is not, unpack it first)"
        )
