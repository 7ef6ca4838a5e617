"""The only place that touches image files.

``read_volume`` and ``write_volume`` go between files and :class:`~saint_cli.volume.Volume`; ``check_writable`` tells
early whether an output could be written; ``describe`` reads headers only.
"""

from saint_cli.io.inspect import Description, StackInfo, describe
from saint_cli.io.read import read_volume
from saint_cli.io.write import check_writable, write_volume

__all__ = ["Description", "StackInfo", "check_writable", "describe", "read_volume", "write_volume"]
