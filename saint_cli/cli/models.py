"""``saint models``: the weights that come with saint."""

from typing import Annotated

import typer

from saint_cli.options.fields import Panel


def models(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the manifest as JSON.", rich_help_panel=Panel.RUN)
    ] = False,
) -> None:
    """List the shipped models: sizes, training data, validation figures."""
    from saint_cli.cli import console
    from saint_cli.models import shipped

    entries = shipped.read_manifest()
    if as_json:
        console.print_json(entries)
        return
    header = ("model", "for", "AMI parameters", "RFN parameters", "MB", "over cubic at x4")
    rows = []
    for name, entry in entries.items():
        size = (shipped.shipped_folder() / entry["file"]).stat().st_size / 1e6
        gain = f"{entry['validation']['x4']['over cubic dB']:+.2f} dB"
        counts = (f"{entry['parameters'][net]:,}" for net in ("ami", "rfn"))
        rows.append((name, shipped.find_trained_modality(name) or "", *counts, f"{size:.1f}", gain))
    console.print_table("Shipped models", header, rows)
    console.print_lines(
        console.Line(f"{name}: ", f"trained on {entry['trained_on']}") for name, entry in entries.items()
    )
    console.print_message(
        f"--model auto, the default, is {shipped.GPU_MODEL} on a GPU and {shipped.CPU_MODEL} on a CPU"
    )
    for modality in shipped.MODALITY_PREFIXES:
        special = shipped.list_models_for(modality)
        if special:
            plain = ", ".join(shipped.remove_prefix(name) for name in special)
            console.print_message(f"on {modality}, the names {plain} mean {', '.join(special)}")
