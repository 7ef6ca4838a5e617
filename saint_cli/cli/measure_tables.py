"""Tables of what ``saint evaluate`` measures besides the scores: noise, tissues and edges, and predicted errors."""

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import TYPE_CHECKING

from saint_cli.cli import console

if TYPE_CHECKING:
    from saint_cli.evaluation.noise_measures import NoiseFigures
    from saint_cli.evaluation.result_measures import ResultMeasures
    from saint_cli.evaluation.scan_calibration import CalibratedError

MOST_OFFSETS = 4
"""Columns of noise by offset; JSON has every offset."""


def show_measures(measures: "Sequence[ResultMeasures]") -> None:
    """Print a table of noise and one of tissues and edges, of one volume and factor, where they were measured."""
    if not measures:
        return
    of = f"{measures[0].volume} x{measures[0].factor:g}"
    noises = {one.method: one.noise for one in measures if one.noise is not None}
    if noises and not any(isfinite(deviation) for noise in noises.values() for deviation in noise.deviation_hu):
        console.print_warning(f"{of}: no noise could be measured (too little uniform tissue)")
    elif noises:
        offsets = _choose_offsets(next(iter(noises.values())))
        header = (
            *("method", "SD of acquired HU", *(f"SD at t={t:.2g}" for t in offsets)),
            *("kurtosis", "spectrum", "slice correlation", "slice index"),
        )
        rows = [_noise_cells(one, offsets) for one in measures if one.noise is not None]
        console.print_table(f"{of}, noise in uniform soft tissue; SD between relative to acquired slices", header, rows)
    tissues = measures[0].tissues
    if tissues is not None:
        header = ("method", *(f"{t.tissue} {what}" for t in tissues for what in ("volume %", "surface mm")), "rise mm")
        rows = [_tissue_cells(one) for one in measures]
        console.print_table(f"{of}, errors against the truth, and 10-90 % rise of edges across slices", header, rows)


def show_calibration(errors: "Sequence[CalibratedError]") -> None:
    """Print, by model, the mean errors of every volume and factor: observed, and predicted without the truth."""
    for model, unit in sorted({(one.model, one.unit) for one in errors}):
        header = ("volume", f"observed {unit}", f"by weights {unit}", "ratio", f"by self-check {unit}", "ratio")
        rows = [
            (
                f"{one.volume} x{one.factor:g}",
                f"{one.observed_hu:.2f}",
                *_predicted_cells(one.observed_hu, one.by_weights_hu),
                *_predicted_cells(one.observed_hu, one.by_scan_hu),
            )
            for one in errors
            if (one.model, one.unit) == (model, unit)
        ]
        console.print_table(f"{model} fused: mean absolute error of each scan", header, rows)


def _choose_offsets(noise: "NoiseFigures") -> list[float]:
    """Offsets up to half-way, the others mirror them; evenly drawn if there are many."""
    near = [t for t in noise.offset if 0 < t <= 0.5]
    step = max(1, -(-len(near) // MOST_OFFSETS))
    return near[::-1][::step][::-1]


def _noise_cells(measures: "ResultMeasures", offsets: Sequence[float]) -> Iterator[str]:
    noise = measures.noise
    assert noise is not None
    ratio = dict(zip(noise.offset, noise.deviation_ratio, strict=True))
    yield measures.method
    yield format_number(noise.acquired_deviation_hu, 1)
    for t in offsets:
        yield format_number(ratio[t], 2)
    yield format_number(noise.kurtosis, 2)
    yield format_number(measures.spectrum_distance, 2)
    yield format_number(noise.slice_correlation, 2)
    yield format_number(noise.slice_noise_index, 3)


def _tissue_cells(measures: "ResultMeasures") -> Iterator[str]:
    yield measures.method
    for tissue in measures.tissues or ():
        error = tissue.volume_error
        yield "-" if error is None else f"{100 * error:+.1f}"
        yield format_number(tissue.surface_mm, 2)
    yield format_number(measures.edge_rise_mm, 2)


def _predicted_cells(observed: float, predicted: float | None) -> tuple[str, str]:
    """A prediction, and the observed error over it."""
    if not predicted:
        return format_number(predicted, 2), "-"
    return f"{predicted:.2f}", f"{observed / predicted:.2f}"


def format_number(value: float | None, digits: int) -> str:
    """A number of a table; a dash where there is none."""
    return "-" if value is None or not isfinite(value) else f"{value:.{digits}f}"
