"""Markdown tables."""

from collections.abc import Iterable


def format_table(header: list[str], rows: Iterable[list[str]]) -> str:
    """The table without a line break at its end."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows])
