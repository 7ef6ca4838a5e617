"""JSON that an earlier run left, which may hold anything: parsed strictly, and its types checked; and digests of it."""

import hashlib
import json
import math
import types
from collections.abc import Sequence
from enum import Enum
from typing import Any, Union, get_args, get_origin

MAX_NUMBER = 10**15
"""Numbers beyond this are damage: no count of voxels, no size and no time comes near."""


def digest(document: Any) -> str:
    """The SHA-256 of a document that JSON can hold, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode("ascii")).hexdigest()


def parse_object(text: bytes) -> dict[str, Any]:
    """The JSON object in a line: finite numbers, no name twice.

    Raises:
        ValueError: it is anything else; the text says what.
    """
    try:
        document = json.loads(
            text, object_pairs_hook=_make_dict, parse_constant=_refuse_constant, parse_float=_parse_finite
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except _RefusedError:
        raise
    except ValueError:
        raise ValueError("not JSON") from None
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document


class _RefusedError(ValueError):
    """What JSON, or Python's parser, allows but no record holds."""


def _make_dict(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise _RefusedError("the same name twice")
    return document


def _refuse_constant(word: str) -> float:
    raise _RefusedError(f"{word} as a number")


def _parse_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _RefusedError("an infinite number")
    return number


def restore_tuples(document: dict[str, Any]) -> dict[str, Any]:
    """The document, each list in it as the tuple that was written."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in document.items()}


def has_type(value: Any, kind: Any) -> bool:
    """Whether a value of a JSON document has a type as annotations write it; a list may stand for a tuple."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(has_type(value, one) for one in inner)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return any(value == member.value for member in kind)
    if origin is tuple and inner[-1] is not Ellipsis:
        whole = isinstance(value, list | tuple) and len(value) == len(inner)
        return whole and all(map(has_type, value, inner))
    if origin in (tuple, list):
        return isinstance(value, list | tuple) and all(has_type(one, inner[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(has_type(one, inner[1]) for one in value.values())
    return kind is Any or _has_plain_type(value, kind)


def _has_plain_type(value: Any, kind: Any) -> bool:
    if kind is None or kind is type(None):
        return value is None
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind in (int, float):
        return isinstance(value, int if kind is int else int | float) and abs(value) <= MAX_NUMBER
    return isinstance(value, kind)
