"""Dense volumes to train on, from folders or lists, in memory-mapped files so that any number fits."""

import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from saint_cli.errors import UnreadableError, UsageError
from saint_cli.geometry import in_plane, through_plane_axis
from saint_cli.io import read_volume
from saint_cli.io.folder_walk import is_file, is_folder, is_link, is_there, walk_folders
from saint_cli.io.formats import is_volume_name
from saint_cli.io.skipped_files import format_first
from saint_cli.io.text_files import read_text, split_lines
from saint_cli.method import intensity, padding
from saint_cli.progress import ProgressCallback, silent
from saint_cli.training.dense_volume import DenseVolume
from saint_cli.training.parallel import ProcessGroup
from saint_cli.volume.warning_words import MADE_BY_SAINT

CACHE_VERSION = 4
"""Of the copies of volumes; 2: fill values are hidden; 3: int16; 4: of equal spacings the last is through-plane."""

LIST_ENDING = ".txt"

FEWEST_VALUES = 32
"""A volume with fewer distinct values is a label map (KiTS keeps them beside the scans), and is not trained on."""


def load_dense_volumes(
    source: Path, cache: Path | None = None, on_progress: ProgressCallback = silent
) -> list[DenseVolume]:
    """Every volume of a folder, or of a text file that lists one path a line; through-plane axis moved last.

    That is the axis with the largest spacing, of equal ones the last, as everywhere (``geometry.through_plane_axis``).
    Sub-folders that hold volume files are searched too (MSD, KiTS), others are taken for DICOM series. Label maps are
    left out. cache: folder of the memory-mapped copies, made on first use; without it voxels stay in memory.

    Raises:
        UnreadableError: the folder or list is missing, or a volume in it is damaged.
        UsageError: there is no volume, or one is a result of saint, whose synthesised slices are no truth.
    """
    paths = _read_list(source) if source.suffix == LIST_ENDING else _find_volumes(source)
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    volumes = []
    for i, path in enumerate(paths):
        volume = _read(path) if cache is None else _read_mapped(path, cache)
        if volume is not None:
            volumes.append(volume)
        on_progress("volumes", i + 1, len(paths))
    if not volumes:
        raise UsageError(f"{source} holds no volume to train on (label maps and files of other formats are left out)")
    return volumes


@contextmanager
def discard_copies(cache: Path, began: Path, group: ProcessGroup) -> Iterator[None]:
    """Leave no new folder of memory-mapped copies behind where a run fails, or is stopped, before ``began`` exists.

    Copies of several processes stay: others may still read them.
    """
    made = [folder for folder in (cache, cache.parent) if not folder.exists()]
    try:
        yield
    except BaseException:  # Ctrl-C and SIGTERM too
        if cache in made and group.world_size == 1 and not began.exists():
            shutil.rmtree(cache, ignore_errors=True)
            with suppress(OSError):  # not if it holds something else
                made[-1].rmdir()
        raise


def require_disjoint(train: list[DenseVolume], val: list[DenseVolume]) -> None:
    """Refuse a validation volume that is trained on, be it the same file or a copy of it.

    Raises:
        UsageError: naming both.
    """
    for held, used in itertools.product(val, train):
        is_same_file = held.source != "" and Path(held.source).resolve() == Path(used.source).resolve()
        if is_same_file or (held.spacing_mm == used.spacing_mm and torch.equal(held.voxels, used.voxels)):
            raise UsageError(
                f"{held.source or held.name} is to be validated on, but {used.source or used.name}, which is the same, "
                "is trained on; keep it out of one of them"
            )


def _read_list(source: Path) -> list[Path]:
    lines = [(n, line.strip()) for n, line in enumerate(split_lines(read_text(source)), 1) if not line.startswith("#")]
    paths = [(number, source.parent / line) for number, line in lines if line]
    missing = [f"line {number}: {path}" for number, path in paths if not is_there(path)]
    if missing:
        count = f"{len(missing):,} of {len(paths):,} paths lead to no file or folder"
        raise UnreadableError(f"{source}: {count} ({format_first(missing)})")
    return [path for _, path in paths]


def _find_volumes(folder: Path) -> list[Path]:
    if is_file(folder):
        raise UsageError(f"{folder} is a file; give a folder of volumes, or a .txt list with one path a line")
    if not is_folder(folder):
        raise UnreadableError(f"{folder}: no such folder")
    series = []

    def has_volumes(path: str, name: str) -> bool:
        if name.startswith("."):
            return False
        if any(_is_volume(file.name) for file in _list_files(Path(path))):
            return True
        series.append(Path(path))
        return False

    files = [Path(place, name) for place, names in walk_folders(folder, has_volumes, _refuse) for name in names]
    return sorted([*(file for file in files if _is_volume(file.name)), *series], key=lambda path: path.parts)


def _is_volume(name: str) -> bool:
    return is_volume_name(name) and not name.startswith(".")


def _refuse(error: OSError) -> None:
    raise UnreadableError(f"{error.filename}: cannot be listed ({error.strerror})")


def _list_files(folder: Path) -> list[Path]:
    """Every file below a folder, links to folders not followed, however deep."""
    walk = walk_folders(folder, lambda path, name: not is_link(path), lambda error: None)
    return [Path(place, name) for place, names in walk for name in names]


def _read(path: Path) -> DenseVolume | None:
    """One volume in memory, or None for a label map."""
    volume = read_volume(path, offered=frozenset())
    if MADE_BY_SAINT in volume.header.warnings:
        raise UsageError(
            f"{path}: its header says that this is a result of saint; leave it out, and use the acquired scan"
        )
    axis = through_plane_axis(volume.spacing_mm, allow_isotropic=True)
    volume = padding.hide_padding(volume, axis)
    x, y, z = (*in_plane(range(3), axis), axis)
    spacing = volume.spacing_mm
    voxels = np.ascontiguousarray(volume.voxels.transpose(x, y, z))
    if len(np.unique(voxels[:: max(1, voxels.shape[0] // 64)])) < FEWEST_VALUES:
        return None
    values = intensity.choose_map(volume)
    return DenseVolume.from_array(path.name, voxels, (spacing[x], spacing[y], spacing[z]), values, str(path))


def _read_mapped(path: Path, cache: Path) -> DenseVolume | None:
    """One volume from its memory-mapped copy, which is made where it is missing or the volume has changed since."""
    voxels, facts = (cache / f"{path.name[:80]}-{_fingerprint(path)}{ending}" for ending in (".npy", ".json"))
    if not (facts.is_file() and voxels.is_file()):
        volume = _read(path)
        if volume is None:
            return None
        content = {"source": str(path), "spacing_mm": volume.spacing_mm, "values": asdict(volume.values)}
        partial = cache / f".{os.getpid()}.partial.npy"
        try:
            np.save(partial, volume.voxels.numpy())
            partial.replace(voxels)
            partial.write_text(json.dumps(content))
            partial.replace(facts)
        finally:
            partial.unlink(missing_ok=True)  # of a copy that failed or was stopped
    try:
        content = json.loads(facts.read_text())
        x, y, z = content["spacing_mm"]
        values = intensity.IntensityMap(**content["values"])
        mapped = np.load(voxels, mmap_mode="c")  # copied on writing, which nobody does: torch wants writable arrays
        return DenseVolume.from_array(path.name, mapped, (x, y, z), values, str(path))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UnreadableError(f"{voxels} or {facts.name} beside it is damaged; delete both, and run again") from None


def _fingerprint(path: Path) -> str:
    """Of a file's path, size and modification time, or of those of all files of a folder."""
    try:
        files = [path] if path.is_file() else sorted(p for p in _list_files(path) if p.is_file())
        parts = [(str(p.resolve()), (s := p.stat()).st_size, s.st_mtime_ns) for p in files]
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error.strerror}") from None
    return hashlib.sha256(repr((CACHE_VERSION, parts)).encode()).hexdigest()[:16]
