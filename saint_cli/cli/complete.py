"""What the shell offers after an option: its words, names of models, weights files. Nothing heavy is imported.

typer calls these with what has been typed so far; ``saint --install-completion`` sets the shell up.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

ENDING = ".safetensors"

PLAIN = re.compile(r"[\w .,+@%=~-]+")
"""Names that are offered: shells evaluate what completion prints, and read signs of their own in it."""


def words(*offered: str) -> Callable[[str], list[str]]:
    """What completes one of a few words."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in offered if word.startswith(incomplete)]

    return complete


def several(offered: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What completes the last word of a list ``a,b``; words that stand in it already are not offered again."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        given = before.split(",")
        return [f"{before}{comma}{word}" for word in offered() if word.startswith(last) and word not in given]

    return complete


def model(incomplete: str) -> list[str]:
    """``auto``, the shipped models, and weights files and folders that begin so."""
    return [name for name in model_names() if name.startswith(incomplete)] + _weights_files(incomplete)


def model_names() -> list[str]:
    """``auto`` and the shipped models."""
    from saint_cli import shipped
    from saint_cli.errors import WeightsError

    try:
        return [shipped.AUTO, *shipped.manifest()]
    except WeightsError:
        return [shipped.AUTO]


def _weights_files(incomplete: str) -> list[str]:
    """Weights files that begin so, and folders that may hold some; with a slash, so that one can go on."""
    folder, _, start = incomplete.rpartition("/")
    here = Path(f"{folder}/" if folder or incomplete.startswith("/") else ".")
    try:
        entries = sorted(here.expanduser().iterdir())
        found = [e.name + ("/" if e.is_dir() else "") for e in entries if e.is_dir() or e.suffix == ENDING]
    except (OSError, RuntimeError):  # RuntimeError: the home of a user whom nobody knows
        return []
    prefix = f"{folder}/" if "/" in incomplete else ""
    shown = [name for name in found if name.startswith(start) and (start or not name.startswith("."))]
    return [prefix + name for name in shown if PLAIN.fullmatch(name.rstrip("/"))]
