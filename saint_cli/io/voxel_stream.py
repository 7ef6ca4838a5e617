"""Voxels of NIfTI, NRRD and MetaImage files in every encoding, bounded by what the files can hold."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from saint_cli.errors import UnreadableError
from saint_cli.io import label_maps
from saint_cli.io.decompress import BLOCK, MAX_TRAILING_BYTES, convert_damage, read_to_end, unpack
from saint_cli.io.error_conversion import convert_os_errors
from saint_cli.io.itk.text_voxels import read_numbers
from saint_cli.io.regular_files import open_regular
from saint_cli.io.volume_header import Encoding, Payload, VolumeHeader
from saint_cli.volume import Storage
from saint_cli.volume.warning_words import MORE_THAN_ITS_HEADER


def check_length(payload: Payload) -> None:
    """Refuse a header that claims more voxels than its files can hold, before anything is allocated.

    Raises:
        UnreadableError: a file is too short, or cannot be opened; of several volumes the first that it cuts is named.
    """
    count, itemsize = payload.count // len(payload.files), payload.dtype.itemsize
    need = {Encoding.TEXT: 2 * count - 1, Encoding.HEX: 2 * count * itemsize}.get(payload.encoding, count * itemsize)
    need += payload.start + (payload.byte_skip if payload.byte_skip >= 0 else -1 - payload.byte_skip)
    ratio = payload.voxel_packing.max_ratio * payload.file_packing.max_ratio
    for path, size in zip(payload.files, _file_sizes(payload), strict=True):
        if need > size * ratio and payload.is_packed:
            raise UnreadableError(f"{path}: the header claims {need} bytes, more than its {size} can unpack to")
        if need > size * ratio:
            raise _explain_cut(path, f"{need} bytes", size, _find_cut_volume(payload, size))


def _find_cut_volume(payload: Payload, size: int) -> int | None:
    """The first volume that is not whole in a file of so many bytes that is not packed; None of a volume alone."""
    if payload.volume is None:
        return None
    first = payload.start - (payload.volume - 1) * payload.size
    return max(0, size - first) // payload.size + 1


def _explain_cut(path: Path, need: str, got: int, volume: int | None) -> UnreadableError:
    """A file that ends early, in this volume of several; ``need`` as in ``640 bytes``."""
    name = "" if volume is None else f"volume {volume}: "
    earlier = "" if volume in (None, 1) else ", or take an earlier one with `volume`"
    return UnreadableError(f"{path}: {name}file is truncated: expected {need}, got {got}; copy it again{earlier}")


def describe_excess(header: VolumeHeader) -> tuple[str, ...]:
    """A warning of a raw file that holds more than its header says by a slice or more, as if sizes or type were wrong.

    Raises:
        UnreadableError: a file cannot be opened.
    """
    payload, count = header.payload, len(header.payload.files)
    is_counted = not payload.is_packed and payload.encoding is Encoding.RAW and not payload.line_skip
    if not is_counted or payload.byte_skip < 0:
        return ()
    need = payload.start + payload.byte_skip + payload.size // count + (payload.trailing or 0)
    return _warn_of_excess(payload, [size - need for size in _file_sizes(payload)])


def _warn_of_excess(payload: Payload, excess: Sequence[int]) -> tuple[str, ...]:
    """The warning of the file that holds most more than the header says; ``excess``: bytes behind those of each."""
    most, path = max(zip(excess, payload.files, strict=True), key=lambda pair: pair[0])
    if most < payload.size // payload.shape[2]:
        return ()
    size = f"unpacks to {most} bytes more" if payload.is_packed else f"is {most} bytes longer"
    return (f"{path.name} {size} {MORE_THAN_ITS_HEADER}",)


def _file_sizes(payload: Payload) -> list[int]:
    sizes = []
    for path in payload.files:
        with convert_os_errors(path, "opened"):
            sizes.append(path.stat().st_size)
    return sizes


def packed_size(payload: Payload) -> int | None:
    """Bytes of packed files, a file that is listed several times counted as often; None of what is not packed."""
    return sum(_file_sizes(payload)) if payload.is_packed else None


def count_labels(header: VolumeHeader) -> int:
    """Number of distinct values if the voxels look like labels, else 0; of an image, few voxels are read.

    A file that is damaged where it is read counts as an image; reading it says what is wrong.
    """
    storage = header.storage
    blocks = (block if storage.is_identity else _scale(block, storage) for block in _stream_voxels(header.payload))
    try:
        return label_maps.count_labels_in_blocks(blocks, label_maps.MAX_VOXELS)
    except UnreadableError:
        return 0


def _scale(stored: np.ndarray, storage: Storage) -> np.ndarray:
    """Scanner values, infinite where they overflow: they are only compared with each other."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(stored * storage.slope + storage.intercept)


def read_voxels(payload: Payload) -> tuple[np.ndarray, tuple[str, ...]]:
    """Stored values [x, y, z], in this machine's byte order, and the warning of :func:`describe_excess` of packed data.

    These are read to their checksums.

    Raises:
        UnreadableError: truncated or corrupt.
    """
    stored = np.empty(payload.count, dtype=payload.dtype)
    part = payload.count // len(payload.files)
    excess = [
        _read_part(path, payload, stored[index * part : (index + 1) * part]) for index, path in enumerate(payload.files)
    ]
    warnings = _warn_of_excess(payload, excess) if payload.is_packed and payload.byte_skip >= 0 else ()
    return _to_native(stored, payload), warnings


def _to_native(stored: np.ndarray, payload: Payload) -> np.ndarray:
    """Voxels in a row as [x, y, z] in this machine's byte order."""
    if not stored.dtype.isnative:
        stored = stored.byteswap(inplace=True).view(payload.dtype.newbyteorder("="))
    return stored.reshape(payload.shape, order="F")


def read_volumes(payload: Payload, count: int) -> Iterator[tuple[np.ndarray, tuple[str, ...]]]:
    """As :func:`read_voxels`, of ``count`` volumes that follow each other in one file; ``payload``: the first.

    The file is opened and unpacked once, a packed one to its checksum, so that the warning comes with the last volume;
    one volume is in memory at a time.

    Raises:
        UnreadableError: truncated in a volume, which it names, or corrupt.
    """
    (path,) = payload.files
    with convert_damage(path), _open_voxels(path, payload, payload.size) as file:
        for number in range(1, count + 1):
            stored = np.empty(payload.count, dtype=payload.dtype)
            got = _fill(memoryview(stored.view("u1").data), file)
            if got < stored.nbytes:
                raise _explain_cut(path, f"{stored.nbytes} bytes of voxels", got, number if count > 1 else None)
            has_end = payload.is_packed and number == count
            warnings = _warn_of_excess(payload, [read_to_end(file, path)]) if has_end else ()
            yield _to_native(stored, payload), warnings
            del stored


def _stream_voxels(payload: Payload) -> Iterator[np.ndarray]:
    """Stored values in the order of x, block by block, in the byte order of the file.

    Raises:
        UnreadableError: truncated or corrupt, as far as it is read.
    """
    part = payload.count // len(payload.files)
    for path in payload.files:
        with convert_damage(path), _open_voxels(path, payload, part * payload.dtype.itemsize) as file:
            if payload.encoding in (Encoding.TEXT, Encoding.HEX):
                yield from read_numbers(path, file, payload, part)
            else:
                yield from label_maps.iterate_values(iter(partial(file.read, BLOCK), b""), payload.dtype, part)


def _read_part(path: Path, payload: Payload, target: np.ndarray) -> int:
    """Read the voxels of one file; how many bytes of packed data follow that the header does not speak of."""
    left = 0
    with convert_damage(path), _open_voxels(path, payload, target.nbytes) as file:
        if payload.encoding in (Encoding.TEXT, Encoding.HEX):
            done = 0
            for values in read_numbers(path, file, payload, len(target)):
                target[done : done + len(values)] = values
                done += len(values)
            return 0
        got = _fill(memoryview(target.view("u1").data), file)
        if payload.is_packed or payload.trailing is not None:
            left = read_to_end(file, path, payload.trailing or 0)
    if got < target.nbytes:
        raise _explain_cut(path, f"{target.nbytes} bytes of voxels", got, payload.volume)
    return left


@contextmanager
def _open_voxels(path: Path, payload: Payload, size: int) -> Iterator[BinaryIO]:
    """What the voxels unpack to, from the first of their ``size`` bytes on; raises as :func:`_read_part`."""
    skip = payload.byte_skip
    if skip < 0:
        behind = -1 - skip
        skip = _length(path, payload, size + behind + MAX_TRAILING_BYTES) - size - behind
        if skip < 0:
            raise UnreadableError(f"{path}: file is truncated: {-skip} bytes of voxels are missing; copy it again")
    with _open(path, payload) as file:
        file.seek(skip, 1)
        yield file


@contextmanager
def _open(path: Path, payload: Payload) -> Iterator[BinaryIO]:
    """What the voxels unpack to, from the first byte behind the header and the lines to pass over."""
    with open_regular(path) as packed:
        file = unpack(packed, payload.file_packing)
        file.seek(payload.start)
        left = MAX_TRAILING_BYTES
        for _ in range(payload.line_skip):
            length = _skip_line(file, left)
            left -= length
            if not left:
                raise UnreadableError(
                    f"{path}: the lines to skip take over {MAX_TRAILING_BYTES >> 20} MB; it is damaged"
                )
            if not length:
                break
        yield unpack(file, payload.voxel_packing)


def _length(path: Path, payload: Payload, most: int) -> int:
    """Bytes of voxels and what lies before and behind them, after unpacking.

    Raises:
        UnreadableError: a packed file holds more than ``most``.
    """
    with convert_damage(path), _open(path, payload) as file:
        if not payload.is_packed:
            return -file.tell() + file.seek(0, 2)
        count = 0
        while block := file.read(BLOCK):
            count += len(block)
            if count > most:
                raise UnreadableError(f"{path}: unpacks to over {most} bytes, far more than its voxels; it is damaged")
        return count


def _fill(target: memoryview, file: BinaryIO) -> int:
    done = 0
    while done < len(target) and (step := file.readinto(target[done : done + 16 * BLOCK])):  # type: ignore[attr-defined]
        done += step
    return done


def _skip_line(file: BinaryIO, most: int) -> int:
    """Go behind the next line, or ``most`` bytes of it; how many bytes that was."""
    done = 0
    while done < most and (line := file.readline(min(BLOCK, most - done))):
        done += len(line)
        if line.endswith(b"\n"):
            break
    return done
