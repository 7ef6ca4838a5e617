"""Units of length in headers, turned into millimetres; saint's own files are always in mm."""

from collections.abc import Sequence

import numpy as np

from saint_cli.geometry import format_spacing

PLAUSIBLE_MM = (0.005, 100.0)
"""Spacings outside this range, in mm, usually mean a wrong or missing unit (micro-CT reaches 0.009 mm)."""

MM_PER_PREFIX = {"": 1000.0, "d": 100.0, "c": 10.0, "m": 1.0, "u": 1e-3, "n": 1e-6}

LONG_PREFIXES = {"": "", "deci": "d", "centi": "c", "milli": "m", "micro": "u", "nano": "n"}

OTHER_UNITS = {"micron": 1e-3, "microns": 1e-3, "mu": 1e-3, "u": 1e-3, "in": 25.4, "inch": 25.4, "inches": 25.4}

MM_PER_UNIT: dict[str, float] = (
    {f"{prefix}m": mm for prefix, mm in MM_PER_PREFIX.items()}
    | {f"{prefix}m": MM_PER_PREFIX[short] for prefix, short in LONG_PREFIXES.items() if prefix}
    | {
        f"{prefix}{word}{ending}": MM_PER_PREFIX[short]
        for prefix, short in LONG_PREFIXES.items()
        for word in ("meter", "metre")
        for ending in ("", "s")
    }
    | OTHER_UNITS
)
"""Millimetres per unit, by its name in lower case with ``u`` for the Greek mu."""

MAX_QUOTED = 16
"""Characters of an unknown unit that a message repeats."""


def find_mm_per_unit(unit: str) -> float | None:
    """Millimetres per unit; None for one that is not known. The empty unit is not one."""
    name = unit.strip().strip("[]()").strip().rstrip(".").lower()
    for mu in ("\xb5", "\u03bc", "\udcb5", "&micro;"):  # micro sign, Greek mu, micro sign in Latin-1
        name = name.replace(mu, "u")
    return MM_PER_UNIT.get(name)


def convert_units(names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Millimetres per unit along each axis, and what the user should know about the units named.

    An empty or unknown unit counts as mm, with a warning unless all are empty, which means that none was written.
    """
    warnings = []
    named = {name: find_mm_per_unit(name) for name in names if name.strip()}
    if others := dict.fromkeys(name.strip() for name, mm in named.items() if mm not in (None, 1.0)):
        warnings.append(f"the header's unit is {' and '.join(map(quote_text, others))}; converted to mm")
    if unknown := [name for name, mm in named.items() if mm is None]:
        warnings.append(
            f"the header's unit {quote_text(unknown[0])} is unknown; taken as mm, correct the header if not"
        )
    if named and not all(name.strip() for name in names):
        warnings.append("the header names a unit for some axes only; the others are taken as mm")
    return np.array([named.get(name) or 1.0 for name in names]), tuple(warnings)


def find_spacing_warnings(spacing_mm: Sequence[float]) -> tuple[str, ...]:
    """A sentence if a spacing in mm is none that a scanner makes."""
    low, high = PLAUSIBLE_MM
    if min(spacing_mm) > 0 and (min(spacing_mm) < low or max(spacing_mm) > high):
        return (f"spacing {format_spacing(spacing_mm)} mm is implausible; check the header's unit",)
    return ()


def quote_text(text: str) -> str:
    """A word of a header as messages may repeat it: short, and without anything that a terminal would act on."""
    plain = "".join(c if c.isprintable() else "?" for c in text.replace("\udcb5", "\xb5"))
    return f'"{plain[:MAX_QUOTED]}{"..." if len(plain) > MAX_QUOTED else ""}"'
