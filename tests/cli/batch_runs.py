"""Runs of saint batch, and what they leave."""

import json
from pathlib import Path
from typing import Any

import fabricate

from saint_cli.io import write_volume

WITH_PAGES = ("--factor", "2", "-m", "fast", "--workers", "1", "--threads", "1")


OPTIONS = (*WITH_PAGES, "--no-pages")


def records(out: Path) -> list[dict[str, Any]]:
    """The lines of the manifest that are whole."""
    file = out / "manifest.jsonl"
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return [json.loads(line) for line in lines]


def states(out: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of every result."""
    return {str(p.relative_to(out)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in sorted(out.rglob("*.nii.gz"))}


def fill(folder: Path, count: int, shape: tuple[int, int, int] = (24, 20, 6)) -> Path:
    """So many scans below a folder."""
    for n in range(count):
        write_volume(fabricate.volume(shape), folder / f"p{n}" / "ct.nii.gz")
    return folder
