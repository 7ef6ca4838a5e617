"""Score a model for slabs on averaged slices, beside the model without, and write docs/results-slabs.md.

    python benchmarks/results_slabs.py VAL/*.nii [--models medium,slab-medium] [--factors 3,5] [--scores FILE]
                                       [--only-score] [--threads N]

Scores are kept in FILE, one JSON line per volume and factor, with what they were made of (all weights, files of the
volume, slices), and only missing ones are computed. The page has all volumes of FILE.
"""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

from arguments import make_parser, split_integers, split_words
from paper_records import hash_data
from tables import format_table

from saint_cli.evaluation.evaluate import EvaluationOptions, EvaluationResult, evaluate_all
from saint_cli.evaluation.inputs import EvaluationInputs, name_files
from saint_cli.method.pipeline import ResultStage
from saint_cli.models import weights
from saint_cli.runtime import device_selection

PAGE = Path(__file__).parent.parent / "docs" / "results-slabs.md"
SLABS = 8
"""Whole slabs in the middle of each volume that are scored, or as many as there are."""

INTERPOLATORS = ("linear", "cubic")

HEAD = """# Results on averaged slices

Written by `benchmarks/results_slabs.py`.
`saint evaluate VOLUME --factor R --slices N --degrade average -m medium,slab-medium --measure tissues` prints any of
these figures, where N is 7R + 1 for 8 slabs.

{slabs} slabs in the middle of each volume, or as many as there are, are scored; each is the mean of R slices,
and touches its neighbours; the outer two are cut at their middles. Protocol `paper`: HU + 1024 clipped to 0...4000,
data range 4000, central 256 x 256 pixels, mean over slices. *Rise* is the median distance between 10 and 90 % of steps
across slices. *Off slabs* is the largest difference, at any voxel, between the mean of the result over a slab and that
slab. weights/README.md says what these volumes are, and on what each model was trained.
"""

Row = dict[str, Any]


def main() -> None:
    """Score what is missing, then write the page."""
    parser = make_parser(__doc__)
    parser.add_argument("volumes", type=Path, nargs="*")
    parser.add_argument("--models", type=split_words, default=["medium", "slab-medium"])
    parser.add_argument("--factors", type=split_integers, default=[3, 5])
    parser.add_argument("--scores", type=Path, default=Path("slab-scores.jsonl"))
    parser.add_argument("--only-score", action="store_true")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    device_selection.set_threads(options.threads)
    sha256 = [weights.load_model(model).sha256 for model in options.models]
    volumes = {name: file for file, name in name_files(options.volumes).items()}
    for (name, file), factor in itertools.product(volumes.items(), options.factors):
        rows = read_rows(options.scores, sha256, volumes)
        if not any((row["volume"], row["factor"]) == (name, factor) for row in rows):
            made_of = {"sha256": sha256, "data_sha256": hash_data(file), "central_slices": count_slices(factor)}
            row = {"volume": name, **made_of, **score(file, factor, options.models)}
            with options.scores.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(row) + "\n")
    if not options.only_score:
        rows = read_rows(options.scores, sha256, volumes)
        PAGE.write_text(format_page(sorted(rows, key=lambda row: (row["volume"], row["factor"]))), encoding="utf-8")


def read_rows(kept: Path, sha256: list[str], volumes: dict[str, Path]) -> list[Row]:
    """The rows in a file that belong to weights, slices and, of these volumes, voxels as they are now.

    Of a volume that is not at hand the last row counts.
    """
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.is_file() else []
    found = dict[tuple[str, int], Row]()
    for row in map(json.loads, lines):
        file = volumes.get(row["volume"])
        is_same = file is None or row.get("data_sha256") == hash_data(file)
        if is_same and row["sha256"] == sha256 and row.get("central_slices") == count_slices(row["factor"]):
            found[row["volume"], row["factor"]] = row
    return list(found.values())


def count_slices(factor: int) -> int:
    """How many slices in the middle of a volume are scored at a factor."""
    return (SLABS - 1) * factor + 1


def score(file: Path, factor: int, models: list[str]) -> Row:
    """All methods on one volume."""
    (result,) = evaluate_all(
        EvaluationInputs([file], [factor], slices=count_slices(factor)),
        models,
        EvaluationOptions(INTERPOLATORS, degradation="average", measures=("tissues",)),
        device_selection.select_compute(),
    )
    return {"factor": factor, "methods": collect_figures(result)}


def collect_figures(result: EvaluationResult) -> dict[str, Row]:
    """PSNR, SSIM, rise and consistency, by method: interpolators, then the last stages of both models."""
    rises = {measured.method: measured.edge_rise_mm for measured in result.measures}
    figures: dict[str, Row] = {"truth": {"rise": rises["truth"]}}
    of_models = iter(("model", "slabs"))
    for one in result.scores:
        if one.model is None or one.method == ResultStage.FUSED:
            name = one.method if one.model is None else next(of_models)
            figures[name] = {"psnr": one.psnr_db, "ssim": one.ssim, "off": one.inconsistency, "rise": rises[one.label]}
    return figures


def format_page(rows: list[Row]) -> str:
    """The whole page, Markdown."""
    parts = [HEAD.format(slabs=SLABS), "## Gain of `--slab`, dB\n", format_gains(rows)]
    for title, key, write in (
        ("PSNR, dB", "psnr", "{:.2f}".format),
        ("SSIM", "ssim", "{:.4f}".format),
        ("Rise of edges, mm", "rise", lambda rise: "few edges" if rise is None else f"{rise:.2f}"),
        ("Off slabs, HU", "off", "{:.2f}".format),
    ):
        parts += [f"## {title}\n", format_figures(rows, key, write)]
    return "\n".join(parts)


def format_gains(rows: list[Row]) -> str:
    """Mean and least gain over cubic and over the model without ``--slab``, by factor."""
    lines = []
    for factor in sorted({row["factor"] for row in rows}):
        here = [
            {name: one.get("psnr") for name, one in row["methods"].items()} for row in rows if row["factor"] == factor
        ]
        gains = ([row["slabs"] - row[other] for row in here] for other in ("cubic", "model"))
        lines.append([str(factor), *(f"{some:+.2f}" for gain in gains for some in (mean(gain), min(gain)))])
    header = ["slices a slab", "over cubic: mean", "least", "over the model without: mean", "least"]
    return format_table(header, lines) + "\n"


def format_figures(rows: list[Row], key: str, write: Callable[[Any], str]) -> str:
    """One figure of every method."""
    names = [name for name in rows[0]["methods"] if key in rows[0]["methods"][name]]
    lines = [[row["volume"], str(row["factor"]), *(write(row["methods"][name][key]) for name in names)] for row in rows]
    shown = ["without `--slab`" if name == "model" else "`--slab`" if name == "slabs" else name for name in names]
    return format_table(["volume", "slices a slab", *shown], lines) + "\n"


if __name__ == "__main__":
    main()
