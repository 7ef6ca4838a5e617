"""What ``saint batch`` costs and gains: overhead of the cluster per job, and throughput of several workers.

    python benchmarks/batch.py overhead [--jobs 10000] [--workers 1]
    python benchmarks/batch.py throughput SCAN [--copies 8] [--workers 2] [--model fast]

``overhead`` sends stand-in jobs, which do nothing, through the cluster. ``throughput`` upsamples copies of a scan with
one worker of one thread, then with several; run it on a machine with as many idle cores.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from arguments import make_parser

from saint_cli.batch.cluster import TaskEnded, WorkerSlot, open_cluster
from saint_cli.batch.dask_client import ClusterSpec


def do_nothing(task: int, slot: WorkerSlot) -> int:
    """A job that takes no time."""
    return task


def measure_overhead(jobs: int, workers: int) -> None:
    """Print milliseconds per job, by the clock and of processor time, and memory of this process on the way."""
    me = psutil.Process()
    with open_cluster(ClusterSpec(workers)) as cluster:
        list(cluster.run(range(50), do_nothing))  # workers are up and warm
        began, busy, ended, memory = time.perf_counter(), time.process_time(), 0, []
        for event in cluster.run(range(jobs), do_nothing):
            ended += isinstance(event, TaskEnded)
            if isinstance(event, TaskEnded) and ended % max(1, jobs // 10) == 0:
                memory.append(me.memory_info().rss / 1e6)
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
    clock, own = seconds / jobs * 1e3, busy / jobs * 1e3
    print(f"{jobs} jobs, {workers} workers: {clock:.1f} ms a job, {own:.1f} ms of this process's time")
    print("MB of this process after each tenth:", " ".join(f"{m:.0f}" for m in memory))


def measure_throughput(scan: Path, copies: int, workers: int, model: str) -> None:
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
            output = subprocess.check_output([sys.executable, "-m", "saint_cli", *map(str, command)])
            seconds[count] = json.loads(output)["seconds"]
            print(f"{count} workers: {seconds[count]:.1f} s, {copies / seconds[count] * 3600:.0f} scans per hour")
    print(f"{seconds[1] / seconds[workers]:.2f} times the throughput of one worker")


def main() -> None:
    """Read the command line and measure."""
    parser = make_parser(__doc__)
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
        measure_overhead(options.jobs, options.workers)
    else:
        measure_throughput(options.scan, options.copies, options.workers, options.model)


if __name__ == "__main__":
    main()
