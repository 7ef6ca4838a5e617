"""Values of options: from the text that was typed to what the program works with."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

from saint_cli.errors import UsageError

MEMORY_UNITS = {"TB": 10**12, "T": 10**12, "GB": 10**9, "G": 10**9, "MB": 10**6, "M": 10**6}

LONGEST_NUMBER = 18
"""Characters; memory in bytes has fewer."""

ALL_VOLUMES: Literal["all"] = "all"
"""The value of ``--volume`` that means every volume of a 4-D scan."""

VolumeChoice = int | Literal["all"]
"""A volume of a 4-D scan, from 1, or all of them."""


def match_word(flag: str, word: str, allowed: Sequence[str]) -> str:
    """The allowed word that is meant: capitals count as small letters.

    Raises:
        UsageError: none of them.
    """
    meant = next((one for one in allowed if one.lower() == word.lower()), None)
    if meant is None:
        choice = allowed[0] if len(allowed) == 1 else f"one of {', '.join(allowed)}"
        raise UsageError(f"{flag} must be {choice}, not {word}")
    return meant


def at_least(flag: str, least: int) -> Callable[[int], int]:
    """A parser that accepts numbers from ``least`` on."""

    def parse(number: int) -> int:
        if number < least:
            raise UsageError(f"{flag} {number}: at least {least} is needed")
        return number

    return parse


SLAB_PROFILES = ("box", "gaussian")
"""The words of ``geometry.ProfileShape``, the default first, for what does not import geometry."""

HEADER = "header"
"""The value of ``--slab`` that stands for the thickness of the header."""

SLAB_WORDS = {HEADER: True, "true": True, "false": False}
"""What words instead of a number mean; tables and rules say true and false."""


def parse_slab(text: str) -> bool | float:
    """``header`` or a thickness in mm, to True or the number; ``false`` to False.

    Raises:
        UsageError: neither.
    """
    word = text.strip().lower()
    if word in SLAB_WORDS:
        return SLAB_WORDS[word]
    try:
        thickness = float(text)
    except ValueError:
        thickness = math.nan
    if not 0 < thickness < math.inf:
        raise UsageError(
            f"--slab {text} is no thickness in mm; give a positive number, or {HEADER} for what the header says"
        )
    return thickness


def parse_axis(word: str) -> int:
    """``x``, ``y`` or ``z`` as 0, 1 or 2."""
    if word.lower() not in ("x", "y", "z"):
        raise UsageError(f"`axis` must be x, y or z, not {word}")
    return "xyz".index(word.lower())


def _is_short(number: str) -> bool:
    """Whether a number is of so few ASCII characters that no conversion of it fails or overflows."""
    return number.isascii() and len(number) <= LONGEST_NUMBER


def parse_batch_size(word: str) -> int | None:
    """``auto`` as None, else a positive integer."""
    if word.lower() == "auto":
        return None
    if not _is_short(word) or not word.isdigit() or int(word) < 1:
        raise UsageError(f"`batch_size={word}` is neither auto nor a positive integer")
    return int(word)


def parse_volume(typed: str | int) -> VolumeChoice:
    """``all``, or a whole number from 1 on."""
    if str(typed).lower() == ALL_VOLUMES:
        return ALL_VOLUMES
    try:
        number = int(typed)
    except ValueError:
        raise UsageError(f"`volume={typed}` is neither a whole number from 1 on nor `all`") from None
    if number < 1:
        raise UsageError(f"`volume={number}`: at least 1 is needed")
    return number


def check_directions(number: int) -> int:
    """2 or 4."""
    if number not in (2, 4):
        raise UsageError(f"`directions={number}` is neither 2 (sagittal, coronal) nor 4 (and both diagonals)")
    return number


def parse_memory(text: str, name: str = "`max_memory={}`") -> int:
    """``4GB``, ``4G``, ``800MB`` or ``1TB`` in bytes; ``name``: how a message calls the option and its value."""
    for unit, size in MEMORY_UNITS.items():
        number = text.upper().removesuffix(unit)
        if number != text.upper() and _is_short(number) and number.strip().replace(".", "", 1).isdecimal():
            return round(float(number) * size)
    raise UsageError(f"{name.format(text)} is not an amount of memory in MB, GB or TB, such as 4GB or 800MB")
