"""Volume and surface of tissues that were found by thresholds, against those of the truth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from saint_cli.evaluation.tissues import MEASURED_TISSUES, Tissue, find_body

CUBIC_MM_PER_ML = 1000.0


@dataclass(frozen=True)
class TissueFigures:
    """One tissue of a result against the truth's.

    true_ml, found_ml: volumes; surface_mm: average symmetric surface distance (Heimann et al., TMI 28, 2009), None
    where one of both has none.
    """

    tissue: str
    true_ml: float
    found_ml: float
    surface_mm: float | None

    @property
    def volume_error(self) -> float | None:
        """Found less true volume, relative to the true one; None where there is none."""
        return None if self.true_ml == 0 else self.found_ml / self.true_ml - 1


class TissueComparison:
    """Tissues of a truth, with which those of several results are compared.

    truth_hu: [X, Y, slices] HU; spacing_mm: along these axes. Masks of body are those of the truth.
    """

    def __init__(
        self, truth_hu: np.ndarray, spacing_mm: Sequence[float], tissues: Sequence[Tissue] = MEASURED_TISSUES
    ) -> None:
        self._spacing_mm, self._tissues = tuple(spacing_mm), tuple(tissues)
        self._body = find_body(truth_hu)
        self._masks = [tissue.find(truth_hu, self._body) for tissue in tissues]
        self._surfaces = [_find_surface(mask) for mask in self._masks]

    def compare(self, result_hu: np.ndarray) -> tuple[TissueFigures, ...]:
        """The figures of a result of the truth's shape, in the order of the tissues; acquired slices included."""
        voxel_ml = float(np.prod(self._spacing_mm)) / CUBIC_MM_PER_ML
        figures = list[TissueFigures]()
        for tissue, mask, surface in zip(self._tissues, self._masks, self._surfaces, strict=True):
            found = tissue.find(result_hu, self._body)
            true_ml, found_ml = (float(np.count_nonzero(m) * voxel_ml) for m in (mask, found))
            distance = _average_distance(surface, _find_surface(found), self._spacing_mm)
            figures.append(TissueFigures(tissue.name, true_ml, found_ml, distance))
        return tuple(figures)


def _find_surface(mask: np.ndarray) -> np.ndarray:
    """The voxels at the surface of a mask that goes on outside the array: where it is cut off there is none."""
    from scipy import ndimage

    surface: np.ndarray = mask & ~ndimage.binary_erosion(mask, border_value=1)
    return surface


def _average_distance(one: np.ndarray, other: np.ndarray, spacing_mm: tuple[float, ...]) -> float | None:
    """Mean distance, mm, of the voxels of either surface to the other surface."""
    from scipy.spatial import KDTree

    if not (one.any() and other.any()):
        return None
    total = 0.0
    for here, there in ((one, other), (other, one)):
        alone = np.argwhere(here & ~there) * spacing_mm  # the distance of all others is 0
        if len(alone):
            total += float(KDTree(np.argwhere(there) * spacing_mm).query(alone)[0].sum())
    return total / float(np.count_nonzero(one) + np.count_nonzero(other))
