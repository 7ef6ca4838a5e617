"""A derived series and its slices: which acquired slices each was made of, and where it lies."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np

from saint_cli import geometry
from saint_cli.io.dicom.slice_header import SliceHeader
from saint_cli.io.dicom.uids import make_series_uid, make_uid
from saint_cli.volume import Derivation, Volume
from saint_cli.volume.fourth_axis import VolumeMark


@dataclass(frozen=True)
class VolumePlace:
    """The place of a volume in a series of several: how many slices come before, the series' UID, what marks it."""

    slices_before: int
    series_uid: str
    mark: VolumeMark


@dataclass(frozen=True)
class DerivedSeries:
    """A series to write: the volume, its acquired slices and the options that its headers depend on.

    acquired: headers of the source's slices in the order of the volume's z axis. created: with a time zone.
    place: None for the only volume of its series.
    """

    volume: Volume
    derivation: Derivation
    acquired: tuple[SliceHeader, ...]
    keep_slice_thickness: bool
    created: datetime
    place: VolumePlace | None = None

    @property
    def uid(self) -> str:
        """SeriesInstanceUID."""
        return self.own_uid if self.place is None else self.place.series_uid

    @property
    def slices_before(self) -> int:
        """Slices of the series in volumes before this one."""
        return 0 if self.place is None else self.place.slices_before

    @cached_property
    def own_uid(self) -> str:
        """The SeriesInstanceUID that the volume has if it is alone in its series."""
        keep = self.keep_slice_thickness
        return make_series_uid(self.volume, self.derivation, self.acquired, keep_slice_thickness=keep)

    @cached_property
    def spacing_mm(self) -> float:
        """Distance between neighbouring output slices along their normal."""
        return geometry.slice_distance_mm(self.volume.affine_lps, 2)

    @property
    def acquired_spacing_mm(self) -> float:
        """Distance between neighbouring acquired slices along their normal; the commonest of uneven ones."""
        return self.spacing_mm / self.derivation.grid.step

    @property
    def factor(self) -> str:
        """How many times as many slices, as ``x4``, or their distance where none lie between acquired ones."""
        grid = self.derivation.grid
        return f"x{1 / grid.step:.4g}" if grid.needs_networks or grid.is_same else f"{self.spacing_mm:.4g} mm"

    @cached_property
    def is_descending(self) -> bool:
        """Whether the source counts its instances against the direction of the z axis."""
        numbers = [header.instance_number for header in self.acquired]
        return bool(np.sign(np.diff(numbers)).sum() < 0)

    @property
    def slices(self) -> Iterator["DerivedSlice"]:
        """The output slices in the order of the z axis."""
        for index, (below, offset) in enumerate(zip(*self.derivation.grid.locate(), strict=True)):
            yield DerivedSlice(self, index, int(below), float(offset))


@dataclass(frozen=True)
class DerivedSlice:
    """One output slice, ``offset`` in [0, 1) of the gap above acquired slice ``below``; 0 at that slice."""

    series: DerivedSeries
    index: int
    below: int
    offset: float

    @property
    def values(self) -> np.ndarray:
        """Scanner values [row, column]."""
        return self.series.volume.voxels[:, :, self.index].T

    @property
    def instance_uid(self) -> str:
        """SOPInstanceUID."""
        series = self.series
        volume = series.uid if series.place is None else f"{series.uid} {series.own_uid}"
        return make_uid(f"{volume} {self.index}")

    @property
    def file_name(self) -> str:
        """The name of its file."""
        return f"IM{self.series.slices_before + self.index + 1:05d}.dcm"

    @property
    def instance_number(self) -> int:
        """InstanceNumber, which counts in the direction of the source's, volume after volume."""
        own = self.series.volume.shape[2] - self.index if self.series.is_descending else self.index + 1
        return self.series.slices_before + own

    @property
    def is_beyond(self) -> bool:
        """Whether it lies beyond the last acquired slice."""
        return bool(self.series.derivation.grid.extrapolated[self.index])

    @property
    def is_moved(self) -> bool:
        """Whether neither pixels nor place are those of acquired slices: means, thin parts, and resampled planes."""
        derivation = self.series.derivation
        grid = derivation.grid
        return grid.averages or grid.slab is not None or derivation.plane is not None

    @property
    def neighbours(self) -> tuple[SliceHeader, ...]:
        """The acquired slices that it was computed from, or the one at its place."""
        if self.series.derivation.grid.averages:
            slab = self.series.derivation.grid.find_slab(self.index)
            return self.series.acquired[slab.start : slab.stop]
        return self.series.acquired[self.below : self.below + (1 if self.offset == 0 else 2)]

    @property
    def nearest(self) -> SliceHeader:
        """The acquired slice nearest to it; of two as near, the lower one."""
        at = self.below + (self.offset > 0.5)
        return self.series.acquired[min(at, len(self.series.acquired) - 1)]

    @property
    def position(self) -> np.ndarray:
        """(3,) LPS mm: on the straight line between the acquired slices beside it.

        Where acquired slices lie off the even stack, by tilt or by rounding, the gaps between output slices then differ
        no more, relative to their mean, than the acquired gaps do. Beyond the last slice the mean step goes on.
        Means of slices and resampled planes lie where the volume says.
        """
        if self.is_moved:
            affine = self.series.volume.affine_lps
            return np.asarray(affine[:3, 3] + self.index * affine[:3, 2])
        acquired = self.series.acquired
        start = acquired[self.below].position
        if self.is_beyond:
            step: np.ndarray = self.series.volume.affine_lps[:3, 2] / self.series.derivation.grid.step
        else:
            step = acquired[self.below + 1].position - start
        return np.asarray(start + self.offset * step)
