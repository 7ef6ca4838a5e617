"""Scores as tables for people and as one document for scripts."""

from dataclasses import asdict
from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saint_cli import console
from saint_cli.progress import Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saint_cli.cores import Threads
    from saint_cli.evaluate import Criteria, Outcome
    from saint_cli.report.difference_maps import Comparison
    from saint_cli.scores import Score
    from saint_cli.uncertainty import Bin

HEADER = ("method", "PSNR dB", "SSIM", "bias HU", "noise ratio", "seconds")


def show(outcomes: "Sequence[Outcome]", criteria: "Criteria", *, calibration: bool) -> None:
    """Print one table per volume and factor, their means, and how well errors were predicted."""
    from saint_cli.scores import means

    console.show(f"protocol {criteria.protocol.name}: {criteria.protocol.description}; {_made(criteria)}")
    groups = [outcome.scores for outcome in outcomes]
    if len({outcome.volume for outcome in outcomes}) > 1:
        mean = means([score for group in groups for score in group])
        groups += [[s for s in mean if s.factor == f] for f in dict.fromkeys(s.factor for s in mean)]
    for group in groups:
        first = group[0]
        title = f"{first.volume} x{first.factor:g}, {first.scored} of {first.slices} slices scored"
        console.show_table(title, HEADER, [_cells(score) for score in group])
    if calibration:
        for label, bins in _reliability(outcomes).items():
            _show_reliability(label, bins)


def describe_machine(models: "Sequence[str]", devices: "Sequence[object]", threads: "Threads") -> str:
    """Which models run where; the same words as ``saint upsample`` has for them."""
    names = ", ".join(Path(model).name for model in models)
    place = ",".join(map(str, devices))
    place += f" with {threads.count} {'thread' if threads.count == 1 else 'threads'}" if place == "cpu" else ""
    note = "" if threads.note is None else f"; {threads.note}"
    return f"{'model' if len(models) == 1 else 'models'} {names} on {place}{note}"


class Announcement:
    """Progress of an evaluation, above which one line stands once it is known what to expect: all volumes are read."""

    def __init__(self, report: console.Reporter, line: str) -> None:
        self._report, self._line = report, line

    def expect(self, *stages: Stage, more: bool = False) -> None:
        """Print the line, and hand the stages on."""
        if self._line:
            self._report.say(self._line)
            self._line = ""
        self._report.expect(*stages, more=more)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Hand it on."""
        self._report(stage, done, total)


def document(outcomes: "Sequence[Outcome]", criteria: "Criteria") -> dict[str, Any]:
    """Everything that was measured, without infinity or NaN, which are not JSON."""
    scores = [asdict(score) for outcome in outcomes for score in outcome.scores]
    reliability = [
        {"volume": o.volume, "factor": o.factor, "model": label, **asdict(one)}
        for o in outcomes
        for label, bins in o.reliability.items()
        for one in bins
    ]
    return {
        "protocol": asdict(criteria.protocol),
        "degradation": criteria.degradation,
        "scores": [_finite(score) for score in scores],
        "calibration": [_finite(one) for one in reliability],
        "warnings": list(dict.fromkeys(sentence for outcome in outcomes for sentence in outcome.warnings)),
    }


def write(found: dict[str, Any], path: Path) -> None:
    """Write the document as JSON, whole or not at all; missing folders are made."""
    from saint_cli.report import render

    render.write_text(console.as_json(found), path)


def draw(outcome: "Outcome", criteria: "Criteria", path: Path) -> None:
    """Draw the difference maps of one outcome; missing folders are made."""
    from saint_cli.report import difference_maps

    difference_maps.draw(comparison(outcome, criteria), path)


def comparison(outcome: "Outcome", criteria: "Criteria") -> "Comparison":
    """What the figure of one outcome shows."""
    from saint_cli.metrics import PAPER, scored_slices
    from saint_cli.report.difference_maps import Comparison

    trial = outcome.trial
    assert trial is not None
    in_plane = [axis for axis in range(3) if axis != trial.grid.axis]
    affine = trial.grid.refine(trial.sparse.affine_lps)[:, [*in_plane, trial.grid.axis, 3]]
    made = f"{outcome.volume} x{outcome.factor:g}, protocol {criteria.protocol.name}; {_made(criteria)}"
    cut = criteria.protocol.cut
    synthesised = scored_slices(trial.grid.count, trial.factor, PAPER)
    pictures = {label: cut(volume) for label, volume in outcome.pictures.items()}
    return Comparison(made, cut(trial.truth), pictures, synthesised, affine, criteria.protocol)


def _made(criteria: "Criteria") -> str:
    return {
        "decimate": "single slices were kept",
        "average": "slabs of slices were averaged; the truth stays the dense slices",
    }[criteria.degradation]


def _cells(score: "Score") -> list[str]:
    seconds = None if score.seconds is None else f"{score.seconds:.2f}"
    known = [_number(score.ssim, 4), f"{score.bias_hu:+.2f}", _number(score.noise_ratio, 2), seconds or "-"]
    return [score.label, f"{score.psnr_db:.2f}", *known]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and isinf(v) else v for k, v in row.items()}


def _reliability(outcomes: "Sequence[Outcome]") -> "dict[str, list[Bin]]":
    from saint_cli.uncertainty import pooled

    return {label: pooled([o.reliability[label] for o in outcomes]) for label in outcomes[0].reliability}


def _show_reliability(label: str, bins: "list[Bin]") -> None:
    rows = [
        [
            f"{b.low_hu:g} or more" if isinf(b.high_hu) else f"{b.low_hu:g}...{b.high_hu:g}",
            f"{b.voxels:,}",
            f"{b.observed_hu:.2f}",
            _number(b.predicted_hu, 2),
        ]
        for b in bins
    ]
    title = f"{label} fused: mean absolute error, HU"
    console.show_table(title, ("|I_sag - I_cor| HU", "voxels", "observed", "predicted"), rows)
