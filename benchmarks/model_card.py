"""Write what catalogues of models read, from the manifest of the weights and their README.

    python benchmarks/model_card.py

It writes the head of weights/README.md (YAML, as the Hugging Face Hub has it: https://huggingface.co/docs/hub/model-cards)
and weights/metadata.json (the keys of a MONAI bundle: https://docs.monai.io/en/stable/mb_specification.html). Run it
after benchmarks/manifest.py, or when the table of training data has changed.
"""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from arguments import make_parser

from saint_cli.method import intensity
from saint_cli.models import shipped
from saint_cli.nets.rfn import GAP_UNIT_MM
from saint_cli.runtime.version import __version__

ROOT = Path(__file__).parents[1]
CARD, METADATA = ROOT / "weights" / "README.md", ROOT / "weights" / "metadata.json"

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"

ANY_PLANE = ["*", "*"]
"""The spatial shape of a slice of any size."""

VALIDATION = {
    shipped.CT_MODALITY: "three validation CT volumes (docs/results.md)",
    shipped.MR_MODALITY: "four validation MR volumes (docs/results-mr.md)",
}

TASK = "Slice interpolation: thick-slice CT and MR to isotropic volumes"

DESCRIPTION = (
    "Weights of AMI and RFN (SAINT, CVPR 2020), which the program saint runs. These are not networks of MONAI, and the "
    "files (see manifest.json) hold no state dictionary of a MONAI bundle: load them with saint_cli. AMI predicts "
    "residuals over linear interpolation on sagittal and coronal slices; RFN fuses both on axial slices."
)

SLAB_VALIDATION = "five validation CT volumes (docs/results-slabs.md)"

TAGS = [
    "medical-imaging",
    "computed-tomography",
    "magnetic-resonance-imaging",
    "super-resolution",
    "slice-interpolation",
    "safetensors",
]

INTENDED_USE = "Research. Not a medical device; not for diagnosis: synthesised slices are estimates."

REFERENCE = (
    "Peng C, Lin W-A, Liao H, Chellappa R, Zhou SK. SAINT: Spatially Aware Interpolation NeTwork for Medical Slice "
    "Synthesis. CVPR 2020, 7750-7759."
)


def main() -> None:
    """Write the head of the card, and the metadata."""
    make_parser(__doc__).parse_args()
    CARD.write_text(render_card(), encoding="utf-8")
    METADATA.write_text(render_metadata(), encoding="utf-8")


def render_card() -> str:
    """weights/README.md with a current head; what follows it is kept."""
    text = re.sub(r"\A---\n.*?\n---\n+", "", CARD.read_text(encoding="utf-8"), flags=re.DOTALL)
    head = {
        "license": read_licence(),
        "library_name": "saint-cli",
        "pipeline_tag": "image-to-image",
        "tags": TAGS,
        "metrics": ["psnr"],
        "model-index": [make_index_entry(name, entry) for name, entry in read_models().items() if list_factors(entry)],
    }
    lines = yaml.safe_dump(head, sort_keys=False, default_flow_style=None, width=200)
    return f"---\n# Written by benchmarks/model_card.py.\n{lines}---\n\n{text}"


def make_index_entry(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """The scores of a model in the form of a ``model-index``: PSNR of the fused result for every whole factor.

    Fractional factors, whose gaps are wider than their names say, are left to docs/results.md and the metadata.
    """
    modality = entry.get("modality", shipped.CT_MODALITY)
    volumes = SLAB_VALIDATION if name.startswith(shipped.SLAB_PREFIX) else VALIDATION[modality]
    name_of_data = f"{volumes}, protocol {entry['validation']['protocol']}"
    validation = {"type": f"validation-{modality.lower()}", "name": name_of_data}
    metrics = [
        {"type": "psnr", "value": value["fused dB"], "name": f"PSNR in dB, {factor}"}
        for factor, value in list_factors(entry)
        if "." not in factor
    ]
    task = {"type": "image-to-image", "name": "Slice interpolation"}
    return {"name": f"saint-{name}", "results": [{"task": task, "dataset": validation, "metrics": metrics}]}


def render_metadata() -> str:
    """weights/metadata.json."""
    versions = read_constraints()
    models = read_models()
    document = {
        "schema": SCHEMA,
        "version": __version__,
        "changelog": {__version__: f"models {', '.join(models)}"},
        "monai_version": "n/a",
        "pytorch_version": versions["torch"],
        "numpy_version": versions["numpy"],
        "required_packages_version": {"saint-cli": __version__, "safetensors": versions["safetensors"]},
        "name": "saint",
        "task": TASK,
        "description": DESCRIPTION,
        "authors": read_authors(),
        "copyright": f"{read_authors()}; {read_licence()}",
        "intended_use": INTENDED_USE,
        "data_source": "; ".join(f"{name}: {entry['trained_on']}" for name, entry in models.items()),
        "data_type": ", ".join(dict.fromkeys(entry.get("modality", shipped.CT_MODALITY) for entry in models.values())),
        "references": [REFERENCE],
        "eval_metrics": {
            f"{name}_{factor}_psnr_db": value["fused dB"]
            for name, entry in models.items()
            for factor, value in list_factors(entry)
        },
        "network_data_format": describe_ami(),
        "fusion_data_format": describe_rfn(),
    }
    return json.dumps(document, indent=1) + "\n"


def describe_ami() -> dict[str, Any]:
    """What AMI gets and returns, for one of its offsets: it takes as many as are asked for, each with distances."""
    names = ("slice before", "slice to interpolate", "slice after")
    slices = describe_slices(*(f"{name}: in-plane x through-plane" for name in names))
    distances = {"0": "from a synthesised voxel to the 3 x 3 acquired voxels around it, mm"}
    return {
        "inputs": {
            "slices": slices,
            "fdm": describe_tensor(distances, [3, 3], [], modality="n/a", format="magnitude"),
        },
        "outputs": {"residual": describe_residuals("over linear interpolation between two acquired columns")},
    }


def describe_rfn() -> dict[str, Any]:
    """What RFN gets and returns."""
    numbers = ("offset between them, 0 to 1, the same in every pixel", f"their distance, units of {GAP_UNIT_MM:g} mm")
    neighbours = ("acquired slice below", "acquired slice above")
    inputs = describe_slices("sagittal result, axial", "coronal result, axial", *neighbours, *numbers)
    inputs["value_range"] = []  # the last channel has another
    return {
        "inputs": {"slices": inputs},
        "outputs": {"residual": describe_residuals("over the mean of the sagittal and the coronal result")},
    }


def describe_slices(*channels: str) -> dict[str, Any]:
    """Slices in the networks' range of intensities."""
    top = (intensity.CT.high - intensity.CT.low) / intensity.CT.scale
    numbered = {str(number): channel for number, channel in enumerate(channels)}
    return describe_tensor(numbered, ANY_PLANE, [0.0, top], modality="CT", format="hounsfield")


def describe_residuals(meaning: str) -> dict[str, Any]:
    """One channel to be added."""
    return describe_tensor({"0": f"residual {meaning}"}, ANY_PLANE, [], modality="CT", format="magnitude")


def describe_tensor(
    channels: dict[str, str], shape: list[Any], value_range: list[float], *, modality: str, format: str
) -> dict[str, Any]:
    """A tensor in the words of the MONAI bundle specification."""
    return {
        "type": "image",
        "format": format,
        "modality": modality,
        "num_channels": len(channels),
        "spatial_shape": shape,
        "dtype": "float32",
        "value_range": value_range,
        "is_patch_data": False,
        "channel_def": channels,
    }


def read_models() -> dict[str, Any]:
    """The manifest."""
    return shipped.read_manifest(ROOT / "weights")


def list_factors(entry: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """The factors of a model's validation, such as x4, with their scores."""
    return [(key, value) for key, value in entry["validation"].items() if re.fullmatch(r"x[\d.]+", key)]


def read_licence() -> str:
    """The licence of code and weights, as the Hub writes it."""
    return str(read_citation()["license"]).lower()


def read_authors() -> str:
    """Who is to be cited."""
    return ", ".join(author["name"] for author in read_citation()["authors"])


def read_citation() -> dict[str, Any]:
    """CITATION.cff."""
    citation: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return citation


def read_constraints() -> dict[str, str]:
    """The versions with which the figures were made."""
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


if __name__ == "__main__":
    main()
