"""Score the shipped models on validation volumes at many factors and write docs/results.md.

    python benchmarks/results.py VAL/*.nii [--models base,medium,fast] [--factors 2,2.5,3,3.7,4,5,6,7,8,10,16]
                                 [--scores FILE] [--peer PEER.json ...] [--page FILE] [--only-score] [--threads N]
    python benchmarks/results.py MR/*.nii --models weights/saint-mr-fast.safetensors,weights/saint-fast.safetensors \\
                                 --factors 2,3,4,6 --scores mr-scores.jsonl --page docs/results-mr.md

Scores are kept in FILE, one JSON line per volume, factor, model and method, with what they were made of (weights, files
of the volume, slices), and only missing ones are computed, so a run may be interrupted, or several may share the work
on different volumes. The page has all volumes of FILE. --peer takes what benchmarks/peer.py --json wrote.
"""

import json
from fractions import Fraction
from pathlib import Path
from statistics import mean
from typing import Any

from arguments import make_parser, split_words
from paper_records import hash_data
from tables import format_table

from saint_cli.evaluation.evaluate import EvaluationOptions, evaluate_all
from saint_cli.evaluation.inputs import EvaluationInputs, name_files
from saint_cli.evaluation.scores import factor_as_number
from saint_cli.models import weights
from saint_cli.runtime import device_selection

PAGE = Path(__file__).parent.parent / "docs" / "results.md"
"""Of CT; --page names that of other scans, for which a model is named by its file: a name stands for that of MR."""

SLICES = {2: 17, 4: 49, 6: 25}
"""Central slices scored at the factors that people use most; also those of ``paper_tables.py``."""
FEWEST, MOST = 13, 38
"""Of slices scored at the others, which get three acquired slices where they can."""

MOST_PARTS = 100
"""Denominator of a factor at most: JSON has floats."""

FACTORS = ["2", "2.5", "3", "3.7", "4", "5", "6", "7", "8", "10", "16"]

Row = dict[str, Any]

HEAD = """# TITLE

Written by `benchmarks/results.py`; `saint evaluate VOLUME --factor R --slices N` prints any of these figures.

Protocol `paper`: RANGE.
Synthesised slices only, central 256 x 256 pixels, mean over slices, on so many slices in the middle of each volume
(`--slices`): COUNTS.
*cubic* is Keys' cubic convolution aligned to the slice centres; *mean* is (I_sag + I_cor) / 2; *fused* is what
`saint upsample` writes. *noise* is that of synthesised over that of acquired slices, inside the body. weights/README.md
says what these volumes are, and on what each model was trained.
"""

FRACTIONS = """A fractional factor p/q keeps every p-th slice and compares every q-th, so its gaps are p slices wide: at
x2.5 = 5/2 as wide as at x5, and at x3.7 = 37/10, where two slices are kept and three compared, far wider than at any
other.
"""

CT_RANGE = "HU + 1024 clipped to 0...4000, data range 4000"
OTHER_RANGE = "values clipped to the volume's 0.1 and 99.9 percentiles, whose span is the data range"


def main() -> None:
    """Score what is missing, then write the page."""
    parser = make_parser(__doc__)
    parser.add_argument("volumes", type=Path, nargs="*")
    parser.add_argument("--models", type=split_words, default=["base", "medium", "fast"])
    parser.add_argument("--factors", type=split_words, default=FACTORS)
    parser.add_argument("--scores", type=Path, default=Path("scores.jsonl"))
    parser.add_argument("--peer", type=Path, nargs="*", default=[])
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--only-score", action="store_true")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    device_selection.set_threads(options.threads)
    volumes = {name: file for file, name in name_files(options.volumes).items()}
    for name, file in volumes.items():
        for factor in map(Fraction, options.factors):
            for model in options.models:
                add_scores(file, name, (factor, model), options.scores)
    if not options.only_score:
        rows = read_scores(options.scores, options.models, volumes)
        peer = [row for file in options.peer for row in json.loads(file.read_text())]
        options.page.write_text(format_page(rows, peer, options.models), encoding="utf-8")


def add_scores(file: Path, name: str, how: tuple[Fraction, str], kept: Path) -> None:
    """Add one volume at one factor by one model to the scores in a file, unless it is among them."""
    factor, model = how
    slices = count_central_slices(factor)
    made_of = {
        "volume": name,
        "factor": factor_as_number(factor),
        "sha256": weights.load_model(model).sha256,
        "data_sha256": hash_data(file),
        "central_slices": slices,
    }
    before = (json.loads(line) for line in kept.read_text().splitlines()) if kept.is_file() else ()
    if any(made_of.items() <= row.items() for row in before):
        return
    (result,) = evaluate_all(
        EvaluationInputs([file], [factor], slices=slices),
        [model],
        EvaluationOptions(("linear", "cubic")),
        device_selection.select_compute(),
    )
    with kept.open("a", encoding="utf-8") as lines:
        for one in result.scores:
            lines.write(json.dumps({**vars(one), **made_of, "as": model}) + "\n")


def count_central_slices(factor: Fraction) -> int:
    """How many slices in the middle of a volume are scored at a factor."""
    few = min(MOST, max(FEWEST, 2 * factor.numerator + 1))
    return SLICES.get(int(factor), few) if factor.denominator == 1 else few


def read_scores(kept: Path, models: list[str], volumes: dict[str, Path]) -> list[Row]:
    """The scores in a file that belong to models, slices and, of these volumes, voxels as they are now.

    Of a volume that is not at hand the last scores count.
    """
    now, found = {weights.load_model(model).sha256 for model in models}, dict[tuple[Any, ...], Row]()
    for row in map(json.loads, kept.read_text().splitlines()):
        file = volumes.get(row["volume"])
        is_same = file is None or row.get("data_sha256") == hash_data(file)
        if is_same and row["sha256"] in now and row.get("central_slices") == count_central_slices(read_factor(row)):
            found[row["volume"], row["factor"], row["as"], row["method"]] = row
    return list(found.values())


def read_factor(row: Row) -> Fraction:
    """The factor of a row of scores, exactly."""
    return Fraction(str(row["factor"])).limit_denominator(MOST_PARTS)


def format_page(rows: list[Row], peer: list[Row], models: list[str]) -> str:
    """The whole page, Markdown."""
    factors = sorted({read_factor(row) for row in rows})
    counts = ", ".join(f"{count_central_slices(factor)} at x{float(factor):g}" for factor in factors)
    is_ct = rows[0]["bias_hu"] is not None
    parts = [
        HEAD.replace("TITLE", "Results on CT" if is_ct else "Results on MR")
        .replace("COUNTS", counts)
        .replace("RANGE", CT_RANGE if is_ct else OTHER_RANGE),
        *([FRACTIONS] if any(factor.denominator > 1 for factor in factors) else []),
        "## Gain over aligned cubic, mean of the volumes, dB\n",
        format_gains(rows, models),
    ]
    if peer:
        parts += ["## Beside py-SAINT\n", PEER, format_peer_comparison(rows, peer, models)]
    for model in models:
        mine = [row for row in rows if row["as"] == model]
        parts += [f"## {name_model(model)}\n", format_details(mine)]
    return "\n".join(parts)


def name_model(model: str) -> str:
    """A model's name; of a shipped file that without its folder: ``mr-fast`` of weights/saint-mr-fast.safetensors."""
    return Path(model).stem.removeprefix("saint-")


PEER = """Fused results on the same slices. py-SAINT 1.7.0 (PyPI) carries weights of unstated training data and licence;
they are run by `benchmarks/peer.py` and are no part of saint.
"""


def format_gains(rows: list[Row], models: list[str]) -> str:
    """Per model and stage the mean gain at every factor, and the least gain of any volume."""
    factors = sorted({row["factor"] for row in rows})
    lines = []
    for model in models:
        for method in ("sagittal", "mean", "fused"):
            gains = [compute_gains(rows, factor, model, method) for factor in factors]
            lines.append([f"{name_model(model)} {method}", *(f"{mean(gain):+.2f}" for gain in gains)])
        lines.append([f"{name_model(model)} fused, least", *(f"{min(gain):+.2f}" for gain in gains)])
    return format_table(["", *(f"x{f:g}" for f in factors)], lines) + "\n"


def compute_gains(rows: list[Row], factor: float, model: str, method: str) -> list[float]:
    """One volume each: PSNR of a stage less that of cubic."""
    here = [row for row in rows if row["factor"] == factor and row["as"] == model]
    cubic = {row["volume"]: row["psnr_db"] for row in here if row["method"] == "cubic"}
    return [row["psnr_db"] - cubic[row["volume"]] for row in here if row["method"] == method]


def format_peer_comparison(rows: list[Row], peer: list[Row], models: list[str]) -> str:
    """Fused PSNR of every model and of the peer, by volume and factor."""
    lines = []
    theirs = [r for r in peer if r["method"] == "fused" and r["model"] == "py-SAINT"]
    for one in sorted(theirs, key=lambda r: (r["factor"], r["volume"])):
        same = [r for r in rows if (r["volume"], r["factor"], r["method"]) == (one["volume"], one["factor"], "fused")]
        ours = [f"{next(r['psnr_db'] for r in same if r['as'] == model):.2f}" for model in models]
        lines.append([one["volume"], f"x{one['factor']:g}", f"{one['psnr_db']:.2f}", *ours])
    return format_table(["volume", "factor", "py-SAINT", *models], lines) + "\n"


def format_details(rows: list[Row]) -> str:
    """Every figure of one model."""
    lines = []
    for volume in sorted({row["volume"] for row in rows}):
        for factor in sorted({row["factor"] for row in rows if row["volume"] == volume}):
            here = {row["method"]: row for row in rows if (row["volume"], row["factor"]) == (volume, factor)}
            psnr = [f"{here[m]['psnr_db']:.2f}" for m in ("linear", "cubic", "sagittal", "coronal", "mean", "fused")]
            fused = here["fused"]
            extra = [f"{fused['ssim']:.4f}", _format_bias(fused), f"{fused['noise_ratio']:.2f}"]
            lines.append([volume, f"{factor:g}", *psnr, *extra])
    bias = "bias HU" if rows and rows[0]["bias_hu"] is not None else "bias %"
    header = ["volume", "factor", "linear", "cubic", "sagittal", "coronal", "mean", "fused", "SSIM", bias, "noise"]
    return format_table(header, lines) + "\n"


def _format_bias(row: Row) -> str:
    """In HU, or of what is not CT in percent of the range."""
    return f"{row['bias_percent']:+.2f}" if row["bias_hu"] is None else f"{row['bias_hu']:+.1f}"


if __name__ == "__main__":
    main()
