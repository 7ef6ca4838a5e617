"""Small NRRD files, and what SimpleITK makes of them."""

from pathlib import Path

import numpy as np

VOXELS = np.arange(8 * 9 * 5, dtype=np.int16).reshape(8, 9, 5) - 100


RAW = VOXELS.astype("<i2").tobytes(order="F")


HEAD = {"type": "short", "dimension": "3", "sizes": "8 9 5", "endian": "little", "encoding": "raw"}


PLACE = {
    "space": "left-posterior-superior",
    "space directions": "(0.8,0.1,0) (-0.1,0.8,0) (0,1.2,5)",
    "space origin": "(3,-4,5.5)",
}


def write(path: Path, fields: dict[str, str], data: bytes = RAW, magic: str = "NRRD0005", end: str = "\n") -> Path:
    lines = [magic, *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    path.write_bytes(end.join(lines).encode("utf-8", "surrogateescape") + data)
    return path
