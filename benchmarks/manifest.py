"""Enter weights and their scores into the manifest beside them, and print the scores as a Markdown table.

    python benchmarks/results.py VAL/*.nii --models run/model.safetensors --scores scores.jsonl --only-score
    python benchmarks/manifest.py base run/model.safetensors scores.jsonl training.json

Of the scores, which benchmarks/results.py or benchmarks/results_slabs.py wrote, those count that were made with these
very weights, and of a volume at a factor the last. training.json holds one sentence each under
"trained_on", "recipe" and "compute"; of weights for another modality than CT that one under "modality", such as "MR".
"""

import hashlib
import json
import shutil
from pathlib import Path
from statistics import mean
from typing import Any

from arguments import make_parser
from tables import format_table

from saint_cli.models import shipped, weights

WEIGHTS = Path(__file__).parent.parent / "weights"
RANGES = {
    "CT": "HU+1024 clipped to 0...4000, range 4000",
    "MR": "values clipped to their 0.1 and 99.9 percentiles, range their span",
}
PROTOCOL = "paper: {}, synthesised slices, central 256x256, mean over slices"
"""On the slices that docs/results.md names."""
SLABS = "; of a volume whose slices were averaged, so many by the factor"


def main() -> None:
    """Copy the weights under their shipped name and describe them."""
    parser = make_parser(__doc__)
    for argument in ("name", "weights", "scores", "training"):
        parser.add_argument(argument, type=str if argument == "name" else Path)
    options = parser.parse_args()
    model = weights.load_model(str(options.weights))
    kept = (json.loads(line) for line in options.scores.read_text().splitlines())
    mine = [score for row in kept if model.sha256 in row["sha256"] for score in list_scores(row)]
    scores = list({(score["volume"], score["factor"], score["method"]): score for score in mine}.values())
    target = WEIGHTS / f"saint-{options.name}.safetensors"
    if options.weights.resolve() != target.resolve():
        shutil.copyfile(options.weights, target)
    entries = shipped.read_manifest(WEIGHTS)
    training = json.loads(options.training.read_text())
    protocol = PROTOCOL.format(RANGES[training.get("modality", shipped.CT_MODALITY)])
    if model.ami.slabs:
        protocol += SLABS
    entries[options.name] = {
        "file": target.name,
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        "parameters": dict(zip(("ami", "rfn"), model.parameters, strict=True)),
        **training,
        "validation": {"protocol": protocol, **summarise(scores)},
    }
    (WEIGHTS / shipped.MANIFEST).write_text(json.dumps({"models": entries}, indent=1) + "\n")
    print(format_scores(scores))


def list_scores(row: dict[str, Any]) -> list[dict[str, Any]]:
    """A row of scores; of slabs those of all methods."""
    if "methods" not in row:
        return [row]
    names = {"slabs": "fused", "model": "without slabs"}
    methods = ((names.get(name, name), figures) for name, figures in row["methods"].items() if "psnr" in figures)
    return [{**row, "method": method, "psnr_db": figures["psnr"]} for method, figures in methods]


def summarise(scores: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Per factor the mean over volumes of fused and cubic, and the gain."""
    result = {}
    for factor in sorted({s["factor"] for s in scores}):
        rows = [s for s in scores if s["factor"] == factor]
        fused, cubic = (mean(s["psnr_db"] for s in rows if s["method"] == method) for method in ("fused", "cubic"))
        result[f"x{factor:g}"] = {
            "fused dB": round(fused, 2),
            "cubic dB": round(cubic, 2),
            "over cubic dB": round(fused - cubic, 2),
        }
    return result


def format_scores(scores: list[dict[str, Any]]) -> str:
    """A Markdown table of PSNR in dB, one column per method."""
    methods = list(dict.fromkeys(s["method"] for s in scores))
    rows = []
    for volume, factor in dict.fromkeys((s["volume"], s["factor"]) for s in scores):
        psnr_db = {s["method"]: s["psnr_db"] for s in scores if (s["volume"], s["factor"]) == (volume, factor)}
        rows.append([volume, f"{factor:g}", *(f"{psnr_db[m]:.2f}" for m in methods)])
    return format_table(["volume", "factor", *methods], rows)


if __name__ == "__main__":
    main()
