"""How much a file may take, checked by what it declares, before its voxels are read."""

from pathlib import Path

from saint_cli.errors import UnreadableError

LARGE_BYTES = 1 << 30
"""From here on voxels are held against the file that they are packed in."""

MAX_IMAGE_RATIO = 256
"""Times that an image packs at most: noise lets CT and MR pack 1.5 to 4 times, and 50 times with much air."""


def check_image_ratio(path: Path, size: int, packed: int | None) -> None:
    """Refuse gigabytes of voxels out of a few megabytes of packed data.

    size, packed: bytes of the voxels with what lies before them, and of the files that hold them; None: not packed.

    Raises:
        UnreadableError: no image packs so well.
    """
    if packed is not None and size > LARGE_BYTES and size > MAX_IMAGE_RATIO * packed:
        raise UnreadableError(
            f"{path}: {packed / 1e6:,.1f} MB unpack to {size / 1e6:,.0f} MB of voxels, more than any image does; "
            "the file is damaged (if it is not, unpack it first)"
        )
