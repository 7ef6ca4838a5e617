"""Scores as tables for people and as one document for scripts."""

from dataclasses import asdict
from math import isfinite, isinf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saint_cli.cli import console, measure_tables, progress_display
from saint_cli.cli.measure_tables import format_number
from saint_cli.errors.plain_text import format_count
from saint_cli.progress import ProgressStage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saint_cli.evaluation.evaluate import EvaluationOptions, EvaluationResult
    from saint_cli.evaluation.scores import Score
    from saint_cli.models.calibration import ReliabilityBin
    from saint_cli.report.difference_maps import Comparison
    from saint_cli.runtime.cores import ThreadChoice

HEADER: tuple[str, ...] = ("method", "PSNR dB", "SSIM", "bias HU", "noise ratio", "seconds")
MR_HEADER = ("method", "PSNR dB", "SSIM", "bias %", "noise ratio", "seconds")
"""Of volumes that are not CT, whose bias is in percent of the data range."""

SLAB_COLUMN = "off slabs"
"""Where slabs were averaged: how far the means of a result over the slabs are from these at most."""


def show_scores(results: "Sequence[EvaluationResult]", options: "EvaluationOptions", *, calibration: bool) -> None:
    """Print one table per volume and factor, their means, and how well errors were predicted."""
    from saint_cli.evaluation.scores import average_scores

    console.print_result(
        f"protocol {options.protocol.name}: {options.protocol.description}; {_describe_degradation(options)}"
    )
    groups = [result.scores for result in results]
    if len({result.volume for result in results}) > 1:
        mean = average_scores([score for group in groups for score in group])
        groups += [[s for s in mean if s.factor == f] for f in dict.fromkeys(s.factor for s in mean)]
    for group in groups:
        first = group[0]
        title = f"{first.volume} x{first.factor:g}, {_describe_slices(first, options)}"
        if first.bias_percent is not None and first.data_range is not None:
            title += f", not CT: data range {first.data_range:.4g}, its 0.1 to 99.9 percentile"
        header = HEADER if first.bias_percent is None else MR_HEADER
        if first.inconsistency is not None:
            header = (*header, SLAB_COLUMN)
        console.print_table(title, header, [_format_cells(score) for score in group])
    for result in results:
        measure_tables.show_measures(result.measures)
    if calibration:
        for label, bins in _pool_reliability(results).items():
            for unit in dict.fromkeys(one.unit for one in bins):
                _show_bins(label, [one for one in bins if one.unit == unit], unit)
        measure_tables.show_calibration([one for result in results for one in result.calibration])


def _describe_slices(score: "Score", options: "EvaluationOptions") -> str:
    """How many slices the figures are of."""
    scored = f"{score.scored} of {score.slices} slices scored"
    if not score.blank:
        return scored
    of = " of SSIM, bias and noise" if options.protocol.pooled else ""
    return f"{scored}, {format_count(score.blank, 'blank one')} left out{of}"


def describe_machine(models: "Sequence[str]", devices: "Sequence[object]", threads: "ThreadChoice") -> str:
    """Which models run where, in the words of ``saint upsample``."""
    names = ", ".join(Path(model).name for model in models)
    place = ",".join(map(str, devices))
    place += f" with {format_count(threads.count, 'thread')}" if place == "cpu" else ""
    note = "" if threads.note is None else f"; {threads.note}"
    return f"{'model' if len(models) == 1 else 'models'} {names} on {place}{note}"


class AnnouncedProgress:
    """Progress of an evaluation, with one line above it once all volumes are read."""

    def __init__(self, on_progress: progress_display.ProgressReporter, line: str) -> None:
        self._on_progress, self._line = on_progress, line

    def expect(self, *stages: ProgressStage, more: bool = False) -> None:
        """Print the line, and pass the stages on."""
        if self._line:
            self._on_progress.print_message(self._line)
            self._line = ""
        self._on_progress.expect(*stages, more=more)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Pass it on."""
        self._on_progress(stage, done, total)


def make_document(results: "Sequence[EvaluationResult]", options: "EvaluationOptions") -> dict[str, Any]:
    """Everything that was measured, without infinity or NaN, which are not JSON.

    The protocol is as it is named: each score says the range of its volume, and in which unit its bias is.
    """
    scores = [asdict(score) for result in results for score in result.scores]
    reliability = [
        {"volume": o.volume, "factor": o.factor, "model": label, **asdict(one)}
        for o in results
        for label, bins in o.reliability.items()
        for one in bins
    ]
    return {
        "protocol": {name: value for name, value in asdict(options.protocol).items() if name != "is_ct"},
        "degradation": options.degradation,
        "scores": [_replace_nonfinite(score) for score in scores],
        "measures": [_replace_nonfinite(asdict(one)) for result in results for one in result.measures],
        "calibration": [_replace_nonfinite(one) for one in reliability],
        "calibration_by_scan": [asdict(one) for result in results for one in result.calibration],
        "warnings": list(dict.fromkeys(sentence for result in results for sentence in result.warnings)),
    }


def make_comparison(result: "EvaluationResult", options: "EvaluationOptions") -> "Comparison":
    """What the figure of one result shows."""
    from saint_cli.evaluation.metrics import PAPER, list_scored_slices
    from saint_cli.report.difference_maps import Comparison

    degraded = result.degraded
    assert degraded is not None
    title = f"{result.volume} x{result.factor:g}, protocol {options.protocol.name}; {_describe_degradation(options)}"
    cut = options.protocol.cut
    synthesised = list_scored_slices(degraded.grid.count, degraded.factor, PAPER)
    pictures = {label: cut(volume) for label, volume in result.pictures.items()}
    protocol = degraded.adapt(options.protocol)
    return Comparison(title, cut(degraded.truth), pictures, synthesised, degraded.affine_lps, protocol)


def _describe_degradation(options: "EvaluationOptions") -> str:
    return {
        "decimate": "single slices were kept",
        "average": "slabs of slices were averaged; the truth stays the dense slices",
        "gaussian": "slabs of slices were averaged with Gaussian weights; the truth stays the dense slices",
    }[options.degradation]


def _format_cells(score: "Score") -> list[str]:
    seconds = None if score.seconds is None else f"{score.seconds:.2f}"
    bias = score.bias_hu if score.bias_percent is None else score.bias_percent
    others = [
        format_number(score.ssim, 4),
        "-" if bias is None else f"{bias:+.2f}",
        format_number(score.noise_ratio, 2),
        seconds or "-",
    ]
    if score.inconsistency is not None:
        others.append(f"{score.inconsistency:.2f}")
    return [score.label, f"{score.psnr_db:.2f}", *others]


def _replace_nonfinite(value: Any) -> Any:
    """The same with None for infinity and NaN, also inside dictionaries and sequences."""
    if isinstance(value, dict):
        return {key: _replace_nonfinite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_nonfinite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _pool_reliability(results: "Sequence[EvaluationResult]") -> "dict[str, list[ReliabilityBin]]":
    from saint_cli.models.calibration import pool_reliability

    labels = dict.fromkeys(label for result in results for label in result.reliability)
    return {label: pool_reliability(o.reliability.get(label, []) for o in results) for label in labels}


def _show_bins(label: str, bins: "list[ReliabilityBin]", unit: str) -> None:
    rows = [
        [
            f"{b.low_hu:g} or more" if isinf(b.high_hu) else f"{b.low_hu:g}...{b.high_hu:g}",
            f"{b.voxels:,}",
            f"{b.observed_hu:.2f}",
            format_number(b.predicted_hu, 2),
        ]
        for b in bins
    ]
    title = f"{label} fused: mean absolute error, {unit if unit == 'HU' else '% of the data range'}"
    console.print_table(title, (f"|I_sag - I_cor| {unit}", "voxels", "observed", "predicted"), rows)
