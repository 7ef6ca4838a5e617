"""Safetensors files with a checksum of their tensors: read with every check, written atomically and reproducibly."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse
from safetensors.torch import save as serialise
from torch import Tensor

from saint_cli.errors import WeightsError
from saint_cli.io.atomic import open_atomic_file
from saint_cli.models import safetensors_header
from saint_cli.models.shipped import MANIFEST, read_manifest, read_weights

DIGEST_KEY = "tensors_sha256"


@dataclass(frozen=True)
class TensorFile:
    """What a file holds: tensors by name, metadata, and the file's own sha256."""

    state: dict[str, Tensor]
    metadata: dict[str, str]
    sha256: str

    def require_finite(self, path: Path) -> None:
        """Refuse tensors with NaN or infinity.

        Raises:
            WeightsError: naming the first of them.
        """
        broken = next((name for name, tensor in self.state.items() if not tensor.float().isfinite().all()), None)
        if broken is not None:
            raise WeightsError(f"{path} is damaged: {broken} holds NaN or infinity; copy or train it again")


def read_tensors(path: Path) -> TensorFile:
    """The tensors of a file; native code reads only checked headers.

    Raises:
        WeightsError: not a readable safetensors file; other bytes than the manifest beside it describes; other tensors
            than the checksum stored with them.
    """
    data = read_weights(path)
    sha256 = hashlib.sha256(data).hexdigest()
    expected = {entry["file"]: entry["sha256"] for entry in read_manifest(path.parent).values()}.get(path.name)
    if expected not in (None, sha256):
        raise WeightsError(f"{path} is damaged: its sha256 is {sha256[:12]}..., {MANIFEST} says {expected[:12]}...")
    state, metadata = _parse_tensors(data, path)
    if DIGEST_KEY in metadata and metadata[DIGEST_KEY] != _digest(state):
        raise WeightsError(f"{path} is damaged: its tensors differ from the checksum stored with them")
    return TensorFile(state, metadata, sha256)


def write_tensors(state: dict[str, Tensor], metadata: dict[str, str], path: Path) -> str:
    """Write tensors as they are, with their checksum, replacing an existing file; returns the file's sha256."""
    data = _sort_metadata(serialise(state, {DIGEST_KEY: _digest(state), **metadata}))
    with open_atomic_file(path) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def write_metadata(metadata: dict[str, str], path: Path) -> str:
    """Replace the metadata of a file, its tensors bit-equal; returns the file's new sha256.

    Raises:
        WeightsError: not a readable safetensors file.
    """
    return write_tensors(_parse_tensors(read_weights(path), path)[0], metadata, path)


def to_half(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors of a module as files keep them: half precision, names behind ``prefix``.

    Half precision keeps 11 bits of each weight and halves the file.
    """
    return {f"{prefix}{name}": tensor.half().cpu().contiguous() for name, tensor in state.items()}


def _sort_metadata(data: bytes) -> bytes:
    """A safetensors file with its metadata, whose order is random, sorted by key."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header[safetensors_header.METADATA] = dict(sorted(header[safetensors_header.METADATA].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of eight bytes
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _parse_tensors(data: bytes, path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file by name, and its metadata; native code reads only checked headers."""
    try:
        metadata = safetensors_header.check_header(data)
        return parse(data), metadata
    except (WeightsError, SafetensorError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file ({error})") from None


def _digest(state: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
