"""What users measure in a CT: tissues by threshold, and the sharpness of edges across slices."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from saint_cli.evaluation.edge_measures import find_edges
from saint_cli.evaluation.tissue_measures import TissueComparison, TissueFigures


@dataclass(frozen=True)
class UserMeasures:
    """What is measured in the slices of the truth or of a result.

    tissues: bone, lung and fat against the truth's; edge_rise_mm: median rise from 10 to 90 % of steps across slices,
    None with too few of them.
    """

    tissues: tuple[TissueFigures, ...]
    edge_rise_mm: float | None


class UserMeasurer:
    """Measures results against one truth, in which tissues and edges are found once.

    truth_hu: [X, Y, slices] HU, every ``factor``-th slice acquired; spacing_mm: along these axes.
    """

    def __init__(self, truth_hu: np.ndarray, spacing_mm: Sequence[float], factor: float) -> None:
        self._tissues = TissueComparison(truth_hu, spacing_mm)
        self._edges = find_edges(truth_hu, factor, spacing_mm[2])

    def measure(self, result_hu: np.ndarray) -> UserMeasures:
        """The measures of a result of the truth's shape, HU, or of the truth itself."""
        return UserMeasures(self._tissues.compare(result_hu), self._edges.measure_rise(result_hu))
