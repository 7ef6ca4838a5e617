"""The files in which a batch keeps its state, below the folder of results or ``--state-dir``."""

from pathlib import Path

from saint_cli.io.folder_walk import is_file

MANIFEST = "manifest.jsonl"
DAMAGED_LINES = "manifest.damaged.jsonl"
STATE_FOLDER = ".saint"
LOCK = f"{STATE_FOLDER}/lock"
RECEIPTS = f"{STATE_FOLDER}/receipts"
DAMAGED_RECEIPTS = f"{STATE_FOLDER}/damaged"
REMOTE_DESCRIPTIONS = f"{STATE_FOLDER}/seen"


def is_state_dir(state_dir: Path) -> bool:
    """Whether this machine sees the folder of a batch."""
    return is_file(state_dir / LOCK)
