"""The only place that touches image files.

``read_volume`` and ``write_volume`` go between files and :class:`~saint_cli.volume.Volume`; ``check_writable``,
``check_outputs`` and ``check_result`` tell early whether an output could be written; ``describe`` reads headers only,
``describe_remote`` those of files at URLs, which :mod:`~saint_cli.io.remote` lists, fetches and uploads.
"""

from saint_cli.io.atomic import together
from saint_cli.io.description import LABEL_MAP, Description, StackInfo
from saint_cli.io.heads import describe_remote
from saint_cli.io.inspect import describe
from saint_cli.io.labels import check_intensities, count_labels
from saint_cli.io.read import check_complete, find_format, read_volume
from saint_cli.io.targets import (
    ENDINGS,
    Beside,
    check_outputs,
    check_result,
    check_writable,
    find_disk,
    is_folder_target,
)
from saint_cli.io.write import write_volume

__all__ = [
    "ENDINGS",
    "LABEL_MAP",
    "Beside",
    "Description",
    "StackInfo",
    "check_complete",
    "check_intensities",
    "check_outputs",
    "check_result",
    "check_writable",
    "count_labels",
    "describe",
    "describe_remote",
    "find_disk",
    "find_format",
    "is_folder_target",
    "read_volume",
    "together",
    "write_volume",
]
