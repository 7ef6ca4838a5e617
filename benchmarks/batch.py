"""What ``saint batch`` costs and gains: overhead of the engine per job, and throughput of several workers.

    python benchmarks/batch.py overhead [--jobs 10000] [--workers 1]
    python benchmarks/batch.py throughput SCAN [--copies 8] [--workers 2] [--model fast]

``overhead`` sends stand-in jobs, which do nothing, through the engine. ``throughput`` upsamples copies of a scan with
one worker of one thread, then with several; run it on a machine with as many idle cores.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from saint_cli.engine import Crew, Ended, Seat, open_fleet


def nothing(task: int, seat: Seat) -> int:
    """A job that takes no time."""
    return task


def overhead(jobs: int, workers: int) -> None:
    """Print milliseconds per job, by the clock and of processor time, and memory of this process on the way."""
    me = psutil.Process()
    with open_fleet(Crew(workers)) as fleet:
        list(fleet.run(range(50), nothing))  # workers are up and warm
        began, busy, ended, memory = time.perf_counter(), time.process_time(), 0, []
        for event in fleet.run(range(jobs), nothing):
            ended += isinstance(event, Ended)
            if isinstance(event, Ended) and ended % max(1, jobs // 10) == 0:
                memory.append(me.memory_info().rss / 1e6)
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
    clock, own = seconds / jobs * 1e3, busy / jobs * 1e3
    print(f"{jobs} jobs, {workers} workers: {clock:.1f} ms a job, {own:.1f} ms of this process's time")
    print("MB of this process after each tenth:", " ".join(f"{m:.0f}" for m in memory))


def throughput(scan: Path, copies: int, workers: int, model: str) -> None:
    """Print scans per hour with one worker and with several, and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for n in range(copies):
            shutil.copyfile(scan, folder / "in" / f"{n}-{scan.name}")
        seconds = {}
        for count in (1, workers):
            command = ["batch", folder / "in", folder / f"out{count}", "-f", 4, "-m", model, "--device", "cpu"]
            command += ["--workers", count, "--threads", 1, "--json"]
            told = subprocess.check_output([sys.executable, "-m", "saint_cli", *map(str, command)])
            seconds[count] = json.loads(told)["seconds"]
            print(f"{count} workers: {seconds[count]:.1f} s, {copies / seconds[count] * 3600:.0f} scans per hour")
    print(f"{seconds[1] / seconds[workers]:.2f} times the throughput of one worker")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    first, second = what.add_parser("overhead"), what.add_parser("throughput")
    first.add_argument("--jobs", type=int, default=10_000)
    first.add_argument("--workers", type=int, default=1)
    second.add_argument("scan", type=Path)
    second.add_argument("--copies", type=int, default=8)
    second.add_argument("--workers", type=int, default=2)
    second.add_argument("--model", default="fast")
    options = parser.parse_args()
    if options.what == "overhead":
        overhead(options.jobs, options.workers)
    else:
        throughput(options.scan, options.copies, options.workers, options.model)


if __name__ == "__main__":
    main()
