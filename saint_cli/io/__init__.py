"""The only place that touches image files.

``read_volume`` and ``write_volume`` go between files and :class:`~saint_cli.volume.Volume`; ``check_outputs`` and
``check_result`` check early whether an output could be written; ``describe`` reads headers only, ``describe_remote``
those of files at URLs, which :mod:`~saint_cli.io.remote.transfer` lists, fetches and uploads;
``list_volumes`` and ``open_series`` read and write the volumes of 4-D scans one after another.
"""

from saint_cli.io.atomic import commit_together
from saint_cli.io.describe import describe
from saint_cli.io.description import LABEL_MAP, NO_UID, DescribeOptions, Description, StackInfo
from saint_cli.io.formats import require_format
from saint_cli.io.label_maps import check_intensities
from saint_cli.io.labels import check_segmentation, check_segmentation_target, read_labels, write_labels
from saint_cli.io.output_checks import (
    OBJECT_ENDING,
    OUTPUT_ENDINGS,
    ExtraOutput,
    check_extra_output,
    check_outputs,
    find_disk,
    is_folder_target,
    is_object_target,
)
from saint_cli.io.read import check_complete, read_volume
from saint_cli.io.read_options import LabelReadOptions, ReadOptions
from saint_cli.io.remote.peek import describe_remote
from saint_cli.io.volume_series import VolumeSeries, list_volumes
from saint_cli.io.volume_stream import (
    SeriesFormat,
    check_series_result,
    check_series_target,
    find_storage,
    join_storages,
    open_series,
)
from saint_cli.io.write import check_error_map, check_result, write_error_map, write_volume

__all__ = [
    "LABEL_MAP",
    "NO_UID",
    "OBJECT_ENDING",
    "OUTPUT_ENDINGS",
    "DescribeOptions",
    "Description",
    "ExtraOutput",
    "LabelReadOptions",
    "ReadOptions",
    "SeriesFormat",
    "StackInfo",
    "VolumeSeries",
    "check_complete",
    "check_error_map",
    "check_extra_output",
    "check_intensities",
    "check_outputs",
    "check_result",
    "check_segmentation",
    "check_segmentation_target",
    "check_series_result",
    "check_series_target",
    "commit_together",
    "describe",
    "describe_remote",
    "find_disk",
    "find_storage",
    "is_folder_target",
    "is_object_target",
    "join_storages",
    "list_volumes",
    "open_series",
    "read_labels",
    "read_volume",
    "require_format",
    "write_error_map",
    "write_labels",
    "write_volume",
]
