"""The order of the volumes of one series: that of InstanceNumber where it has one, else of time, echo and others."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from saint_cli.io.dicom.acquisition_order import continue_past_midnight
from saint_cli.io.dicom.layout import SliceList
from saint_cli.io.dicom.slice_header import SliceHeader
from saint_cli.io.dicom.volume_keys import ORDER_KEYS, RANK_KEYS, VOLUME_KEYS, Key, is_time_of_day

Rank = tuple[tuple[int, int], tuple[float, ...]]
"""The numbers that stand for a volume (``_number``), and the values that order volumes of equal numbers."""


def rank_volumes(volumes: Sequence[SliceList]) -> list[Rank]:
    """What puts volumes of one series in order, whatever their files are called.

    InstanceNumber counts where every number of a volume lies before that of the next: the lowest, the second, ...
    Numbers that are absent, random, or the same in every volume say nothing: then it is the attributes that distinguish
    volumes, in the order of ``VOLUME_KEYS``.
    """
    numbers = [sorted(map(_number, volume)) for volume in volumes]
    if all(a < b for one, following in pairwise(sorted(numbers)) for a, b in zip(one, following, strict=False)):
        return [(own[0], ()) for own in numbers]
    columns = [column for key in VOLUME_KEYS if (column := _read_column(volumes, key)) is not None]
    values = np.array(columns).reshape(len(columns), len(volumes)).T  # (volumes, keys)
    return [(min(numbers)[0], tuple(own)) for own in values.tolist()]


def sort_volumes(volumes: Sequence[SliceList]) -> list[SliceList]:
    """The volumes in their order."""
    ranks = rank_volumes(volumes)
    order = sorted(range(len(volumes)), key=lambda i: (ranks[i], min(header.sop_instance for header in volumes[i])))
    return [volumes[i] for i in order]


def _number(header: SliceHeader) -> tuple[int, int]:
    """The InstanceNumber of a multi-frame file and the number of the frame; 0 and InstanceNumber of another slice."""
    return header.file_number, header.instance_number


def _read_column(volumes: Sequence[SliceList], key: Key) -> np.ndarray | None:
    """(volumes,) float64: the number or lowest time under a key in each volume; None where one has none, or several."""
    values = [[value for header in volume if (value := header.seconds(key)) is not None] for volume in volumes]
    if not all(values):
        return None
    if key not in (*RANK_KEYS, *ORDER_KEYS) and any(len(set(own)) > 1 for own in values):
        return None
    lowest = np.array([min(own) for own in values], dtype=float)
    return continue_past_midnight(lowest) if is_time_of_day(key) else lowest
