"""What a GPU window reads and writes: volumes of a cache folder, files that are always whole, the progress of a run."""

from collections.abc import Callable
from pathlib import Path

import torch
from volume_packing import load_cached

from saint_cli.errors import UsageError
from saint_cli.method.intensity import IntensityMap
from saint_cli.training.dense_volume import DenseVolume, TrainingData
from saint_cli.training.loop import CHECKPOINT


def load_data(cache: Path) -> TrainingData:
    """The volumes of a cache folder, memory-mapped.

    Raises:
        UsageError: none to train on, or none to validate on.
    """
    volumes: dict[str, list[DenseVolume]] = {"train": [], "val": []}
    for facts, voxels in load_cached(cache):
        source = str(cache / facts.voxels_file)
        volume = DenseVolume.from_array(facts.name, voxels, facts.spacing_mm, IntensityMap(*facts.window), source)
        volumes[facts.split].append(volume)
    for split, some in volumes.items():
        if not some:
            raise UsageError(f"{cache} holds no volume of split '{split}'; stage the parts that do")
    return TrainingData(**volumes)


def put_in_place(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name, then rename it."""
    partial = path.with_suffix(".partial")
    write(partial)
    partial.replace(path)


def read_progress(folder: Path) -> tuple[int, float]:
    """Steps and seconds at the last checkpoint of a stage; 0 before the first one."""
    file = folder / CHECKPOINT
    if not file.is_file():
        return 0, 0.0
    saved = torch.load(file, mmap=True, weights_only=True)
    return int(saved["step"]), float(saved["seconds"])
