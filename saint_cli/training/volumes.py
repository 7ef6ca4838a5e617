"""Dense volumes to learn from: found in folders or lists, kept in memory-mapped files so that any number fits."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from saint_cli import intensity, padding
from saint_cli.choices import Report, silent
from saint_cli.errors import UnreadableError, UsageError
from saint_cli.io import read_volume
from saint_cli.io.entries import identity, is_file, is_folder, is_link, is_there, walk_folders
from saint_cli.io.skipped import list_first
from saint_cli.io.text_files import read_text, split_lines

FEWEST_SLICES = 60
THICKEST_MM = 5.0
"""The paper decimates a dense volume further until it has fewer slices or thicker ones than these (Section 4)."""

ENDINGS = (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
"""Files of a data folder that are volumes; what else lies there (.img, .raw, notes) belongs to one or is none."""

CACHE_VERSION = 2
"""Of the copies of volumes; 2: fill values are hidden."""

LIST_ENDING = ".txt"

FEWEST_VALUES = 32
"""A volume with fewer distinct values is a label map (KiTS keeps them beside the scans), and teaches nothing."""

SIDEWAYS_UP_TO = 1.5
"""In-plane spacings that slices may lie apart to be taken as neighbouring columns of a volume seen sideways."""


@dataclass(frozen=True)
class DenseVolume:
    """One training volume: ``voxels`` [x, y, z] in its stored dtype, z through-plane; spacing in mm; value map.

    name: of its file; source: the file's whole path; neighbour_step: how many voxels along x a neighbouring slice is
    away; below 1 it is interpolated, and slices are taken along y only, never along x.
    """

    name: str
    voxels: np.ndarray
    spacing_mm: tuple[float, float, float]
    values: intensity.IntensityMap
    source: str = ""
    neighbour_step: float = 1.0

    @property
    def decimations(self) -> list[int]:
        """Extra decimations that the paper's augmentation allows, 1 always among them."""
        slices, spacing = self.voxels.shape[2], self.spacing_mm[2]
        return [d for d in range(1, 9) if d == 1 or (slices // d >= FEWEST_SLICES and spacing * d <= THICKEST_MM)]

    def sideways(self, *, thick: bool = False) -> "list[DenseVolume]":
        """The same voxels as if x, or y, were through-plane.

        In-plane resolution is finer than what lies between slices, so volumes teach more this way (the principle of
        SMORE, Zhao et al., IEEE TMI 40, 805-817, 2021). Volumes whose slices lie too far apart to be neighbours have
        none, or with ``thick`` show every slice by itself: its neighbours at one pixel's distance are interpolated.
        """
        x, y, z = self.spacing_mm
        views = (("x", (1, 2, 0), (2, 1, 0), (y, z, x)), ("y", (0, 2, 1), (2, 0, 1), (x, z, y)))
        turned = []
        for axis, cube, slab, spacing in views:
            name = f"{self.name} along {axis}"
            if z <= SIDEWAYS_UP_TO * min(x, y):
                turned.append(DenseVolume(name, self.voxels.transpose(cube), spacing, self.values))
            elif thick:
                in_plane, _, through = spacing
                step = in_plane / z
                mm = (in_plane, in_plane, through)
                turned.append(DenseVolume(name, self.voxels.transpose(slab), mm, self.values, neighbour_step=step))
        return turned


def load_dense(source: Path, cache: Path | None = None, say: Report = silent) -> list[DenseVolume]:
    """Every volume of a folder, or of a text file that lists one path a line; through-plane axis moved last.

    Sub-folders that hold volume files are searched too (MSD, KiTS), others are taken for DICOM series. Label maps are
    left out. cache: folder of the memory-mapped copies, made on first use; without it voxels stay in memory.

    Raises:
        UnreadableError: the folder or list is missing, or a volume in it is damaged.
        UsageError: there is no volume.
    """
    paths = list(_listed(source) if source.suffix == LIST_ENDING else _found(source))
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    volumes = []
    for i, path in enumerate(paths):
        volume = _read(path) if cache is None else _mapped(path, cache)
        if volume is not None:
            volumes.append(volume)
        say("volumes", i + 1, len(paths))
    if not volumes:
        raise UsageError(f"{source} holds no volume to train on (label maps and files of other formats are left out)")
    return volumes


def require_apart(train: list[DenseVolume], val: list[DenseVolume]) -> None:
    """Refuse a validation volume that is trained on, be it the same file or a copy of it.

    Raises:
        UsageError: naming both.
    """
    for held in val:
        for seen in train:
            same = Path(held.source).resolve() == Path(seen.source).resolve()
            if same or (held.spacing_mm == seen.spacing_mm and np.array_equal(held.voxels, seen.voxels)):
                raise UsageError(
                    f"{held.source} is to be validated on, but {seen.source}, which is the same, is trained on; "
                    "keep it out of one of them"
                )


def _listed(source: Path) -> Iterator[Path]:
    lines = [(n, line.strip()) for n, line in enumerate(split_lines(read_text(source)), 1) if not line.startswith("#")]
    found = [(number, source.parent / line) for number, line in lines if line]
    missing = [f"line {number}: {path}" for number, path in found if not is_there(path)]
    if missing:
        count = f"{len(missing):,} of {len(found):,} paths lead to no file or folder"
        raise UnreadableError(f"{source}: {count} ({list_first(missing)})")
    yield from (path for _, path in found)


def _found(folder: Path) -> Iterator[Path]:
    if is_file(folder):
        raise UsageError(f"{folder} is a file; give a folder of volumes, or a .txt list with one path a line")
    if not is_folder(folder):
        raise UnreadableError(f"{folder}: no such folder")
    waiting, seen = [folder], set()
    while waiting:
        path = waiting.pop()
        if not is_folder(path) or not (path == folder or _holds_volumes(path)):
            yield path
        elif (key := identity(path)) not in seen:  # a link may lead back
            seen.add(key)
            inside = (p for p in sorted(path.iterdir(), reverse=True) if not p.name.startswith("."))
            waiting += [p for p in inside if is_folder(p) or p.name.lower().endswith(ENDINGS)]


def _holds_volumes(folder: Path) -> bool:
    return any(p.name.lower().endswith(ENDINGS) for p in _files(folder) if not p.name.startswith("."))


def _files(folder: Path) -> Iterator[Path]:
    """Every file below a folder, links to folders not followed, however deep."""
    for place, names in walk_folders(folder, lambda path, name: not is_link(path), lambda error: None):
        yield from (Path(place, name) for name in names)


def _read(path: Path) -> DenseVolume | None:
    """One volume in memory, or None for a label map."""
    volume = read_volume(path)
    axis = int(np.argmax(volume.spacing_mm))
    volume = padding.hide(volume, axis)
    x, y, z = (*(i for i in range(3) if i != axis), axis)
    spacing = volume.spacing_mm
    voxels = np.ascontiguousarray(volume.voxels.transpose(x, y, z))
    if len(np.unique(voxels[:: max(1, voxels.shape[0] // 64)])) < FEWEST_VALUES:
        return None
    return DenseVolume(path.name, voxels, (spacing[x], spacing[y], spacing[z]), intensity.map_for(volume), str(path))


def _mapped(path: Path, cache: Path) -> DenseVolume | None:
    """One volume from its memory-mapped copy, which is made where it is missing or the volume has changed since."""
    voxels, facts = (cache / f"{path.name[:80]}-{_fingerprint(path)}{ending}" for ending in (".npy", ".json"))
    if not (facts.is_file() and voxels.is_file()):
        volume = _read(path)
        if volume is None:
            return None
        partial = cache / f".{os.getpid()}.partial.npy"
        np.save(partial, volume.voxels)
        partial.replace(voxels)
        about = {"source": str(path), "spacing_mm": volume.spacing_mm, "values": asdict(volume.values)}
        partial.write_text(json.dumps(about))
        partial.replace(facts)
    try:
        about = json.loads(facts.read_text())
        x, y, z = about["spacing_mm"]
        values = intensity.IntensityMap(**about["values"])
        return DenseVolume(path.name, np.load(voxels, mmap_mode="r"), (x, y, z), values, str(path))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UnreadableError(f"{voxels} or {facts.name} beside it is damaged; delete both, and run again") from None


def _fingerprint(path: Path) -> str:
    """Of a file's place, size and time of change, or of those of all files of a folder."""
    try:
        files = [path] if path.is_file() else sorted(p for p in _files(path) if p.is_file())
        parts = [(str(p.resolve()), (s := p.stat()).st_size, s.st_mtime_ns) for p in files]
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error.strerror}") from None
    return hashlib.sha256(repr((CACHE_VERSION, parts)).encode()).hexdigest()[:16]
