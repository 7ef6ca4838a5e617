"""A batch that is killed, loses a worker, or meets another one in its folder."""

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from cli.batch_runs import OPTIONS, WITH_PAGES, fill, records, states
from cli.runs import run

from saint_cli.io import read_volume


def program(*arguments: object) -> list[str]:
    """The command line of saint as a process of its own."""
    return [sys.executable, "-m", "saint_cli", *map(str, arguments)]


def wait_for(condition: Any, seconds: float = 600) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=["kill -9", "Ctrl-C", "SIGTERM"])
def test_after_a_violent_end_nothing_is_half_done_lost_or_redone(tmp_path: Path, end: signal.Signals) -> None:
    source, out = fill(tmp_path / "in", 5, (48, 40, 10)), tmp_path / "out"
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where it was ignored, the child would ignore it too
    running = subprocess.Popen(program("batch", source, out, *WITH_PAGES), stderr=subprocess.PIPE)
    wait_for(lambda: len(records(out)) >= 2)
    children = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(end)
    _, errors = running.communicate()
    assert running.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[end], errors
    assert b"Traceback" not in errors
    assert end == signal.SIGKILL or not list(out.rglob("*.partial"))
    psutil.wait_procs(children, 30)
    for result in out.rglob("*.nii.gz"):
        read_volume(result)
    before = {record["target"] for record in records(out)}
    kept = {target: state for target, state in states(out).items() if target in before}
    assert run("batch", source, out, *WITH_PAGES).exit_code == 0
    assert len(states(out)) == 5
    assert {target: states(out)[target] for target in before} == kept
    assert max(Counter(record["target"] for record in records(out)).values()) == 1
    assert not list(out.rglob("*.partial"))


def test_a_killed_worker_costs_its_job_nothing_but_time(tmp_path: Path) -> None:
    source, out = fill(tmp_path / "in", 4, (64, 60, 12)), tmp_path / "out"
    running = subprocess.Popen(program("batch", source, out, *OPTIONS), stderr=subprocess.DEVNULL)
    wait_for(lambda: len(records(out)) >= 1)
    biggest = max(psutil.Process(running.pid).children(recursive=True), key=lambda p: p.memory_info().rss)
    biggest.kill()
    assert running.wait() == 0
    assert Counter(record["target"] for record in records(out)) == {f"p{n}/ct.nii.gz": 1 for n in range(4)}


def test_two_batches_in_one_folder_are_refused(tmp_path: Path) -> None:
    source, out = fill(tmp_path / "in", 2), tmp_path / "out"
    running = subprocess.Popen(program("batch", source, out, *OPTIONS), stderr=subprocess.DEVNULL)
    wait_for(lambda: (out / "manifest.jsonl").exists())
    second = run("batch", source, out, *OPTIONS)
    assert running.wait() == 0
    assert second.exit_code == 5
    assert "another saint batch" in second.output
