"""Documents that an earlier run left, which may hold anything: parsed strictly, and compared with what is expected."""

import json
import math
import types
from collections.abc import Sequence
from typing import Any, Literal, Union, get_args, get_origin

LARGEST = 10**15
"""Numbers beyond this are damage: no count of voxels, no size and no time comes near."""


def parse_object(text: bytes) -> dict[str, Any]:
    """The JSON object in a line: finite numbers, no name twice.

    Raises:
        ValueError: it is anything else; the text says what.
    """
    try:
        found = json.loads(text, object_pairs_hook=_distinct, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except _Refused:
        raise
    except ValueError:
        raise ValueError("not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found


class _Refused(ValueError):
    """What JSON allows, or Python's reader does, but no record holds."""


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Refused("the same name twice")
    return found


def _refuse(word: str) -> float:
    raise _Refused(f"{word} as a number")


def _finite(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise _Refused("an infinite number")
    return found


def has_type(value: Any, kind: Any) -> bool:
    """Whether a value of a JSON document has a type as annotations write it; a list may stand for a tuple."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(has_type(value, one) for one in inner)
    if origin is Literal:
        return value in inner
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
        return isinstance(value, int if kind is int else int | float) and abs(value) <= LARGEST
    return isinstance(value, kind)
