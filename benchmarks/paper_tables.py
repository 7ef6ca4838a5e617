"""The comparison of the paper (Tables 1 and 2, Figs. 1, 6 and 7), from a folder of dense volumes to docs/comparison.md.

    python benchmarks/paper_tables.py DATA --val VAL --budget MINUTES [--width SHARE] [--steps N] [--only NAMES] -o RUNS
    python benchmarks/paper_tables.py --from-runs --val VAL -o RUNS [--processes 2]

Every network is trained for the same processor time on one thread (--budget), and again for the same number of steps
(--steps; by default as many as the slowest one took in its time; 0 for none). Whatever is trained, scored or measured
stays in RUNS and is not repeated; a run that was killed goes on where it was. --only trains and scores some networks
and writes no page, so that several days, or several machines that share RUNS, can divide the work. --from-runs trains
nothing: it scores what is not scored yet, and writes the page. --keep copies weights, records and scores to a folder.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from arguments import make_parser, split_integers, split_words
from paper_costs import measure_costs
from paper_figures import write_figures
from paper_filters import format_filters, measure_filters
from paper_growth import draw_growth, format_growth, read_points
from paper_keep import keep_runs
from paper_page import rewrite_page
from paper_records import find_volumes
from paper_report import Results, format_published, format_results, format_reversals, format_title
from paper_scoring import Scoring, score_all
from paper_seams import format_seams, measure_seams
from paper_systems import NETWORKS, SYSTEMS, Network, Regime, System
from paper_training import Budget, Trainer, count_fewest_steps, require_unseen
from results import SLICES

from saint_cli.errors import SaintError, UsageError
from saint_cli.evaluation.inputs import name_files
from saint_cli.io.whole_files import write_text

PAGE = Path(__file__).parent.parent / "docs" / "comparison.md"

GROWTH, FILTERS = "growth.json", "filters.md"
"""In RUNS: what benchmarks/paper_growth.py wrote, and the table of generated filters."""

FILTER_SLICE = (512, 30, 4)
"""Height, width and factor of the slice whose filters are counted."""


@dataclass(frozen=True)
class Plan:
    """What to do: networks to train and systems to score; is_part: whether that is not all of them."""

    networks: list[Network]
    systems: list[System]
    is_part: bool

    @classmethod
    def make(cls, only: list[str]) -> "Plan":
        """All, or the networks that are named, each with or without its factor.

        Raises:
            UsageError: a name that no network has.
        """
        if not only:
            return cls(list(NETWORKS.values()), list(SYSTEMS), False)
        names = {n for n in NETWORKS for name in only if n == name or n.rpartition("-x")[0] == name}
        if unknown := [name for name in only if not any(n in (name, f"{name}-x4", f"{name}-x6") for n in names)]:
            raise UsageError(f"no network {', '.join(unknown)}; there are {', '.join(NETWORKS)}")
        systems = [system for system in SYSTEMS if set((system.networks or {}).values()) & names]
        return cls([NETWORKS[name] for name in NETWORKS if name in names], systems, True)


def train_all(options: argparse.Namespace, plan: Plan) -> None:
    """Both regimes; equal steps only when it is known how many."""
    for regime in Regime:
        steps = None
        if regime is Regime.STEPS:
            steps = count_fewest_steps(options.out) if options.steps is None else options.steps
            if not steps:
                return
        budget = Budget(options.budget, options.width, steps, tuple(options.more))
        trainer = Trainer.on(options.data, options.val, options.out, budget)
        for network in plan.networks:
            record = trainer.train(network)
            print(f"{regime} {network.name}: {record.steps} steps in {record.seconds} s", flush=True)


def write_page(scoring: Scoring, volume: str, page: Path) -> None:
    """Renew the generated parts of the page, and the pictures beside it."""
    parts = {f"published table{table}": format_published(table) for table in (1, 2)}
    for regime in Regime:
        results = Results.read(scoring.runs, regime)
        parts |= {f"table{table} {regime}": format_results(results, table) for table in (1, 2)}
        parts |= {f"title {regime}": format_title(results), f"order {regime}": format_reversals(results)}
    parts["seams"] = format_seams(measure_seams(scoring, Regime.TIME, volume))
    parts["filters"] = read_filters(scoring.runs / FILTERS)
    if points := read_points(scoring.runs / GROWTH):
        parts["growth"] = format_growth(points)
        draw_growth(points, page.parent / "comparison-growth.png")
    figures = write_figures(scoring, Regime.TIME, volume, page.parent)
    parts["figures"] = "\n\n".join(f"![{figure.stem}]({figure.name})" for figure in figures)
    rewrite_page(page, parts)


def read_filters(kept: Path) -> str:
    """The table of generated filters, measured where it is not there."""
    if not kept.is_file():
        costs = measure_filters(*FILTER_SLICE)
        write_text(format_filters(*costs, FILTER_SLICE[:2]) + "\n", kept)
    return kept.read_text(encoding="utf-8")


def parse_options() -> argparse.Namespace:
    """The command line.

    Raises:
        UsageError: words that do not fit together.
    """
    parser = make_parser(__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--val", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--budget", type=float, help="minutes of each network")
    parser.add_argument("--width", type=float, default=1.0, help="share of the full width, for all networks alike")
    parser.add_argument("--steps", type=int, help="of each network where steps are equal; 0: leave that table out")
    parser.add_argument("--only", type=split_words, default=[])
    parser.add_argument("--from-runs", action="store_true")
    parser.add_argument("--processes", type=int, default=1, help="that score; trainings take one thread")
    parser.add_argument("--slices", type=split_integers, default=list(SLICES.values()), help="scored at x2, x4, x6")
    parser.add_argument("--more", type=split_words, default=[], help="words for saint train, such as --batch,2")
    parser.add_argument("--page", type=Path, default=PAGE, help="with markers, to write to")
    parser.add_argument("--picture", help="volume of the figures, costs and seams; the first by default")
    parser.add_argument("--keep", type=Path, help="folder for a copy of weights, records and scores")
    options = parser.parse_args()
    if options.from_runs == (options.data is not None and options.budget is not None):
        raise UsageError("give DATA and --budget to train, or --from-runs")
    if not options.page.is_file():
        raise UsageError(f"{options.page} is missing; --page is a page with markers, such as docs/comparison.md")
    return options


def run(options: argparse.Namespace) -> None:
    """Train, score, measure, write."""
    plan = Plan.make(options.only)
    volumes = {name: path for path, name in name_files(find_volumes(options.val)).items()}
    if not volumes:
        raise UsageError(f"{options.val} holds no volume to score")
    volume = options.picture or next(iter(volumes))
    if volume not in volumes:
        raise UsageError(f"no volume {volume}; there are {', '.join(volumes)}")
    scoring = Scoring(options.out, volumes, dict(zip(SLICES, options.slices, strict=True)))
    if not options.from_runs:
        train_all(options, plan)
    require_unseen(options.out, volumes)
    for line in work(scoring, plan, volume, options.processes):
        print(line, flush=True)
    if not plan.is_part:
        write_page(scoring, volume, options.page)
    if options.keep is not None:
        print(f"{options.keep}: {keep_runs(options.out, options.keep) / 1e6:.1f} MB of weights")


def work(scoring: Scoring, plan: Plan, volume: str, processes: int) -> Iterator[str]:
    """Scores, then costs, which nothing else may disturb and which steps do not change; yields a line for each."""
    yield from score_all(scoring, plan.systems, list(Regime), processes)
    yield from measure_costs(scoring, plan.systems, volume)


def main() -> None:
    """Run, or say in one line why not."""
    try:
        run(parse_options())
    except SaintError as error:
        print(f"paper_tables: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
