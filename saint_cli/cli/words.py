"""What users type, as what the program works with."""

import os
from fractions import Fraction
from pathlib import Path

from saint_cli.errors import OutputError, UsageError


def place(text: str) -> "Path | str":
    """A path, or a URL that may stand in a manifest."""
    from saint_cli.io import urls

    return urls.check(text) if urls.is_url(text) else Path(text)


def home_and_results(out: str, state_dir: Path | None) -> "tuple[Path, str | None]":
    """The folder that keeps the manifest, and the URL of the results if they go to one."""
    found = place(out)
    if isinstance(found, Path):
        if state_dir is not None:
            raise UsageError(f"--state-dir {state_dir} goes with a URL as OUT_DIR; {out} keeps its own manifest")
        return found, None
    if state_dir is None:
        raise UsageError(
            f"{found}: manifest and pages need a folder here; name one, the same each time, by --state-dir FOLDER"
        )
    return state_dir, found.rstrip("/")


def axis(word: str | None) -> int | None:
    """``x``, ``y`` or ``z`` as 0, 1 or 2."""
    if word is None:
        return None
    if word.lower() not in ("x", "y", "z"):
        raise UsageError(f"--axis must be x, y or z, not {word}")
    return "xyz".index(word.lower())


def batch_size(word: str) -> int | None:
    """``auto`` as None, else a positive integer."""
    if word == "auto":
        return None
    if not word.isdigit() or int(word) < 1:
        raise UsageError(f"--batch-size {word} is neither auto nor a positive integer")
    return int(word)


def directions(number: int) -> int:
    """2 or 4."""
    if number not in (2, 4):
        raise UsageError(f"--directions {number} is neither 2 (sagittal, coronal) nor 4 (and both diagonals)")
    return number


def grid_spacing(spacing: float | None, isotropic: bool, factor: int | None) -> float | None:
    """The target spacing, None for isotropic or for a factor; ``--isotropic`` must stand alone."""
    if isotropic and (spacing is not None or factor is not None):
        raise UsageError("--isotropic is a grid of its own; leave out --factor and --spacing")
    return spacing


def one_of(option: str, word: str, allowed: tuple[str, ...]) -> None:
    """Refuse a word that is none of the allowed ones."""
    if word not in allowed:
        raise UsageError(f"{option} {word} is none of {', '.join(allowed)}")


def factors(words: str) -> list[int | Fraction]:
    """``2,2.5,4`` as integers and exact fractions."""
    try:
        exact = [Fraction(word) for word in words.split(",")]
    except (ValueError, ZeroDivisionError):
        exact = []
    if not exact or not all(2 <= factor <= 16 for factor in exact):
        raise UsageError(f"--factor {words} is not a list of factors from 2 to 16, such as 2,2.5,4")
    return [int(factor) if factor.denominator == 1 else factor for factor in exact]


def listed(option: str, words: str, allowed: tuple[str, ...] | None = None) -> list[str]:
    """``a,b`` as its words, each once, each one of the allowed where those are given."""
    chosen = list(dict.fromkeys(word.strip() for word in words.split(",")))
    for word in chosen:
        if allowed is not None:
            one_of(option, word, allowed)
        elif not word:
            raise UsageError(f"{option} {words} holds an empty name")
    return chosen


def new_file(option: str, path: Path | None, ending: str, *, overwrite: bool) -> None:
    """Refuse a place where no new file of this ending could be written, before anything is computed."""
    if path is None:
        return
    if path.suffix.lower() != ending:
        raise UsageError(f"{option} {path} does not end in {ending}")
    folder = path.absolute().parent
    while not folder.exists() and not folder.is_symlink():  # missing folders are made when the file is written
        folder = folder.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{option} {path}: no file of this name can be written in {folder}")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{option} {path}: exists already; choose another name or pass --overwrite")


MEMORY_UNITS = {"TB": 10**12, "T": 10**12, "GB": 10**9, "G": 10**9, "MB": 10**6, "M": 10**6}


def memory(word: str | None) -> int | None:
    """``4GB``, ``4G``, ``800MB`` or ``1TB`` in bytes."""
    if word is None:
        return None
    for unit, size in MEMORY_UNITS.items():
        number = word.upper().removesuffix(unit)
        if number != word.upper() and number.strip().replace(".", "", 1).isdecimal():
            return round(float(number) * size)
    raise UsageError(f"--max-memory {word} is no amount of memory, such as 4GB or 800MB")


def modality(word: str) -> str | None:
    """``ct`` or ``mr`` as DICOM writes them, ``auto`` as None."""
    one_of("--modality", word, ("auto", "ct", "mr"))
    return None if word == "auto" else word.upper()


def keeps_slice_thickness(word: str | None, keep: bool) -> bool:
    """``acquired`` or ``spacing``, if anything is said, as whether the acquired SliceThickness is kept."""
    if word is None:
        return keep
    one_of("--slice-thickness", word, ("acquired", "spacing"))
    return word == "acquired"


def at_least(option: str, number: int | None, least: int) -> int | None:
    """A number that may be left out but not be too small."""
    if number is not None and number < least:
        raise UsageError(f"{option} {number}: at least {least} is needed")
    return number


def positive(option: str, number: float) -> float:
    """A finite number above zero."""
    if not 0 < number < float("inf"):
        raise UsageError(f"{option} {number:g} is no positive number")
    return number
