"""The header of a safetensors file, checked against the file's size before any tensor is built.

A file is 8 bytes (the header's length, little-endian), the header, the tensors' bytes. The header is JSON: by name,
``dtype``, ``shape`` and ``data_offsets`` (first byte, and the one after the last) of each tensor, and ``__metadata__``.
"""

import json
import math
from typing import Any

from saint_cli.errors import WeightsError

METADATA = "__metadata__"

LENGTH_BYTES = 8

MAX_HEADER_BYTES = 1 << 22
"""The shipped weights have 10 kB; networks of the largest accepted sizes less than 1 MB."""

MAX_AXES = 5
"""Of a tensor: those of a 3-D convolution's weights."""

ITEM_BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
"""Types of weights, and their bytes."""

INTEGER_ITEM_BYTES = {"I64": 8, "I32": 4}
"""The same for an integer kept with the weights."""

INTEGER_TENSORS = ("rfn.fewest",)


def check_header(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file whose header and tensors fill it exactly.

    Raises:
        WeightsError: the problem in a few words, without the file's name.
    """
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    if len(data) < LENGTH_BYTES or not 2 <= length <= min(MAX_HEADER_BYTES, len(data) - LENGTH_BYTES):
        raise WeightsError(f"a header of {length} bytes in a file of {len(data)}")
    header = _parse(data[LENGTH_BYTES : LENGTH_BYTES + length])
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise WeightsError(f"{METADATA} is not a JSON object of texts")
    _check_offsets([_offsets(name, tensor) for name, tensor in header.items()], len(data) - LENGTH_BYTES - length)
    return metadata


def _parse(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_parse_object)
    except (ValueError, RecursionError):
        raise WeightsError("its header is not JSON") from None
    if not isinstance(header, dict):
        raise WeightsError("its header is not a JSON object")
    return header


def _parse_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a repeated name is refused, since readers differ in which of the two they use."""
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a repeated name")
    return table


def _offsets(name: str, tensor: Any) -> tuple[int, int]:
    """Where a tensor begins and ends among the bytes after the header."""
    shown = name[:40] if name.isprintable() else "a tensor"
    try:
        dtype, shape, (begin, end) = tensor["dtype"], tensor["shape"], tensor["data_offsets"]
        sizes = ITEM_BYTES | INTEGER_ITEM_BYTES if name in INTEGER_TENSORS else ITEM_BYTES
        if dtype not in sizes:
            raise WeightsError(f"{shown} is not of type {', '.join(sizes)}")
        is_valid = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
    except (KeyError, TypeError, ValueError):
        raise WeightsError(f"{shown} lacks type, shape or offsets") from None
    if not is_valid or len(shape) > MAX_AXES or math.prod(shape) * sizes[dtype] != end - begin:
        raise WeightsError(f"{shown} has a shape that does not fit its bytes")
    if begin == end:
        raise WeightsError(f"{shown} is empty")
    return begin, end


def _check_offsets(offsets: list[tuple[int, int]], size: int) -> None:
    """Refuse tensors that overlap, leave gaps, or do not end with the file's last byte."""
    ordered = sorted(offsets)
    ends = [0, *(end for _, end in ordered)]
    begins = [*(begin for begin, _ in ordered), size]
    if any(end != begin for end, begin in zip(ends, begins, strict=True)):
        raise WeightsError("its tensors do not fill the file")
