"""Label maps, recognised by their values: labels are few, whole, and the same from voxel to voxel."""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from saint_cli.errors import LabelMapError
from saint_cli.errors.parameter_names import adapt_message
from saint_cli.errors.plain_text import format_count
from saint_cli.volume import Volume, warning_words

MAX_LABELS = 512
"""Distinct values at most: whole-body and brain parcellations have 100 to 250."""

LOWEST_LABEL = -1
"""The lowest label: -1 stands for unknown in some maps. Any lower value is an intensity."""

FEW_LABELS = 4
"""Up to so many whole values are labels wherever they lie: a mask, three tissues, scattered landmarks."""

MIN_VOXELS = 4096
"""Below this many voxels, few distinct values say nothing."""

SAME_SHARE, TOUCH_SHARE = 0.75, 0.2
"""Of the pairs of neighbours along x that are both labelled, the share that are equal; and the share of those pairs
among all where either is. Noise makes neighbours differ: in 8 bits CT and MR have 0.1 to 0.3 of the first, with 32
levels up to 0.68, while labels of tissues have 0.95 and more, thin ribbons of cortex less. Counts of 0.3 on average
have 0.75 of the first, but 0.1 of the second."""

SPARSE_SHARE = 0.005
"""Below this share of labelled voxels they need not touch: landmarks of one voxel each, thin roots of nerves. No image
is zero in all other voxels, and counts as rare as that have few values."""

SMOOTH_SAME_SHARE, STEP_SHARE = 0.92, 0.5
"""Where at least ``STEP_SHARE`` of unequal labelled neighbours differ by one step, as in an image of 8 or 16 levels (up
to 0.81 equal), the least share that must be equal. A step is the greatest common divisor of all values: 1, or that of
levels such as 0, 32, 64, ..."""

BLOCK = 1 << 18
"""Voxels checked at a time; the first block that is not empty shows that an image is one."""

MAX_VOXELS = 1 << 26
"""Voxels checked without reading a whole file: 256 slices of 512 x 512 are enough to recognise labels."""

ENOUGH_PAIRS = 100_000
"""Pairs of labelled neighbours after which values are no labels if less than half are equal."""

HINT = (
    "bring it to the grid of its upsampled scan with saint labels (in Python convert_labels), or upsample both at once "
    "with saint upsample SCAN --labels; `allow_labels=True` interpolates it nevertheless"
)
"""What to do with a label map."""


def format_warning(count: int) -> str:
    """A warning about a label map of ``count`` distinct values (0: only its header says so)."""
    values = format_count(count, "distinct value")
    looks = f"looks like labels ({values})" if count else "a label map, as its header says"
    return f"{looks}; {warning_words.NO_LABELS}"


def format_layers(count: int) -> str:
    """What is wrong with a label map of several layers, as 3D Slicer writes segments that overlap, and what to do."""
    return (
        f"{count} layers of segments, since some overlap; in 3D Slicer, export segments that do not overlap as one "
        "label map, and the others as another"
    )


def format_refusal(count: int) -> str:
    """Why a label map is not upsampled, and what to do."""
    return adapt_message(f"{format_warning(count)}, which would invent labels; {HINT}")


def check_intensities(volume: Volume, name: str = "") -> None:
    """Refuse a label map, by its header or its values; ``name`` precedes the reason.

    Raises:
        LabelMapError: saying how many distinct values there are.
    """
    count = count_labels(volume.voxels)
    if count or volume.header.is_labels:
        raise LabelMapError(f"{name}: {format_refusal(count)}" if name else format_refusal(count))


def count_labels(voxels: np.ndarray) -> int:
    """Number of distinct values if a volume [x, y, z] looks like a label map, else 0."""
    return count_labels_in_blocks(voxels[:, :, k].ravel(order="F") for k in range(voxels.shape[2]))


def count_labels_in_blocks(blocks: Iterable[np.ndarray], most: int | None = None) -> int:
    """The same of scanner values that come in the order of x, as many at a time as they like; it stops early.

    most: number of voxels to check.
    """
    counter = _Counter()
    for block in blocks:
        if most is not None and counter.voxels >= most:
            break
        for start in range(0, block.size, BLOCK):
            if not counter.take(block[start : start + BLOCK]):
                return 0
    return counter.labels


def iterate_values(chunks: Iterable[bytes], dtype: np.dtype, count: int) -> Iterator[np.ndarray]:
    """At most ``count`` stored values of chunks of bytes that may end amid one."""
    rest = b""
    for chunk in chunks:
        data = rest + chunk
        whole = min(len(data) // dtype.itemsize, count)
        yield np.frombuffer(data, dtype, whole)
        rest, count = data[whole * dtype.itemsize :], count - whole
        if not count:
            return


class _Counter:
    """Counts distinct values and equal neighbours until the values cannot be labels."""

    def __init__(self) -> None:
        self._kinds: set[float] = set()
        self._turns: dict[int, int] = {}  # how many unequal neighbours differ by how much
        self.voxels = self._labelled = self._both = self._either = self._equal = 0

    def take(self, block: np.ndarray) -> bool:
        """Count a run of voxels; False if they cannot be labels."""
        if block.dtype.kind == "f":
            block = np.nan_to_num(block, nan=0.0, posinf=np.inf, neginf=np.inf)  # not a number is background
        new = np.concatenate([[True], block[1:] != block[:-1]])
        kinds = np.unique(block[new])
        if kinds[0] < LOWEST_LABEL or not np.isfinite(kinds).all() or (kinds != np.rint(kinds)).any():
            return False
        self._kinds.update(kinds.tolist())
        labelled = block != 0
        both = labelled[1:] & labelled[:-1]
        self.voxels += block.size
        self._labelled += int(np.count_nonzero(labelled))
        self._both += int(np.count_nonzero(both))
        self._either += int(np.count_nonzero(labelled[1:] | labelled[:-1]))
        self._equal += int(np.count_nonzero(both & ~new[1:]))
        turns = np.flatnonzero(both & new[1:])
        heights = np.abs(block[turns + 1].astype(float) - block[turns].astype(float))
        for height, count in zip(*np.unique(heights, return_counts=True), strict=True):
            self._turns[int(height)] = self._turns.get(int(height), 0) + int(count)
        hopeless = self._both > ENOUGH_PAIRS and self._equal < self._both / 2 and len(self._kinds) > 2
        return len(self._kinds) <= MAX_LABELS and not hopeless

    @property
    def labels(self) -> int:
        """Number of distinct values if all that was taken looks like labels, else 0."""
        if self.voxels < MIN_VOXELS or len(self._kinds) < 2:
            return 0
        if len(self._kinds) <= FEW_LABELS:
            return len(self._kinds)
        step = math.gcd(*(int(kind) for kind in self._kinds))
        smooth = self._turns.get(step, 0) >= STEP_SHARE * (self._both - self._equal)
        least = SMOOTH_SAME_SHARE if smooth else SAME_SHARE
        touch = self._equal >= TOUCH_SHARE * self._either or self._labelled < SPARSE_SHARE * self.voxels
        same = self._equal >= least * self._both and touch
        return len(self._kinds) if same else 0
