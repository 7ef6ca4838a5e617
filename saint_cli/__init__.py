"""SAINT: learned, spatially aware slice interpolation for thick-slice CT and MR.

    from saint_cli import load_model, read_volume, upsample, write_volume

Nothing heavy is imported until one of these names is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saint_cli.api import upsample
    from saint_cli.choices import Choices
    from saint_cli.io import read_volume, write_volume
    from saint_cli.jobs import Engine
    from saint_cli.volume import Volume
    from saint_cli.weights import load_model

__version__ = "0.1.0"

__all__ = ["Choices", "Engine", "Volume", "__version__", "load_model", "read_volume", "upsample", "write_volume"]

_HOMES = {
    "upsample": "saint_cli.api",
    "read_volume": "saint_cli.io",
    "write_volume": "saint_cli.io",
    "Choices": "saint_cli.choices",
    "Engine": "saint_cli.jobs",
    "Volume": "saint_cli.volume",
    "load_model": "saint_cli.weights",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
