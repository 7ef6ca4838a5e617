"""What a comparison keeps on disk: a record of each training, and a cell of the tables for each score.

    RUNS/time/NETWORK/record.json, model.safetensors    trained for the same time; RUNS/steps/... for the same steps
    RUNS/cells/REGIME/SYSTEM.jsonl                      PSNR and SSIM, a line for each volume and factor
    RUNS/costs/REGIME/SYSTEM.jsonl                      seconds, memory and multiply-adds, a line for each factor
    RUNS/seams/REGIME/SYSTEM.jsonl                      what patches cost a 3-D network, a line for each kind of them

A line is added when it is known, so that nothing is lost when a run is killed. It names what it was made of (weights,
voxels, slices); it counts where all that is the same, and is computed again elsewhere.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from saint_cli.errors import UnreadableError
from saint_cli.io.formats import is_volume_name
from saint_cli.io.whole_files import write_text
from saint_cli.training.volumes import LIST_ENDING

MODEL, RECORD = "model.safetensors", "record.json"

REFERENCE = "reference"
"""In place of a regime, the folder of what is not trained here: interpolators and shipped weights."""


@dataclass(frozen=True)
class TrainingRecord:
    """One network that was trained.

    words: of the command lines of its stages, without paths; seconds, steps: of each stage by the clock of the loop;
    data_sha256: of every file that was trained on, sorted; weights_sha256: of the model file.
    """

    network: str
    words: list[list[str]]
    seconds: list[float]
    steps: list[int]
    data_sha256: list[str]
    weights_sha256: str


@dataclass(frozen=True)
class Cell:
    """The score of one system on one volume at one factor, by protocol ``paper``.

    weights_sha256: of its network, or the name of an interpolator; slices: in the middle of the volume, of which the
    synthesised ones are compared; psnr_db, ssim: mean over those.
    """

    system: str
    volume: str
    factor: int
    weights_sha256: str
    voxels_sha256: str
    slices: int
    psnr_db: float
    ssim: float


@dataclass(frozen=True)
class Cost:
    """What one volume costs a system at one factor, on one thread.

    slices: in the middle of the volume, dense; shape: of what is restored from them, sparse [x, y, z]; seconds: of the
    processor, for the whole method; memory_mb: resident memory at its peak beyond that of the program with the volume
    loaded; parameters: of all its networks for this factor; multiply_adds: per voxel of the result, overlaps of patches
    included; 0 for interpolators.
    """

    system: str
    factor: int
    weights_sha256: str
    volume: str
    slices: int
    shape: list[int]
    seconds: float
    memory_mb: float
    parameters: int
    multiply_adds: float


@dataclass(frozen=True)
class SeamLoss:
    """What patches cost a 3-D network on one volume: pooled PSNR in dB, whole and on patches, near seams and of all.

    slices: in the middle of the volume; near_whole_db, near_db: nan where the volume is too small for seams.
    """

    system: str
    patches: str
    weights_sha256: str
    volume: str
    slices: int
    near_whole_db: float
    near_db: float
    all_whole_db: float
    all_db: float


Line = Cell | Cost | SeamLoss
AnyLine = TypeVar("AnyLine", Cell, Cost, SeamLoss)


def hash_data(source: Path) -> list[str]:
    """The sha256 of every file in a folder, or in the files and folders that a .txt list names; sorted."""
    places = _read_list(source) if source.suffix == LIST_ENDING else [source]
    files = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place])]
    return sorted(hash_file(file) for file in files if file.is_file())


def hash_file(file: Path) -> str:
    """The sha256 of a file, computed once for each of its versions."""
    known = file.stat()
    return _hash_version(file, (known.st_mtime_ns, known.st_size, known.st_ino))


@cache
def _hash_version(file: Path, _version: tuple[int, int, int]) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def find_volumes(source: Path) -> list[Path]:
    """The volume files of a folder, or those that a .txt list names."""
    if source.suffix == LIST_ENDING:
        return _read_list(source)
    return sorted(path for path in source.rglob("*") if is_volume_name(path.name))


def _read_list(source: Path) -> list[Path]:
    lines = (line.strip() for line in source.read_text(encoding="utf-8").splitlines())
    return [source.parent / line for line in lines if line and not line.startswith("#")]


def write_record(record: TrainingRecord, folder: Path) -> None:
    """Write the record of a training, complete or not at all."""
    write_text(json.dumps(asdict(record), indent=1) + "\n", folder / RECORD)


def read_record(folder: Path) -> TrainingRecord | None:
    """The record in a run folder, or None where the network is not trained to the end.

    Raises:
        UnreadableError: it is damaged.
    """
    path = folder / RECORD
    try:
        return _parse(TrainingRecord, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise UnreadableError(f"{path} is damaged; delete it, and run again") from None


def append_line(kept: Line, path: Path) -> None:
    """Add one line to a file of them, and wait until it is on disk; a line that was cut off before is ended first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        start = b"" if file.read(1) in (b"", b"\n") else b"\n"
        file.write(start + json.dumps(asdict(kept)).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_lines(kind: type[AnyLine], path: Path) -> list[AnyLine]:
    """The lines of a file, none where it is missing; of one that was cut off nothing is left."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = []
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            found.append(_parse(kind, line))
    return found


def _parse(kind: type[Any], text: str) -> Any:
    content = json.loads(text)
    return kind(**{field.name: content[field.name] for field in fields(kind)})
