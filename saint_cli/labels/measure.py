"""Volumes of labels, before and after a conversion."""

from dataclasses import dataclass

import numpy as np

from saint_cli.volume.label_map import LabelMap

MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class LabelVolume:
    """Volume of one label in two label maps, ml; name: None where the file gives none."""

    number: int
    name: str | None
    before_ml: float
    after_ml: float

    @property
    def change(self) -> float | None:
        """Of the volume, as a share of that before; None of a label that was not there."""
        return self.after_ml / self.before_ml - 1 if self.before_ml else None

    @property
    def shown_change(self) -> str:
        """The change in words, as in ``+1.2%``; "" without one."""
        return "" if self.change is None else f"{self.change:+z.1%}"


def label_volumes(before: LabelMap, after: LabelMap) -> tuple[LabelVolume, ...]:
    """The volume of every label that either map has, by number; background is left out.

    A voxel counts with the product of its spacings and the angles between its axes (the affine's determinant).
    """
    first, second = _volumes_ml(before), _volumes_ml(after)
    names = {segment.number: segment.name for segment in (*after.segments, *before.segments)}
    return tuple(
        LabelVolume(number, names.get(number), first.get(number, 0.0), second.get(number, 0.0))
        for number in sorted({*first, *second})
    )


def _volumes_ml(labels: LabelMap) -> dict[int, float]:
    """By number, ml."""
    voxel_ml = abs(np.linalg.det(labels.affine_lps[:3, :3])) / MM3_PER_ML
    numbers, counts = np.unique(labels.labels, return_counts=True)
    return {int(n): float(count * voxel_ml) for n, count in zip(numbers, counts, strict=True) if n != 0}
