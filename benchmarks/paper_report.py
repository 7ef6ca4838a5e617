"""The tables of the comparison as Markdown, from the cells and records of a folder of runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import mean

from paper_published import ABLATION, DATASETS, QUANTITATIVE, TITLES
from paper_records import Cell, Cost, Line, TrainingRecord, read_lines, read_record
from paper_runners import find_run
from paper_scoring import find_lines
from paper_systems import FACTORS, NETWORKS, SYSTEMS, Regime, System, list_systems
from tables import format_table

PUBLISHED = {1: ABLATION, 2: QUANTITATIVE}
TABLE_FACTORS = {1: FACTORS, 2: (4, 6)}

COSTS = ("parameters", "multiply-adds a voxel", "s a volume", "MB a volume")
"""Columns of the tables of equal time; those of equal steps would repeat them."""

CLOSE_DB = 0.02
"""Systems whose means differ by less are taken as equal, in the paper and here."""


@dataclass(frozen=True)
class Results:
    """All figures of one regime; what is not trained here is among them."""

    regime: Regime
    cells: dict[tuple[str, int], list[Cell]]
    costs: dict[tuple[str, int], Cost]
    records: dict[str, TrainingRecord]

    @classmethod
    def read(cls, runs: Path, regime: Regime) -> "Results":
        """Of a folder of runs: what belongs to the weights that lie there now."""
        cells: dict[tuple[str, int], dict[str, Cell]] = {}
        costs: dict[tuple[str, int], Cost] = {}
        records = {name: record for name in NETWORKS if (record := read_record(find_run(runs, regime, name)))}
        for system in SYSTEMS:
            for cell in read_lines(Cell, find_lines(runs, "cells", system, regime)):
                if _is_current(cell, system, records):
                    cells.setdefault((system.name, cell.factor), {})[cell.volume] = cell
            if regime is Regime.TIME:  # costs are measured once, of the networks of this one
                for cost in read_lines(Cost, find_lines(runs, "costs", system, regime)):
                    if _is_current(cost, system, records):
                        costs[system.name, cost.factor] = cost
        return cls(regime, {key: list(group.values()) for key, group in cells.items()}, costs, records)

    @property
    def volumes(self) -> list[str]:
        """The names of the volumes, in order."""
        return sorted({cell.volume for group in self.cells.values() for cell in group})

    def mean_db(self, system: str, factor: int) -> float:
        """PSNR of a system, mean over volumes."""
        return mean(cell.psnr_db for cell in self.cells[system, factor])

    def list_scored(self, table: int, factor: int) -> list[System]:
        """The systems of a table that are scored on every volume at a factor."""
        every = len(self.volumes)
        return [system for system in list_systems(table) if len(self.cells.get((system.name, factor), ())) == every]


def _is_current(line: Line, system: System, records: dict[str, TrainingRecord]) -> bool:
    """Whether a line is of the weights that a record names; of what is not trained here, the last line counts."""
    if system.networks is None:
        return True
    record = records.get(system.networks[line.factor])
    return record is not None and record.weights_sha256 == line.weights_sha256


def format_results(results: Results, table: int) -> str:
    """One of the tables: a row for each factor and system, best PSNR bold, the second underlined."""
    header = ["", "system", *results.volumes, "mean dB", "paper, mean dB"]
    header += [*(COSTS if results.costs else ()), "trained"]
    rows = []
    for factor in TABLE_FACTORS[table]:
        ranked = [s for s in results.list_scored(table, factor) if s.shipped is None]
        marks = _rank_marks({s.name: results.mean_db(s.name, factor) for s in ranked})
        for i, system in enumerate(results.list_scored(table, factor)):
            rows.append([f"x{factor}" if i == 0 else "", *_format_row(results, system, factor, table, marks)])
    return format_table(header, rows)


def _format_row(results: Results, system: System, factor: int, table: int, marks: dict[str, str]) -> list[str]:
    cells = {cell.volume: cell for cell in results.cells[system.name, factor]}
    scores = [f"{c.psnr_db:.2f}/{c.ssim:.4f}" if (c := cells.get(v)) else "" for v in results.volumes]
    mark = marks.get(system.name, "{}")
    published = PUBLISHED[table][factor].get(system.published or "")
    paper = "" if published is None else f"{published.mean_db:.2f}"
    shown = mark.format(f"{results.mean_db(system.name, factor):.2f}")
    costs = _format_cost(results.costs.get((system.name, factor))) if results.costs else []
    trained = _format_training(results, system, factor)
    return [system.label, *scores, shown, paper, *costs, trained]


def _format_cost(cost: Cost | None) -> list[str]:
    """The figures of ``COSTS``; nothing where they are not known."""
    if cost is None:
        return [""] * len(COSTS)
    adds = f"{cost.multiply_adds / 1e3:,.1f} k" if cost.multiply_adds else ""
    parameters = f"{cost.parameters / 1e6:.3f} M" if cost.parameters else ""
    return [parameters, adds, f"{cost.seconds:.1f}", f"{cost.memory_mb:.0f}"]


def _format_training(results: Results, system: System, factor: int) -> str:
    """Minutes and steps of each stage; for shipped weights, that they are no part of the comparison."""
    if system.shipped is not None:
        return "far longer, on other data"
    record = results.records.get((system.networks or {}).get(factor, ""))
    if record is None:
        return ""
    before = results.records.get(NETWORKS[record.network].starts_from or "")
    seconds, steps = list(record.seconds), list(record.steps)
    if before is not None:  # the weights that it started from were trained too
        seconds, steps = [before.seconds[0], *seconds], [before.steps[0], *steps]
    if system.stage in ("sagittal", "mean"):  # what AMI alone makes
        seconds, steps = seconds[:1], steps[:1]
    minutes = "+".join(f"{one / 60:.1f}" for one in seconds)
    return f"{minutes} min, {'+'.join(f'{one:,}' for one in steps)} steps"


def _rank_marks(means: dict[str, float]) -> dict[str, str]:
    """Formats of the two highest."""
    order = sorted(means, key=lambda name: -means[name])
    return dict(zip(order, ("**{}**", "<u>{}</u>"), strict=False))


def format_published(table: int) -> str:
    """The paper's own table, as printed there."""
    rows = []
    for factor, systems in PUBLISHED[table].items():
        for i, (name, row) in enumerate(systems.items()):
            size = "" if row.parameters_m is None else f"{row.parameters_m} M"
            rows.append([f"x{factor}" if i == 0 else "", TITLES[name], size, *row.texts, f"{row.mean_db:.2f}"])
    return format_table(["", "system", "parameters", *DATASETS, "mean dB"], rows)


@dataclass(frozen=True)
class Reversal:
    """Two systems that the paper orders the other way round; differences in dB are of ``better`` less ``worse``.

    better, worse: as the paper has them.
    """

    table: int
    factor: int
    better: str
    worse: str
    paper_db: float
    here_db: float


def find_reversals(results: Results) -> Iterator[Reversal]:
    """Every pair of systems whose order differs from the paper's, by more than ``CLOSE_DB`` in both."""
    for table, published in PUBLISHED.items():
        for factor, rows in published.items():
            ours = {s.published: s for s in results.list_scored(table, factor) if s.published in rows}
            for one, other in combinations(ours, 2):
                better, worse = sorted((one, other), key=lambda name: -rows[name].mean_db)
                paper = rows[better].mean_db - rows[worse].mean_db
                here = results.mean_db(ours[better].name, factor) - results.mean_db(ours[worse].name, factor)
                if paper >= CLOSE_DB and here <= -CLOSE_DB:
                    yield Reversal(table, factor, ours[better].label, ours[worse].label, paper, here)


def format_reversals(results: Results) -> str:
    """The pairs as a table, or a sentence where there are none."""
    found = list(find_reversals(results))
    if not found:
        return "Every pair of systems stands in the paper's order."
    rows = [[f"{r.table}", f"x{r.factor}", r.better, r.worse, f"{r.paper_db:+.2f}", f"{r.here_db:+.2f}"] for r in found]
    return format_table(["table", "", "better in the paper", "better here", "paper dB", "here dB"], rows)


def format_title(results: Results) -> str:
    """What is equal in the tables of a regime, from the records of its networks."""
    if not results.records:
        return "Nothing was trained yet."
    words = next(iter(results.records.values())).words[0]
    width = float(words[words.index("--width") + 1])
    scale = "full width" if width == 1 else f"{100 * width:.3g} % of the full width, all alike"
    if results.regime is Regime.STEPS:
        most = max(sum(record.steps) for record in results.records.values())
        return f"Equal steps: {most:,} of each network; {scale}."
    most_s = max(sum(record.seconds) for record in results.records.values())
    return f"Equal time: {most_s / 60:.1f} minutes of each network on one core; {scale}."
