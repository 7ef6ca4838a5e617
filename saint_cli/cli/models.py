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
    header = ("model", "AMI parameters", "RFN parameters", "MB", "over cubic at x4", "trained on")
    rows = []
    for name, entry in entries.items():
        size = (shipped.shipped_folder() / entry["file"]).stat().st_size / 1e6
        gain = f"{entry['validation']['x4']['over cubic dB']:+.2f} dB"
        counts = (f"{entry['parameters'][net]:,}" for net in ("ami", "rfn"))
        rows.append((name, *counts, f"{size:.1f}", gain, entry["trained_on"]))
    console.print_table("Shipped models", header, rows)
    console.print_message(
        f"--model auto, the default, is {shipped.GPU_MODEL} on a GPU and {shipped.CPU_MODEL} on a CPU"
    )
