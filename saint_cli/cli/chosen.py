"""From the options that a user chose to a job, for one scan and for every row of a table."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saint_cli.batch.whole import Order
    from saint_cli.jobs import Job

GRID = ("factor", "spacing", "isotropic")
"""Options that say how fine to interpolate: of a table's row, any of them replaces all of the command line."""

KINDS: dict[str, type] = {
    **{"factor": int, "spacing": float, "isotropic": bool, "axis": str, "extrapolate": bool},
    **{"model": str, "directions": int, "tta": bool, "match_noise": bool, "regenerate": bool, "precision": str},
    **{"series": str, "volume": int, "modality": str, "split_runs": bool, "merge": bool},
    **{"slice_thickness": str, "keep_slice_thickness": bool},
    **{"allow_labels": bool},
}
"""What a row of a table may say of its scan, in the words of the options."""

NOUNS: dict[type, str] = {int: "a whole number", float: "a number", bool: "true or false"}

TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def job_of(chosen: Mapping[str, Any]) -> "Job":
    """A job, its source and target still open, of options by name; those that are missing have their defaults.

    Raises:
        UsageError: a value that an option cannot have, or options that do not go together.
    """
    from saint_cli.choices import Choices
    from saint_cli.cli import words
    from saint_cli.jobs import Engine, Grid, Job

    def said(name: str, default: Any = None) -> Any:
        value = chosen.get(name)
        return default if value is None else value

    spacing = words.grid_spacing(said("spacing"), said("isotropic", False), said("factor"))
    return Job(
        source=Path(),
        target=Path(),
        grid=Grid(said("factor"), spacing, words.axis(said("axis")), said("extrapolate", False)),
        engine=Engine(
            model=said("model", "auto"),
            device=said("device", "auto"),
            precision=said("precision", "auto"),
            batch_size=words.batch_size(said("batch_size", "auto")),
            threads=words.at_least("--threads", said("threads"), 1),
            max_memory=words.memory(said("max_memory")),
        ),
        choices=Choices(
            directions=words.directions(said("directions", 2)),
            regenerate=said("regenerate", False),
            tta=said("tta", False),
            match_noise=said("match_noise", False),
            skip_air=not said("no_skip_air", False),
        ),
        series=said("series"),
        modality=words.modality(said("modality", "auto")),
        overwrite=said("overwrite", False),
        volume=words.at_least("--volume", said("volume"), 1),
        keep_slice_thickness=words.keeps_slice_thickness(said("slice_thickness"), said("keep_slice_thickness", True)),
        split_runs=said("split_runs", False),
        merge=said("merge", False),
        refuse_labels=not said("allow_labels", False),
        outside_data=said("outside_data", False),
    )


def between(job: "Job", source: Path | str, target: Path | str) -> "Job":
    """The job with its source and target, each a path or a URL.

    Raises:
        UnreadableError: nothing lies at the source's URL, or it cannot be listed.
    """
    from dataclasses import replace

    from saint_cli.io import remote

    job = replace(job, source=source) if isinstance(source, Path) else replace(job, origin=remote.look(source))
    return replace(job, target=target) if isinstance(target, Path) else replace(job, destination=target)


def differing(chosen: Mapping[str, Any], row: Mapping[str, str]) -> dict[str, Any]:
    """The options of the command line with those of a table's row in their place.

    Raises:
        UsageError: a column that is no option, a value of the wrong kind.
    """
    from saint_cli.errors import UsageError

    own: dict[str, Any] = {}
    for column, text in row.items():
        name = column.replace("-", "_").lower()
        if name not in KINDS:
            raise UsageError(f"'{column}' is no column of a table of scans; use source, name, {', '.join(KINDS)}")
        try:
            own[name] = TRUTH[text.lower()] if KINDS[name] is bool else KINDS[name](text)
        except (KeyError, ValueError):
            raise UsageError(f'{column} "{text}" is not {NOUNS[KINDS[name]]}') from None
    base = {name: value for name, value in chosen.items() if not (name in GRID and set(GRID) & set(own))}
    return base | own


def template(chosen: Mapping[str, Any], *, allow_labels: bool) -> "Callable[[Mapping[str, str]], Job]":
    """What makes a batch's jobs: the options of the command line, differing where a table's row says so."""
    given = {**chosen, "allow_labels": allow_labels}
    return lambda row: job_of(differing(given, row))


def order_of(chosen: Mapping[str, Any]) -> "Order":
    """What ``saint batch`` is to do, of its options by name.

    Raises:
        UsageError: values that options cannot have, or options that do not go together.
    """
    from saint_cli.batch import names
    from saint_cli.batch.find import Rules
    from saint_cli.batch.plan import Wishes
    from saint_cli.batch.whole import Order
    from saint_cli.cli import words

    words.one_of("--to", chosen["to"], tuple(names.ENDINGS))
    words.at_least("--workers", chosen["workers"], 1)
    include = chosen["include"]
    kinds = frozenset(words.listed("--include", include, ("derived", "label")) if include is not None else ())
    home, results = words.home_and_results(chosen["out"], chosen["state_dir"] or chosen["books"])
    return Order(
        inputs=tuple(map(words.place, chosen["inputs"])),
        rules=Rules(template(chosen, allow_labels="label" in kinds), home, kinds, results),
        wishes=Wishes(chosen["retry_failed"], chosen["overwrite"], chosen["pages"]),
        engine=job_of(chosen).engine,
        form=chosen["to"],
        name_template=chosen["name_template"],
        workers=chosen["workers"],
        scheduler=chosen["scheduler"],
    )
