"""Which slices of a series that saint derived are acquired ones, from what its headers say (PS3.3 C.7.6.1.1.3)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from saint_cli import geometry
from saint_cli.errors import SourceChangedError
from saint_cli.io.dicom.bounded_parse import read_header
from saint_cli.io.dicom.plane_steps import AcquiredSlices
from saint_cli.io.dicom.slice_header import SliceHeader
from saint_cli.io.dicom.values import decode_text

DERIVED_BY_SAINT = "SAINT slice "
"""How DerivationDescription of every derived slice begins."""

BEYOND = "extrapolated beyond"
"""What it says of slices that repeat the last acquired one."""

OF_SLABS = "thin slice of acquired slab"
"""What it says of most thin slices of slabs."""

ACQUIRED_SPACING = "acquired slice spacing"
"""What stands before the distance between acquired slices in it."""

TAGS = ("SourceImageSequence", "DerivationDescription")

Provenance = tuple[str, frozenset[tuple[str, int]]]
"""DerivationDescription of a slice, and the acquired slices that it was made of: SOPInstanceUID and frame of each."""


@dataclass(frozen=True)
class DerivedSources:
    """What a derived series says of the scan that it was made of.

    uids: of its instances. acquired: its slices that are in the series, and the last one where that lies beyond the
    series; or the middles of the slabs that the series was made of. None where fewer than two are known.
    """

    uids: frozenset[str]
    acquired: AcquiredSlices | None


def read_sources(headers: Sequence[SliceHeader]) -> DerivedSources | None:
    """The sources of a series in the order of its slices; None of one that saint did not derive.

    Raises:
        SourceChangedError: a file that can no longer be read.
    """
    if not headers[0].is_derived or headers[0].is_multiframe:
        return None
    described = [_read(header.path) for header in headers]
    if not all(text.startswith(DERIVED_BY_SAINT) for text, _ in described):
        return None
    uids = frozenset(name for _, references in described for name, _ in references)
    if any(OF_SLABS in text for text, _ in described):
        return DerivedSources(uids, _find_slabs(headers, described))
    kept = [i for i, (text, references) in enumerate(described) if len(references) == 1 and BEYOND not in text]
    return DerivedSources(uids, _make_acquired(kept, headers, described))


def _find_slabs(headers: Sequence[SliceHeader], described: Sequence[Provenance]) -> AcquiredSlices | None:
    """The middles of the slabs that a series of thin slices was made of, whose middle is that of the series."""
    step = _find_stated_step(headers, described)
    count = len(frozenset().union(*(references for _, references in described)))
    is_whole = all(len(references) == 1 for _, references in (described[0], described[-1]))
    if step is None or count < 2 or not is_whole:
        return None
    first, last, ranks = headers[0].position, headers[-1].position, np.arange(count)
    return AcquiredSlices((first + last) / 2 + (ranks[:, None] - (count - 1) / 2) * step, ranks)


def _find_stated_step(headers: Sequence[SliceHeader], described: Sequence[Provenance]) -> np.ndarray | None:
    """(3,) LPS mm from one acquired slice to the next, by the distance that a series states; None if that changes."""
    stated = re.search(rf"{ACQUIRED_SPACING} ([\d.e+-]+) mm", described[0][0])
    ends = np.array([headers[0].position, headers[-1].position])
    length = np.ptp(geometry.positions_along_normal(ends, headers[0].orientation))
    return None if stated is None or length == 0 else np.asarray((ends[1] - ends[0]) * float(stated[1]) / length)


def _make_acquired(
    kept: Sequence[int], headers: Sequence[SliceHeader], described: Sequence[Provenance]
) -> AcquiredSlices | None:
    """The slices ``kept``, counted with those between them that are not in the series, and the last one beyond it."""
    references = [names for _, names in described]
    positions, ranks = [headers[i].position for i in kept], [0]
    for i, j in pairwise(kept):
        ranks.append(ranks[-1] + len(frozenset().union(*references[i : j + 1])) - 1)
    beyond = len(frozenset().union(*references[kept[-1] :])) - 1 if kept else 0
    step = _find_stated_step(headers, described)
    if beyond and step is not None:
        positions.append(positions[-1] + beyond * step)
        ranks.append(ranks[-1] + beyond)
    return AcquiredSlices(np.array(positions), np.array(ranks)) if len(positions) > 1 else None


def _read(path: Path) -> Provenance:
    try:
        data, _ = read_header(path, TAGS)
        items: Sequence[Dataset] = data.get("SourceImageSequence") or ()
        references = frozenset(
            (str(item.ReferencedSOPInstanceUID), int(item.get("ReferencedFrameNumber") or 1)) for item in items
        )
        return decode_text(data.get("DerivationDescription")), references
    except Exception as error:  # damage makes pydicom raise whatever its parser stumbles over
        raise SourceChangedError(
            f"{path}: what it was derived from cannot be read ({type(error).__name__}); run again"
        ) from None
