"""The header of a safetensors file, checked against the file's own size before anything is built of it.

A file is 8 bytes (the header's length, little-endian), the header, the tensors' bytes. The header is JSON: by name,
``dtype``, ``shape`` and ``data_offsets`` (first byte and the one behind the last) of each tensor, and ``__metadata__``.
"""

import json
import math
from typing import Any

from saint_cli.errors import WeightsError

METADATA = "__metadata__"

LENGTH_BYTES = 8

MOST_HEADER_BYTES = 1 << 22
"""The shipped weights have 10 kB; a network of the largest sizes that are accepted stays below 1 MB."""

MOST_AXES = 5
"""Of a tensor: those of a 3-D convolution's weights."""

ITEM_BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
"""Types that weights may have, in bytes."""

WHOLE_ITEM_BYTES = {"I64": 8, "I32": 4}
"""The same of a number that is kept with the weights."""

WHOLE_NUMBERS = ("rfn.fewest",)


def check(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file whose header and tensors fill it exactly.

    Raises:
        WeightsError: in a few words, without the file's name: what does not fit.
    """
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    if len(data) < LENGTH_BYTES or not 2 <= length <= min(MOST_HEADER_BYTES, len(data) - LENGTH_BYTES):
        raise WeightsError(f"a header of {length} bytes in a file of {len(data)}")
    header = _parse(data[LENGTH_BYTES : LENGTH_BYTES + length])
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise WeightsError(f"{METADATA} is not a table of texts")
    _check_offsets([_offsets(name, tensor) for name, tensor in header.items()], len(data) - LENGTH_BYTES - length)
    return metadata


def _parse(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_table)
    except (ValueError, RecursionError):
        raise WeightsError("its header is not JSON") from None
    if not isinstance(header, dict):
        raise WeightsError("its header is not a table")
    return header


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Pairs of a JSON object; a name that comes twice would mean one thing to one reader and another to the next."""
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name that comes twice")
    return table


def _offsets(name: str, tensor: Any) -> tuple[int, int]:
    """Where a tensor begins and ends among the bytes behind the header."""
    shown = name[:40] if name.isprintable() else "a tensor"
    try:
        dtype, shape, (begin, end) = tensor["dtype"], tensor["shape"], tensor["data_offsets"]
        sizes = ITEM_BYTES | WHOLE_ITEM_BYTES if name in WHOLE_NUMBERS else ITEM_BYTES
        if dtype not in sizes:
            raise WeightsError(f"{shown} is not of type {', '.join(sizes)}")
        whole = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
    except (KeyError, TypeError, ValueError):
        raise WeightsError(f"{shown} lacks type, shape or offsets") from None
    if not whole or len(shape) > MOST_AXES or math.prod(shape) * sizes[dtype] != end - begin:
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
