"""The models that come with saint: where they lie and what their manifest says; found before torch is loaded."""

import hashlib
import json
from pathlib import Path
from typing import Any

from saint_cli.errors import WeightsError

PACKAGED = Path(__file__).parent / "_weights"
CHECKOUT = Path(__file__).parent.parent / "weights"
MANIFEST = "manifest.json"

MOST_BYTES, MOST_MANIFEST_BYTES = 1 << 28, 1 << 24
"""A weights file and a manifest beyond are none: the paper's networks take 10 MB, the largest shipped ones 6 MB."""

AUTO = "auto"
"""The word for the model that suits the device; weights in a file of this name are ``./auto``."""

ON_GPU, ON_CPU = "base", "fast"
"""What ``auto`` stands for: on a CPU ``base`` takes eleven times as long as ``fast`` (docs/performance.md)."""


def shipped_folder() -> Path:
    """Where the shipped weights lie: inside the installed package, or beside it in a source checkout."""
    return PACKAGED if PACKAGED.is_dir() else CHECKOUT


def manifest(folder: Path | None = None) -> dict[str, Any]:
    """Model name to its manifest entry (file, sha256, parameters, training, figures); empty where there is none.

    Raises:
        WeightsError: the manifest is not one.
    """
    path = (folder or shipped_folder()) / MANIFEST
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > MOST_MANIFEST_BYTES:
            raise ValueError(path.name)
        models: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["models"]
        if all(isinstance(entry[key], str) for entry in models.values() for key in ("file", "sha256")):
            return models
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise WeightsError(f"{path} is not a weights manifest; restore it, or move the weights elsewhere")


def resolve(name_or_path: str, device: str) -> str:
    """The model that a word stands for on a kind of device (``cpu``, ``cuda``, ``mps``): ``auto`` depends on it."""
    if name_or_path != AUTO:
        return name_or_path
    return ON_CPU if device == "cpu" else ON_GPU


def check(name_or_path: str) -> None:
    """Refuse a word that is neither ``auto`` nor a model nor a file.

    Raises:
        WeightsError: it is none of these, or one of the models that ``auto`` may choose is missing.
    """
    for device in ("cpu", "cuda"):
        find(resolve(name_or_path, device))


def find(name_or_path: str) -> Path:
    """The file of a shipped model by name, or of any weights by path.

    Raises:
        WeightsError: there is none, and the message names the shipped models; or one that is too large for weights.
    """
    entry = manifest().get(name_or_path)
    path = Path(name_or_path) if entry is None else shipped_folder() / str(entry["file"])
    try:
        size = path.stat().st_size if path.is_file() else None
    except (OSError, ValueError):  # a name that no file can have
        size = None
    if size is None:
        known = ", ".join(sorted(manifest())) or "none"
        if name_or_path == AUTO:
            raise WeightsError(f"'{AUTO}' stands for a model once the device is known; name one of: {known}")
        raise WeightsError(f"no model or weights file '{name_or_path}'; shipped models: {known} (or {AUTO})")
    if size > MOST_BYTES:
        raise WeightsError(f"{path} holds {size / 1e6:,.0f} MB, more than weights take; name another file")
    return path


def sha256(name_or_path: str) -> str:
    """The sha256 of a weights file: what the manifest says of a shipped model, else that of the bytes.

    Raises:
        WeightsError: no such model or file, or one that cannot be read.
    """
    entry = manifest().get(name_or_path)
    if entry is not None:
        return str(entry["sha256"])
    path = find(name_or_path)
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from None
