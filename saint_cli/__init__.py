"""SAINT: learned, spatially aware slice interpolation for thick-slice CT and MR.

    from saint_cli import load_model, read_volume, upsample, write_volume

Nothing heavy is imported until one of these names is used.
"""

TYPE_CHECKING = (
    False  # that of ``typing``, whose import takes as long as all else that happens before the first line of code
)
if TYPE_CHECKING:
    from typing import Any

    from saint_cli.api import read_volume, upsample, write_volume
    from saint_cli.choices import Choices
    from saint_cli.errors import SaintError
    from saint_cli.jobs import Engine
    from saint_cli.volume import Volume
    from saint_cli.weights import load_model

__version__ = "0.1.0"

__all__ = [
    "Choices",
    "Engine",
    "SaintError",
    "Volume",
    "__version__",
    "load_model",
    "read_volume",
    "upsample",
    "write_volume",
]

_HOMES = {
    "upsample": "saint_cli.api",
    "read_volume": "saint_cli.api",
    "write_volume": "saint_cli.api",
    "SaintError": "saint_cli.errors",
    "Choices": "saint_cli.choices",
    "Engine": "saint_cli.jobs",
    "Volume": "saint_cli.volume",
    "load_model": "saint_cli.weights",
}


def __getattr__(name: str) -> "Any":
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, which are imported on first use and so would not be listed."""
    return sorted(__all__)
