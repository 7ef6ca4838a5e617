"""Volumes packed for a slow or limited way to another machine: lossless, checked, unpacked by all cores at once.

A part is a safetensors file: its metadata lists the volumes, its tensors are xz streams of some slices each. Each
voxel is predicted within its slice from its left, upper and upper-left neighbour (the median-edge predictor of JPEG-LS,
ITU-T T.87), and the low and high bytes of the residuals are compressed apart. Arithmetic wraps at 16 bits, so that
nothing is lost. Needs numpy and safetensors alone.
"""

import hashlib
import json
import lzma
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

SLICES_PER_CHUNK = 16
"""What one thread packs or unpacks at once."""

VOLUMES = "volumes"
"""Key of a part's metadata."""

Chunk = tuple[bytes, bytes]
"""xz streams of low and high bytes."""


@dataclass(frozen=True)
class PackedVolume:
    """What a part says of one volume, and the cache of volumes too.

    split: ``train`` or ``val``; shape [x, y, z], z through-plane; spacing_mm along x, y, z; window: low, high and scale
    of its ``IntensityMap``; sha256: of the int16 voxels in C order.
    """

    name: str
    split: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    window: tuple[float, float, float]
    sha256: str = ""

    @property
    def voxels_file(self) -> str:
        """Its name in a cache folder; the facts lie beside it."""
        return f"{self.sha256[:16]}.npy"


def predict(skewed: np.ndarray, d: int, rows: slice) -> np.ndarray:
    """Median-edge prediction of anti-diagonal d of (x + y, 1 + x, z); what lies outside the slice is 0."""
    before = slice(rows.start - 1, rows.stop - 1)
    left, upper = skewed[d - 1, rows], skewed[d - 1, before]
    gradient = left + upper - skewed[d - 2, before]
    return np.clip(gradient, np.minimum(left, upper), np.maximum(left, upper))


def compress(voxels: np.ndarray) -> tuple[bytes, bytes]:
    """(x, y, z) int16 voxels to the xz streams of the low and of the high bytes of their residuals."""
    padded = np.pad(voxels, ((1, 0), (1, 0), (0, 0)))
    left, upper = padded[1:, :-1], padded[:-1, 1:]
    gradient = left + upper - padded[:-1, :-1]
    residual = voxels - np.clip(gradient, np.minimum(left, upper), np.maximum(left, upper))
    unsigned = ((residual << 1) ^ (residual >> 15)).astype("<u2").transpose(2, 0, 1)  # small for residuals near 0
    low, high = (np.ascontiguousarray(part, np.uint8).tobytes() for part in (unsigned & 255, unsigned >> 8))
    return lzma.compress(low), lzma.compress(high)


def decompress(low: bytes, high: bytes, target: np.ndarray) -> None:
    """The inverse of ``compress``, into (x, y, z) int16."""
    x, y, z = target.shape
    low_bytes, high_bytes = (np.frombuffer(lzma.decompress(stream), np.uint8) for stream in (low, high))
    unsigned = (low_bytes | (high_bytes.astype(np.uint16) << 8)).reshape(z, x, y).transpose(1, 2, 0)
    # what a voxel is predicted from lies on the two anti-diagonals before its own, which is then one array operation
    skewed = np.zeros((x + y + 1, x + 1, z), np.int16)  # two empty anti-diagonals, one empty row
    along_d, along_x, along_z = skewed.strides
    plane = np.lib.stride_tricks.as_strided(skewed[2:, 1:], (x, y, z), (along_d + along_x, along_d, along_z))
    plane[...] = (unsigned >> 1).astype(np.int16) ^ -(unsigned & 1).astype(np.int16)
    for d in range(x + y - 1):
        rows = slice(1 + max(0, d - y + 1), 1 + min(d, x - 1) + 1)
        skewed[d + 2, rows] += predict(skewed, d + 2, rows)
    target[...] = plane


def pack_volumes(volumes: Iterable[tuple[PackedVolume, np.ndarray]], out: Path, part_bytes: int) -> Iterator[Path]:
    """Write parts of at most ``part_bytes`` into ``out``, in the order of the volumes; yields each when it is written.

    A volume that is larger than a part is cut into slabs of slices, which are volumes of their own.

    Raises:
        ValueError: voxels that are not int16.
    """
    out.mkdir(parents=True, exist_ok=True)
    part: list[tuple[PackedVolume, list[Chunk]]] = []
    count = 0
    for volume, voxels in volumes:
        for slab in _pack(volume, voxels, part_bytes):
            if part and _count_bytes(chunk for _, chunks in [*part, slab] for chunk in chunks) > part_bytes:
                count += 1
                yield _write_part(part, out / f"part-{count:02d}.safetensors")
                part = []
            part.append(slab)
    if part:
        yield _write_part(part, out / f"part-{count + 1:02d}.safetensors")


def _pack(volume: PackedVolume, voxels: np.ndarray, most: int) -> Iterator[tuple[PackedVolume, list[Chunk]]]:
    if voxels.dtype != np.int16:
        raise ValueError(f"{volume.name}: {voxels.dtype} voxels cannot be packed, only int16")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chunks = list(pool.map(compress, _cut(voxels)))
    slabs = -(-_count_bytes(chunks) // most)
    for places in np.array_split(np.arange(len(chunks)), slabs):
        z = slice(places[0] * SLICES_PER_CHUNK, min((places[-1] + 1) * SLICES_PER_CHUNK, voxels.shape[2]))
        name = volume.name if slabs == 1 else f"{volume.name} {z.start}-{z.stop}"
        slab = np.ascontiguousarray(voxels[..., z])
        facts = {"name": name, "shape": slab.shape, "sha256": hashlib.sha256(slab).hexdigest()}
        yield replace(volume, **facts), [chunks[i] for i in places]


def _cut(voxels: np.ndarray) -> Iterator[np.ndarray]:
    """Views of the slices of each chunk."""
    return (voxels[..., z : z + SLICES_PER_CHUNK] for z in range(0, voxels.shape[2], SLICES_PER_CHUNK))


def _stream_names(volume: int, chunk: int) -> tuple[str, str]:
    return f"{volume}/{chunk}/low", f"{volume}/{chunk}/high"


def _count_bytes(chunks: Iterable[Chunk]) -> int:
    return sum(len(stream) for chunk in chunks for stream in chunk)


def _write_part(part: list[tuple[PackedVolume, list[Chunk]]], path: Path) -> Path:
    tensors = {
        name: np.frombuffer(stream, np.uint8)
        for v, (_, chunks) in enumerate(part)
        for c, chunk in enumerate(chunks)
        for name, stream in zip(_stream_names(v, c), chunk, strict=True)
    }
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, {VOLUMES: json.dumps([asdict(volume) for volume, _ in part])})
    return partial.replace(path)


def unpack_part(path: Path, cache: Path) -> list[PackedVolume]:
    """Unpack what is not in the ``cache`` folder yet; the volumes of the part.

    Raises:
        ValueError: a checksum differs; that volume is not written.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with safe_open(path, "numpy") as part, ThreadPoolExecutor(os.cpu_count()) as pool:
        volumes = [_parse(facts) for facts in json.loads(part.metadata()[VOLUMES])]
        missing = {
            v: np.empty(volume.shape, np.int16) for v, volume in enumerate(volumes) if not _is_there(volume, cache)
        }
        jobs = [
            (volumes[v], pool.submit(decompress, *(part.get_tensor(name) for name in _stream_names(v, c)), target))
            for v, voxels in missing.items()
            for c, target in enumerate(_cut(voxels))
        ]
        for volume, job in jobs:
            try:
                job.result()
            except (lzma.LZMAError, ValueError) as error:
                raise ValueError(f"{volume.name} in {path} is damaged; pack it again") from error
        list(pool.map(lambda v: _keep(volumes[v], missing[v], cache), missing))
    return volumes


def _keep(volume: PackedVolume, voxels: np.ndarray, cache: Path) -> None:
    """Write a volume into the cache: first the voxels, then the facts, which say that it is whole."""
    if hashlib.sha256(voxels).hexdigest() != volume.sha256:
        raise ValueError(f"{volume.name} is damaged: its checksum differs; pack it again")
    file = cache / volume.voxels_file
    np.save(file, voxels)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(volume)), encoding="utf-8")
    partial.replace(file.with_suffix(".json"))


def _is_there(volume: PackedVolume, cache: Path) -> bool:
    return (cache / volume.voxels_file).with_suffix(".json").is_file()


def load_cached(cache: Path) -> list[tuple[PackedVolume, np.ndarray]]:
    """Every volume of a cache folder, its voxels memory-mapped (copied where written to), by name."""
    volumes = [_parse(json.loads(file.read_text(encoding="utf-8"))) for file in cache.glob("*.json")]
    return [(v, np.load(cache / v.voxels_file, mmap_mode="c")) for v in sorted(volumes, key=lambda v: v.name)]


def _parse(facts: dict[str, object]) -> PackedVolume:
    lists = {name: tuple(value) for name, value in facts.items() if isinstance(value, list)}
    return PackedVolume(**{**facts, **lists})  # type: ignore[arg-type]
