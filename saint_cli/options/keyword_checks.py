"""What turns away a keyword of ``upsample`` and ``restore`` that has another type, by name."""

import operator
import os
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np

from saint_cli.errors import UsageError
from saint_cli.options.method import NoiseHandling
from saint_cli.options.values import match_word


def check_whole_number(name: str, value: Any) -> int | None:
    """A whole number or None; no truth value, and no fraction."""
    if value is None:
        return None
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    hint = "; for any distance between slices give `spacing_mm`" if name == "factor" else ""
    raise UsageError(f"`{name}={value!r}` must be a whole number{hint}")


def check_number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise UsageError(f"`{name}={value!r}` must be a number")
    return float(value)


def check_axis(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral) or value not in (0, 1, 2):
        raise UsageError(f"`{name}={value!r}` must be 0, 1 or 2, for x, y or z")
    return int(value)


def check_word(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"`{name}={value!r}` must be a word")
    return value


def check_model(name: str, value: Any) -> Any:
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    if not hasattr(value, "ami"):
        raise UsageError(f"`{name}={value!r}` must be a name, the path of a weights file, or a loaded model")
    return value


def check_directions(name: str, value: Any) -> int:
    if value not in (2, 4):
        raise UsageError(f"`{name}={value!r}` must be 2 or 4")
    return int(value)


def check_noise(name: str, value: Any) -> NoiseHandling:
    return NoiseHandling(match_word(f"`{name}`", check_word(name, value), tuple(NoiseHandling)))


def check_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool):
        raise UsageError(f"`{name}={value!r}` must be True or False")
    return bool(value)


def check_slab(name: str, value: Any) -> bool | float:
    if value is None:
        return False
    if isinstance(value, bool | np.bool):
        return bool(value)
    if not isinstance(value, Real):
        raise UsageError(f"`{name}={value!r}` must be True, False, or a thickness in mm")
    return float(value)


FLAGS = (
    "tta",
    "match_noise",
    "regenerate",
    "skip_air",
    "isotropic",
    "extrapolate",
    "allow_labels",
    "untilt",
    "irregular",
)

CHECKS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("factor", "batch_size", "threads", "max_memory"), check_whole_number),
    **dict.fromkeys(("device", "precision", "slab_profile"), check_word),
    **dict.fromkeys(FLAGS, check_flag),
    "model": check_model,
    "noise": check_noise,
    "directions": check_directions,
    "spacing_mm": check_number,
    "in_plane_mm": check_number,
    "axis": check_axis,
    "slab": check_slab,
}
"""What turns away a keyword of another type, by name."""
