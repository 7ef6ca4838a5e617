"""What distinguishes the volumes of a DICOM series, so that a derived series can be separated in the same way."""

from collections.abc import Sequence

import numpy as np

from saint_cli.io.dicom.stacks import Stack
from saint_cli.io.dicom.volume_keys import CONTRAST_KEYS, TIME_KEYS, VOLUME_KEYS, Key
from saint_cli.volume.fourth_axis import FourthAxis, VolumeMark

REWRITTEN = ("ContentTime", "InstanceCreationTime")
"""Times that a derived series has of its own (``derived_header``)."""

SEVERAL = "several"
"""In place of the one value of an attribute, where slices of a volume differ."""

SECONDS_PER_UNIT: dict[Key, float] = {
    ("TemporalPositionTimeOffset",): 1.0,
    **dict.fromkeys(TIME_KEYS[:2], 1.0),
    **dict.fromkeys((TIME_KEYS[2], ("TriggerTime",), ("NominalCardiacTriggerDelayTime",)), 1e-3),
}
"""Attributes that say when a volume was acquired, and their unit in seconds; times of day come in seconds."""

EVEN_STEP = 0.05
"""Relative difference between the steps from volume to volume that is put down to rounding."""

SECONDS = 8
"""NIfTI's code of seconds in xyzt_units."""


def make_marks(volumes: Sequence[Stack]) -> tuple[VolumeMark, ...]:
    """The mark of each volume: attributes that all of its slices share and that differ between volumes.

    Where none that readers trust tells every volume from the others, TemporalPositionIdentifier counts them.
    """
    if len(volumes) < 2:
        return tuple(VolumeMark(stack.split_by) for stack in volumes)
    shared = {key: [_find_shared(stack, key) for stack in volumes] for key in VOLUME_KEYS}
    certain = [values for key in CONTRAST_KEYS if SEVERAL not in (values := shared[key])]
    contrasts = list(zip(*certain, strict=True))
    are_distinct = len(set(contrasts)) == len(volumes)
    marks = []
    for index, stack in enumerate(volumes):
        elements: dict[str, str | tuple[str, ...]] = {}
        for key in VOLUME_KEYS:
            is_kept = shared[key][index] not in (None, SEVERAL) and not set(key) & set(REWRITTEN)
            if is_kept and len(set(shared[key])) > 1:
                elements |= dict(zip(key, stack.slices[0].value(key), strict=True))
        if not are_distinct:
            elements |= {"TemporalPositionIdentifier": str(index + 1), "NumberOfTemporalPositions": str(len(volumes))}
        marks.append(VolumeMark(stack.split_by, tuple((n, v) for n, v in elements.items() if v not in (None, ""))))
    return tuple(marks)


def _find_shared(stack: Stack, key: Key) -> object:
    """The value that all slices of a volume have, None where they have none; ``SEVERAL`` where they differ."""
    values = {header.comparable(key) for header in stack.slices}
    return values.pop() if len(values) == 1 else SEVERAL


def find_fourth_axis(volumes: Sequence[Stack]) -> FourthAxis:
    """The time from volume to volume in seconds, where an attribute shows that it is always the same."""
    for key, unit in SECONDS_PER_UNIT.items():
        times = [[t for header in stack.slices if (t := header.seconds(key)) is not None] for stack in volumes]
        if len(times) < 2 or not all(times):
            continue
        steps = np.diff(list(map(min, times))) * unit
        if steps.min() > 0 and np.ptp(steps) <= EVEN_STEP * steps.mean():
            return FourthAxis(step=round(float(steps.mean()), 6), unit=SECONDS)
    return FourthAxis()
