"""What users type, as what the program works with."""

from saint_cli.errors import UsageError


def axis(word: str | None) -> int | None:
    """``x``, ``y`` or ``z`` as 0, 1 or 2."""
    if word is None:
        return None
    if word.lower() not in ("x", "y", "z"):
        raise UsageError(f"--axis {word} is none of x, y, z")
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


def factors(words: str) -> list[int]:
    """``2,4,6`` as integers."""
    if not all(word.strip().isdigit() and 2 <= int(word) <= 16 for word in words.split(",")):
        raise UsageError(f"--factor {words} is not a list of integers from 2 to 16, such as 2,4,6")
    return [int(word) for word in words.split(",")]


def modality(word: str) -> str | None:
    """``ct`` or ``mr`` as DICOM writes them, ``auto`` as None."""
    one_of("--modality", word, ("auto", "ct", "mr"))
    return None if word == "auto" else word.upper()


def at_least(option: str, number: int | None, least: int) -> int | None:
    """A number that may be left out but not be too small."""
    if number is not None and number < least:
        raise UsageError(f"{option} {number}: at least {least} is needed")
    return number
