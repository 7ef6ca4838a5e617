"""``saint models``: what weights are here and what they are."""

from typing import Annotated

import typer


def models(*, as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False) -> None:
    """List the shipped models: sizes, training data, validation figures."""
    from saint_cli import console, shipped

    entries = shipped.manifest()
    if as_json:
        console.show_json(entries)
        return
    header = ("model", "AMI parameters", "RFN parameters", "MB", "over cubic at x4", "trained on")
    rows = []
    for name, entry in entries.items():
        size = (shipped.shipped_folder() / entry["file"]).stat().st_size / 1e6
        gain = f"{entry['validation']['x4']['over cubic dB']:+.2f} dB"
        counts = (f"{entry['parameters'][net]:,}" for net in ("ami", "rfn"))
        rows.append((name, *counts, f"{size:.1f}", gain, entry["trained_on"]))
    console.show_table("Shipped models", header, rows)
    console.say(f"--model auto, the default, is {shipped.ON_GPU} on a GPU and {shipped.ON_CPU} on a CPU")
