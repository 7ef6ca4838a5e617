"""What users measure in a scan, of several methods at once: tissues by threshold, and the sharpness of edges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from saint_cli.evaluation.edge_measures import find_edges
from saint_cli.evaluation.tissue_measures import TissueComparison, TissueFigures


@dataclass(frozen=True)
class MethodMeasures:
    """What is measured in one method's slices.

    tissues: bone, lung and fat against the truth's; edge_rise_mm: median rise from 10 to 90 % of steps across slices,
    None with too few of them.
    """

    method: str
    tissues: tuple[TissueFigures, ...]
    edge_rise_mm: float | None


def measure_methods(
    truth_hu: np.ndarray, results_hu: Mapping[str, np.ndarray], spacing_mm: Sequence[float], factor: float
) -> tuple[MethodMeasures, ...]:
    """The measures of every result and, first, of the truth, which is called ``truth``.

    truth_hu, results_hu: [X, Y, slices] HU of one shape, every ``factor``-th slice acquired; spacing_mm: along these.
    """
    tissues, edges = TissueComparison(truth_hu, spacing_mm), find_edges(truth_hu, factor, spacing_mm[2])
    return tuple(
        MethodMeasures(name, tissues.compare(result), edges.measure_rise(result))
        for name, result in {"truth": truth_hu, **results_hu}.items()
    )
