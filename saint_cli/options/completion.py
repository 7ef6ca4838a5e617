"""Shell completion of the values of options; typer calls these functions with what has been typed so far."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

WEIGHTS_ENDING = ".safetensors"

SAFE_NAME = re.compile(r"[\w .,+@%=~-]+")
"""Only such names are offered, for shells evaluate what completion prints."""


def word_completer(*offered: str) -> Callable[[str], list[str]]:
    """Completes one of a few words."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in offered if word.startswith(incomplete)]

    return complete


def list_completer(offered: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Completes the last word of a list ``a,b`` by words that are not in it yet."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [
            f"{before}{comma}{word}" for word in offered() if word.startswith(last) and word not in before.split(",")
        ]

    return complete


def complete_model(incomplete: str) -> list[str]:
    """``auto``, the shipped models, and weights files and folders that begin so."""
    return [name for name in list_model_names() if name.startswith(incomplete)] + _weights_files(incomplete)


def list_model_names() -> list[str]:
    """``auto`` and the shipped models; with ``--slab`` the same names stand for the models for slabs."""
    from saint_cli.errors import WeightsError
    from saint_cli.models import shipped

    try:
        names = (name for name in shipped.read_manifest() if not name.startswith(shipped.SLAB_PREFIX))
        return [shipped.AUTO, *names]
    except WeightsError:
        return [shipped.AUTO]


def _weights_files(incomplete: str) -> list[str]:
    """Weights files that begin so, and folders that may contain some, with a slash."""
    folder, _, start = incomplete.rpartition("/")
    here = Path(f"{folder}/" if folder or incomplete.startswith("/") else ".")
    try:
        entries = sorted(here.expanduser().iterdir())
        names = [e.name + ("/" if e.is_dir() else "") for e in entries if e.is_dir() or e.suffix == WEIGHTS_ENDING]
    except (OSError, RuntimeError):  # RuntimeError: the home of a user whom nobody knows
        return []
    prefix = f"{folder}/" if "/" in incomplete else ""
    matching = [name for name in names if name.startswith(start) and (start or not name.startswith("."))]
    return [prefix + name for name in matching if SAFE_NAME.fullmatch(name.rstrip("/"))]
