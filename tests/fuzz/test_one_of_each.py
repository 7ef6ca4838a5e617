"""A batch over a folder with one input of every bad kind: good scans are done, and bad ones are rows."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fabricate
import pytest
from fuzz.bad_inputs import BAD, HOSTILE_NAME, Bad

from saint_cli.io import read_volume, write_volume

GOOD = ("good/a", "good/b", "good/series")

LONGEST_S = 150
"""A run that takes longer waits for something that never comes."""

PARENT_BYTES = 1 << 30
"""Neither the batch nor a worker of it may take more."""


def damaged_manifest(out: Path) -> None:
    """Records of an earlier run: nested too deep, of other types, torn, and a receipt that is none."""
    (out / ".saint" / "receipts").mkdir(parents=True)
    lines = [
        b"[" * 100_000,
        b'"text"',
        b"{}",
        b'{"target": 1, "status": []}',
        b'{"target": "a.nii.gz", "status": "done"}',
    ]
    (out / "manifest.jsonl").write_bytes(b"\n".join(lines) + b"\n\xff\xfe{")
    (out / ".saint" / "receipts" / "0123456789abcdef.json").write_bytes(b"[" * 100_000)


@dataclass(frozen=True)
class Run:
    """What a run of the program came to; peak_bytes: of it and its workers, each by itself."""

    code: int
    summary: dict[str, Any]
    errors: str
    peak_bytes: int


def run_batch(source: Path, out: Path, folder: Path) -> Run:
    """``saint batch`` as a process of its own, its peak memory measured by the system."""
    words = ["batch", source, out, "--factor", "2", "-m", "fast", "--workers", "1", "--threads", "1", "--json"]
    output, errors = folder / "stdout", folder / "stderr"
    with output.open("wb") as stdout, errors.open("wb") as stderr:
        program = subprocess.Popen([sys.executable, "-m", "saint_cli", *words], stdout=stdout, stderr=stderr)
        alarm = threading.Timer(LONGEST_S, program.kill)
        alarm.start()
        _, status, usage = os.wait4(program.pid, 0)
        alarm.cancel()
        program.returncode = os.waitstatus_to_exitcode(status)
    text = errors.read_text(errors="surrogateescape")
    assert "Traceback" not in text, text[-3000:]
    kilo = 1 if sys.platform == "darwin" else 1024
    return Run(program.returncode, json.loads(output.read_text()), text, usage.ru_maxrss * kilo)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Run, Run]]:
    """Three good scans among the bad ones, a damaged manifest in the folder of results, and two runs."""
    folder = tmp_path_factory.mktemp("one-of-each")
    source, out = folder / "in", folder / "out"
    (source / "good").mkdir(parents=True)
    volume = fabricate.volume()
    write_volume(volume, source / "good" / "a.nii.gz")
    write_volume(replace(volume), source / "good" / "b.mha")
    fabricate.save(fabricate.slices(), source / "good" / "series")
    for bad in BAD:
        bad.make(source)
    damaged_manifest(out)
    first = run_batch(source, out, folder)
    before = contents(out)
    second = run_batch(source, out, folder)
    assert contents(out) == before, "the second run changed something"
    yield out, first, second
    subprocess.run(["rm", "-rf", source], check=True)  # what pytest calls cannot remove folders so deep


def contents(out: Path) -> dict[str, bytes]:
    """The results and the manifest, as they are on disk."""
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in [*out.rglob("*.nii.gz"), out / "manifest.jsonl"]}


def test_every_good_scan_is_done(trial: tuple[Path, Run, Run]) -> None:
    out, first, _ = trial
    assert first.summary["done"] >= len(GOOD), first.errors
    for name in GOOD:
        assert read_volume(out / f"{name}.nii.gz").shape[2] == 11


def rows(out: Path, run: Run) -> dict[str, dict[str, str]]:
    """Reasons by the names of scans that failed, of those that were left out, and of those done with a warning."""
    records = [json.loads(line) for line in (out / "manifest.jsonl").read_bytes().splitlines()]
    return {
        "failed": {entry["name"]: entry["message"] for entry in run.summary["failed"]},
        "skipped": {entry["name"]: entry["reason"] for entry in run.summary["skipped"]},
        "done": {one["name"]: one["warnings"][0] for one in records if one["status"] == "done" and one["warnings"]},
    }


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.make.__name__)
def test_every_bad_input_is_a_row_with_a_reason(trial: tuple[Path, Run, Run], bad: Bad) -> None:
    out, first, _ = trial
    reasons = rows(out, first)
    found = [reason for name, reason in reasons[bad.row].items() if bad.name in name]
    assert found, {row: list(names) for row, names in reasons.items()}
    assert [len(reason.replace(HOSTILE_NAME, "").splitlines()) for reason in found] == [1] * len(found)


def test_the_exit_code_says_that_some_failed_and_a_rerun_says_the_same(trial: tuple[Path, Run, Run]) -> None:
    out, first, second = trial
    assert (first.code, second.code) == (8, 8)
    assert second.summary["ran"] == 0
    assert rows(out, first) == rows(out, second)


def test_memory_stays_below_a_gigabyte(trial: tuple[Path, Run, Run]) -> None:
    _, first, second = trial
    assert max(first.peak_bytes, second.peak_bytes) < PARENT_BYTES
