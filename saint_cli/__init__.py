"""SAINT: learned, spatially aware slice interpolation for thick-slice CT and MR.

    import saint_cli

    x4 = saint_cli.upsample("scan.nii.gz", factor=4, model="fast")
    saint_cli.write_volume(x4, "x4.nii.gz")

Nothing heavy is imported until a public name is used.
"""

from saint_cli.runtime.version import __version__

TYPE_CHECKING = False  # not imported from ``typing``, which takes as long as all else before the first line of code
if TYPE_CHECKING:
    from typing import Any

    from saint_cli.api import Stages, restore, upsample
    from saint_cli.errors import (
        GeometryError,
        LabelMapError,
        OutputError,
        SaintError,
        UnreadableError,
        UsageError,
        WeightsError,
    )
    from saint_cli.io import LabelReadOptions, ReadOptions, read_labels, read_volume, write_labels, write_volume
    from saint_cli.label_api import convert_labels
    from saint_cli.models.weights import SaintModel, load_model
    from saint_cli.options.keywords import Options
    from saint_cli.volume import Header, Volume
    from saint_cli.volume.label_map import CodedConcept, LabelMap, Segment

_MODULE_OF = {
    **dict.fromkeys(("upsample", "restore", "Stages"), "saint_cli.api"),
    "Options": "saint_cli.options.keywords",
    **dict.fromkeys(("read_volume", "write_volume", "ReadOptions"), "saint_cli.io"),
    **dict.fromkeys(("read_labels", "write_labels", "LabelReadOptions"), "saint_cli.io"),
    "convert_labels": "saint_cli.label_api",
    **dict.fromkeys(("load_model", "SaintModel"), "saint_cli.models.weights"),
    **dict.fromkeys(("Volume", "Header"), "saint_cli.volume"),
    **dict.fromkeys(("LabelMap", "Segment", "CodedConcept"), "saint_cli.volume.label_map"),
    **dict.fromkeys(("SaintError", "UsageError", "LabelMapError", "UnreadableError"), "saint_cli.errors"),
    **dict.fromkeys(("WeightsError", "GeometryError", "OutputError"), "saint_cli.errors"),
}

__all__ = [
    "CodedConcept",
    "GeometryError",
    "Header",
    "LabelMap",
    "LabelMapError",
    "LabelReadOptions",
    "Options",
    "OutputError",
    "ReadOptions",
    "SaintError",
    "SaintModel",
    "Segment",
    "Stages",
    "UnreadableError",
    "UsageError",
    "Volume",
    "WeightsError",
    "__version__",
    "convert_labels",
    "load_model",
    "read_labels",
    "read_volume",
    "restore",
    "upsample",
    "write_labels",
    "write_volume",
]


def __getattr__(name: str) -> "Any":
    if name in _MODULE_OF:
        from importlib import import_module

        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, which are imported on first use and so would not be listed."""
    return sorted(__all__)
