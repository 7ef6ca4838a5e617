"""The models that come with saint, their files and their manifest; known before torch is loaded."""

import hashlib
import json
from pathlib import Path
from typing import Any

from saint_cli.errors import UsageError, WeightsError

PACKAGED_FOLDER = Path(__file__).parents[1] / "_weights"
CHECKOUT_FOLDER = Path(__file__).parents[2] / "weights"
MANIFEST = "manifest.json"

MAX_WEIGHTS_BYTES, MAX_MANIFEST_BYTES = 1 << 28, 1 << 24
"""Larger files are no weights and no manifest: the paper's networks need 10 MB, the largest shipped ones 6 MB."""

RUN_MODEL = "model.safetensors"
"""The weights file in the folder of a training run, which may be named in its place."""

AUTO = "auto"
"""Stands for the default model, of the weights for the scan; a weights file of this name is ``./auto``."""

CT_MODALITY, MR_MODALITY = "CT", "MR"

MODALITY_PREFIXES = {MR_MODALITY: "mr-"}
"""What the names of models begin with that were trained on another modality than CT, by DICOM's word for it. Scans of a
modality that is not here, such as PET in DICOM, get the models trained on CT: on them no others have been measured. A
file without a modality, such as PET in NIfTI, counts as MR where its values are not those of CT."""

SLAB_PREFIX = "slab-"
"""What the names of models begin with that make thin slices of slabs (``--slab``)."""

DEFAULT_MODEL = "medium"
"""What ``auto`` stands for: from x4 on better than ``base``, on a CPU in a ninth of its time (docs/decisions.md)."""

ALTERNATIVES = {"base": "medium", "medium": "fast", "fast": "medium"}
"""Whose time is named beside that of a model: the next faster one; of the fastest, the next larger."""


def shipped_folder() -> Path:
    """The folder of the shipped weights: inside the installed package, or beside it in a source checkout."""
    return PACKAGED_FOLDER if PACKAGED_FOLDER.is_dir() else CHECKOUT_FOLDER


def read_manifest(folder: Path | None = None) -> dict[str, Any]:
    """Model name to its manifest entry (file, sha256, parameters, training, figures); empty where there is none.

    Raises:
        WeightsError: not a manifest.
    """
    path = (folder or shipped_folder()) / MANIFEST
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise ValueError(path.name)
        models: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["models"]
        if all(isinstance(entry[key], str) for entry in models.values() for key in ("file", "sha256")):
            return models
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise WeightsError(f"{path} is not a weights manifest; restore it, or move the weights elsewhere")


def is_name(name_or_path: str) -> bool:
    """Whether this is ``auto`` or the name of a shipped model, and no path."""
    return name_or_path == AUTO or name_or_path in read_manifest()


def parse_model(typed: str) -> str:
    """What was typed for a model as everything compares it: a name in small letters, a path as it is.

    What exists under the name in capitals is meant by it, such as the folder of a training run.
    """
    name = typed.lower()
    return name if name != typed and is_name(name) and not Path(typed).exists() else typed


def resolve_name(name_or_path: str, modality: str = CT_MODALITY, *, slabs: bool = False) -> str:
    """The model that a name stands for, for a modality and for slabs.

    ``medium`` is ``mr-medium`` for MR, and ``slab-medium`` for slabs, where these are shipped, else ``medium``. So is
    ``auto``. A file stands for itself.
    """
    name = DEFAULT_MODEL if name_or_path == AUTO else name_or_path
    models, prefix = read_manifest(), MODALITY_PREFIXES.get(modality, "")
    wanted = [SLAB_PREFIX + prefix + name, SLAB_PREFIX + name] if slabs else [prefix + name]
    return name if name not in models else next((one for one in wanted if one in models), name)


def list_models_for(modality: str) -> list[str]:
    """The shipped models that were trained on a modality other than CT."""
    prefix = MODALITY_PREFIXES.get(modality)
    return [] if prefix is None else [name for name in read_manifest() if name.startswith(prefix)]


def remove_prefix(name: str) -> str:
    """The name of the model of the same size that was trained on CT: ``fast`` of ``mr-fast`` and ``slab-fast``."""
    for prefix in (SLAB_PREFIX, *MODALITY_PREFIXES.values()):
        name = name.removeprefix(prefix)
    return name


def find_trained_modality(name: str) -> str | None:
    """The modality that a shipped model was trained on; None of other weights."""
    entry = read_manifest().get(name)
    return None if entry is None else str(entry.get("modality", CT_MODALITY))


def check_model(name_or_path: str, *, slabs: bool | None = False) -> None:
    """Refuse what is neither ``auto`` nor a model nor a file, and models that are not for slabs, or for these alone.

    slabs: whether slices are taken for slabs; None for any, as where dense volumes are made sparse.

    Raises:
        WeightsError: none of these, or a model that ``auto`` stands for is missing.
        UsageError: a model that is not for slabs where slices are, or is for slabs where they are not.
    """
    models, name = read_manifest(), resolve_name(name_or_path, slabs=bool(slabs))
    find_weights(name)
    if slabs and name in models and not name.startswith(SLAB_PREFIX):
        raise UsageError(_describe_no_slabs(name_or_path, [one for one in models if one.startswith(SLAB_PREFIX)]))
    if slabs is False and name in models and name.startswith(SLAB_PREFIX):
        raise UsageError(f"{name} makes thin slices of slabs; give `slab`, or another `model`")


def _describe_no_slabs(name: str, known: list[str]) -> str:
    """Why a model is not for slabs; known: those that are."""
    if not known:
        return "no weights for slabs are installed; leave out `slab`, or name a file of such weights with `model=FILE`"
    return f"{name} was not trained for slabs, nor any of its size; `model={known[0]}`, or leave out `slab`"


def find_weights(name_or_path: str) -> Path:
    """The file of a shipped model by name, or of any weights by path of the file or of the training run.

    Raises:
        WeightsError: no such model or file, or a file that is too large for weights.
    """
    name_or_path = parse_model(name_or_path)
    entry = read_manifest().get(name_or_path)
    path = Path(name_or_path) if entry is None else shipped_folder() / str(entry["file"])
    try:
        if path.is_dir() and (path / RUN_MODEL).is_file():
            path /= RUN_MODEL
        size = path.stat().st_size if name_or_path != AUTO and path.is_file() else None
    except (OSError, ValueError):  # not a valid file name
        size = None
    if size is None:
        known = ", ".join(sorted(read_manifest())) or "none"
        if name_or_path == AUTO:
            raise WeightsError(f"'{AUTO}' stands for a model once the modality is known; name one of: {known}")
        raise WeightsError(f"no model or weights file '{name_or_path}'; shipped models: {known} (or {AUTO})")
    if size > MAX_WEIGHTS_BYTES:
        raise WeightsError(f"{path} holds {size / 1e6:,.0f} MB, more than weights take; name another file")
    return path


def weights_sha256(name_or_path: str) -> str:
    """The sha256 of a weights file: of a shipped model from the manifest, else of the bytes.

    Raises:
        WeightsError: no such model or file, or one that cannot be read.
    """
    entry = read_manifest().get(name_or_path)
    if entry is not None:
        return str(entry["sha256"])
    return hashlib.sha256(read_weights(find_weights(name_or_path))).hexdigest()


def read_weights(path: Path) -> bytes:
    """The bytes of a weights file.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from None
