"""A copy of what the tables are made of, small enough for a repository: weights, records, scores and measurements."""

import shutil
from pathlib import Path

from paper_records import MODEL, RECORD
from paper_systems import Regime

from saint_cli.errors import UsageError

MOST_WEIGHTS_BYTES = 10_000_000

KEPT = (
    *(f"{regime}/*/{name}" for regime in Regime for name in (MODEL, RECORD)),
    *(f"{kind}/*/*.jsonl" for kind in ("cells", "costs", "seams")),
    "*.json",
    "*.md",
)
"""Patterns of what is copied."""


def keep_runs(runs: Path, target: Path) -> int:
    """Copy all but checkpoints, logs and volumes; returns the bytes of all weights.

    Raises:
        UsageError: the weights are larger than ``MOST_WEIGHTS_BYTES``.
    """
    files = sorted(file for pattern in KEPT for file in runs.glob(pattern))
    size = sum(file.stat().st_size for file in files if file.name == MODEL)
    if size > MOST_WEIGHTS_BYTES:
        most = MOST_WEIGHTS_BYTES / 1e6
        raise UsageError(f"the weights in {runs} have {size / 1e6:.1f} MB, more than {most:g}; leave out --keep")
    for file in files:
        place = target / file.relative_to(runs)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
    return size
