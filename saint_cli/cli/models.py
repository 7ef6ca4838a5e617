"""``saint models``: the weights that come with saint."""

from typing import Annotated, Any

from saint_cli.cli.parameters import declare


def models(*, as_json: Annotated[bool, declare("--json", "Print the manifest as JSON.")] = False) -> None:
    """List the shipped models: sizes, training data, validation figures."""
    from saint_cli.cli import console
    from saint_cli.models import shipped

    entries = shipped.read_manifest()
    if as_json:
        console.print_json(entries)
        return
    header = ("model", "for", "AMI parameters", "RFN parameters", "MB", "over cubic")
    rows = []
    for name, entry in entries.items():
        size = (shipped.shipped_folder() / entry["file"]).stat().st_size / 1e6
        counts = (f"{entry['parameters'][net]:,}" for net in ("ami", "rfn"))
        use = (shipped.find_trained_modality(name) or "") + (" slabs" if name.startswith(shipped.SLAB_PREFIX) else "")
        rows.append((name, use, *counts, f"{size:.1f}", _format_gain(entry["validation"])))
    console.print_table("Shipped models", header, rows)
    console.print_lines(
        console.Line(f"{name}: ", f"trained on {entry['trained_on']}") for name, entry in entries.items()
    )
    console.print_message(f"--model auto, the default, is {shipped.DEFAULT_MODEL}")
    for modality in shipped.MODALITY_PREFIXES:
        _print_meanings(f"on {modality}", shipped.list_models_for(modality))
    _print_meanings("with --slab", [name for name in entries if name.startswith(shipped.SLAB_PREFIX)])


def _print_meanings(when: str, special: list[str]) -> None:
    """Which models the names of those for CT stand for, if there are any."""
    from saint_cli.cli import console
    from saint_cli.models import shipped

    if special:
        plain = ", ".join(shipped.remove_prefix(name) for name in special)
        names, mean = ("names", "mean") if len(special) > 1 else ("name", "means")
        console.print_message(f"{when}, the {names} {plain} {mean} {', '.join(special)}")


def _format_gain(validation: dict[str, Any]) -> str:
    """The gain at x4, or of a model that was scored at other factors that at the largest; nothing without any."""
    factors = [name for name, figures in validation.items() if isinstance(figures, dict)]
    if not factors:
        return ""
    factor = "x4" if "x4" in factors else factors[-1]
    return f"{validation[factor]['over cubic dB']:+.2f} dB at {factor}"
