"""What the page says of a job."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from saint_cli.volume import SlabDeviation
from saint_cli.volume.label_map import LabelMap

if TYPE_CHECKING:
    from saint_cli.labels import LabelVolume


@dataclass(frozen=True)
class LabelPair:
    """The labels of a scan before and after it was upsampled, and the volume of each label in the files of both."""

    before: LabelMap
    after: LabelMap
    volumes: tuple["LabelVolume", ...]


@dataclass(frozen=True)
class JobFacts:
    """One job without patient text: of files only the names.

    shape_after, spacing_after_mm: of the file that is written, along x, y, z; pictures show its slices with the pixels
    of the scan. options: the flags of the command line that were given, with their values as text, "" for those
    without; not ``--noise match`` where no noise could be added. resamples_planes: whether slices got other pixels than
    those of the scan. seconds: to read and to restore.
    """

    source: str
    target: str
    model: str
    weights_sha256: str
    device: str
    precision: str
    seconds: float
    acquired_kept: int
    shape_after: tuple[int, int, int]
    spacing_after_mm: tuple[float, float, float]
    options: Mapping[str, str] = field(default_factory=dict)
    resamples_planes: bool = False
    warnings: tuple[str, ...] = ()
    labels: LabelPair | None = None
    slab_deviation: SlabDeviation | None = None

    @property
    def options_text(self) -> str:
        """The flags as they were typed, one after the other; "" without any."""
        return " ".join(f"{flag} {text}".rstrip() for flag, text in self.options.items())
