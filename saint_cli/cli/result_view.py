"""How the result of a job that may have labels is shown, and the volumes of these."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from saint_cli.cli import console

if TYPE_CHECKING:
    from saint_cli.jobs import JobResult
    from saint_cli.jobs.label_job import LabelJobResult
    from saint_cli.labels import LabelVolume

MAX_ROWS = 20
"""Labels that a table shows; of more, those whose volume changes most."""

END_NOTE = (
    "labels in the first or last thick slice change in volume: the fine grid begins at the middle of the first one and "
    "ends at the middle of the last, or up to one thin slice before that"
)


def show_result(
    result: "JobResult | LabelJobResult", *, quiet: bool, as_json: bool, announced: Sequence[str] = ()
) -> None:
    """Print a result as JSON, or its warnings, its line and the volumes of its labels; nothing where it is quiet.

    announced: warnings that were printed before.
    """
    if as_json:
        console.print_json(asdict(result))
    elif not quiet:
        for sentence in (one for one in result.warnings if one not in announced):
            console.print_warning(sentence)
        console.print_message(result.summary)
        show_volumes(result.label_volumes, with_end=result.labels_reach_end)


def show_volumes(volumes: "Sequence[LabelVolume]", *, with_end: bool) -> None:
    """Print a table of the volume of each label before and after; nothing where there are no labels.

    with_end: some labels reach the first or last slice.
    """
    if not volumes:
        return
    shown = sorted(sorted(volumes, key=_rank)[:MAX_ROWS], key=lambda one: one.number)
    title = "Volume of each label, ml"
    if len(shown) < len(volumes):
        title += f" ({len(shown)} of {len(volumes):,}, those that change most; --json lists all)"
    rows = [
        (f"{one.number} {one.name or ''}".strip(), *map(_format_ml, (one.before_ml, one.after_ml)), one.shown_change)
        for one in shown
    ]
    console.print_table(title, ("label", "before", "after", "change"), rows)
    if with_end:
        console.print_message(END_NOTE)


def _rank(one: "LabelVolume") -> float:
    return float("-inf") if one.change is None else -abs(one.change)


def _format_ml(volume: float) -> str:
    return f"{volume:,.4g}" if volume < 1000 else f"{volume:,.0f}"
