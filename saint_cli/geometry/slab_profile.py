"""How an acquired slice weighs the tissue around its middle: the slice profile of a scanner."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from saint_cli.geometry.sampling_weights import GAUSSIAN_REACH, box_weights, gaussian_weights


class ProfileShape(StrEnum):
    """BOX: all tissue within the thickness counts alike; GAUSSIAN: thickness is its full width at half maximum."""

    BOX = "box"
    GAUSSIAN = "gaussian"


@dataclass(frozen=True)
class SlabProfile:
    """The profile of every slice of a stack; thickness in the units of the places that it is asked about."""

    thickness: float
    shape: ProfileShape = ProfileShape.BOX

    @property
    def reach(self) -> float:
        """How far from its middle tissue counts."""
        return self.thickness * (0.5 if self.shape is ProfileShape.BOX else GAUSSIAN_REACH)

    def weigh(self, middles: np.ndarray, width: float, count: int) -> np.ndarray:
        """(n, count) float64: the part of each of ``count`` thin slices in the slabs around ``middles`` (n,).

        Thin slice j is ``width`` thick and lies at ``j * width``. Rows sum to 1, also where a slab reaches beyond them.
        A slab thinner than a thin slice is as thick as that.
        """
        middles, thickness = middles / width, max(self.thickness / width, 1.0)
        line = (box_weights if self.shape is ProfileShape.BOX else gaussian_weights)(middles, thickness, count)
        weights = np.zeros((len(middles), count))
        np.add.at(weights, (np.arange(len(middles))[:, None], line.indices), line.weights)
        return weights
