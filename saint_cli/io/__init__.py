"""The only place that touches image files.

``read_volume`` and ``write_volume`` go between files and :class:`~saint_cli.volume.Volume`; ``check_writable`` and
``check_result`` tell early whether an output could be written; ``describe`` reads headers only.
"""

from saint_cli.io.inspect import Description, StackInfo, describe
from saint_cli.io.read import read_volume
from saint_cli.io.targets import check_result, check_writable, is_folder_target
from saint_cli.io.write import write_volume

__all__ = [
    "Description",
    "StackInfo",
    "check_result",
    "check_writable",
    "describe",
    "is_folder_target",
    "read_volume",
    "write_volume",
]
