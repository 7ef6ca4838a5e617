"""Runs cases in worker processes, notices when one dies of a case, and keeps every failure as a file."""

import contextlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz.cases import KINDS
from fuzz.oracle import READ, REFUSED, Outcome

SECONDS = 20
"""A case that takes longer is a failure."""

MEMORY_BYTES = 1 << 30
"""What a case may take beyond what its process has when it is warm."""

GRACE_S = 15
"""Native code does not hear the alarm; after this the process is ended from outside."""

START_S = 300

TESTS, ROOT = Path(__file__).parents[1], Path(__file__).parents[2]

Case = dict[str, Any]
"""kind, seed and number; of a case from a file of failures the sample too."""


@dataclass
class Failure:
    """A case that ended in neither result nor refusal."""

    case: Case
    outcome: Outcome
    sample: Any = None

    @property
    def place(self) -> str:
        """What distinguishes this failure from others: its kind, and the last line of saint in the traceback."""
        lines = [line.strip() for line in self.outcome.trace.splitlines() if "saint_cli" in line and "line " in line]
        last = lines[-1].split("saint_cli/")[-1] if lines else ""
        return f"{self.case['kind']}: {self.outcome.word}: {self.outcome.detail.splitlines()[0][:90]} [{last}]"

    def save(self, folder: Path) -> Path:
        """Write the failure for ``--replay``."""
        folder.mkdir(parents=True, exist_ok=True)
        case = self.case
        path = folder / f"{case['kind']}-{case['seed']}-{case['number']}.json"
        document = {
            **{"kind": case["kind"], "seed": case["seed"], "number": case["number"], "word": self.outcome.word},
            **{"detail": self.outcome.detail, "trace": self.outcome.trace, "sample": self.sample},
        }
        path.write_text(json.dumps(document, indent=1))
        return path


@dataclass
class Tally:
    """How many cases of each kind came to which end, and the failures."""

    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        """Number of cases."""
        return sum(self.ends.values())

    def lines(self) -> list[str]:
        """A line for each kind, then one for each place of failures."""
        rows = []
        for kind in dict.fromkeys(kind for kind, _ in sorted(self.ends)):
            ends = {word: n for (one, word), n in sorted(self.ends.items()) if one == kind}
            rows.append(f"{kind:12s} " + ", ".join(f"{n} {word}" for word, n in ends.items()))
        places = Counter(failure.place for failure in self.failures)
        return [*rows, *(f"{n:6d} x {place}" for place, n in places.most_common())]


class Worker:
    """A process of :mod:`fuzz.worker`, started anew when a case has ended it."""

    def __init__(self, folder: Path, seconds: int = SECONDS, grace_s: int = GRACE_S) -> None:
        self.folder, self.seconds, self.grace_s = folder, seconds, grace_s
        self.process: subprocess.Popen[bytes] | None = None
        self.place, self.starts, self.rest = folder, 0, b""

    def run(self, case: Case) -> tuple[Outcome, Any]:
        """What came of a case, and its sample if it is a failure (the worker's own, or made anew here)."""
        if self.process is None:
            self._start()
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(case).encode() + b"\n")
        self.process.stdin.flush()
        answer = self._answer(time.monotonic() + self.seconds + self.grace_s)
        if answer is not None:
            return Outcome(answer["word"], answer["detail"], answer["trace"]), answer.get("sample")
        outcome = self._post_mortem()
        from fuzz import cases

        stored = case.get("sample")
        return outcome, stored or cases.make(case["kind"], case["seed"], case["number"]).to_json()

    def end(self) -> None:
        """End the process, and what it started."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.process = None

    def _start(self) -> None:
        self.starts += 1
        self.place, self.rest = self.folder / f"worker{self.starts}", b""
        self.place.mkdir(parents=True)
        paths = [str(TESTS), os.environ.get("PYTHONPATH", ""), str(ROOT)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
        environment |= {"MALLOC_ARENA_MAX": "2", "PYTHONFAULTHANDLER": "0", "COLUMNS": "200", "NO_COLOR": "1"}
        words = [str(self.place), str(MEMORY_BYTES), str(self.seconds)]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fuzz.worker", *words],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        if self._answer(time.monotonic() + START_S) is None:
            log = (self.place / "log").read_text(errors="replace") if (self.place / "log").exists() else ""
            self.end()
            raise RuntimeError(f"the worker does not start: {log[-2000:]}")

    def _answer(self, until: float) -> dict[str, Any] | None:
        """The next line of the worker; None if it died, or is silent for too long."""
        assert self.process is not None
        assert self.process.stdout is not None
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, until - time.monotonic()))
            block = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
            if not block:
                return None
            self.rest += block
        line, _, self.rest = self.rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _post_mortem(self) -> Outcome:
        """Why the worker gave no answer; it is gone afterwards."""
        assert self.process is not None
        try:
            code = self.process.wait(1)
        except subprocess.TimeoutExpired:
            self.end()
            return Outcome("time", f"no answer within {self.seconds + self.grace_s} s, not even to the alarm")
        trace = (self.place / "crash").read_text(errors="replace")
        log = (self.place / "log").read_text(errors="replace")[-500:].strip()
        self.end()
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Outcome("signal", f"{name} {log}".strip(), trace)


def run(
    cases: Iterable[Case],
    *,
    jobs: int = 1,
    keep: Path | None = None,
    on_case: Callable[[Case, Outcome], None] = lambda case, outcome: None,
) -> Tally:
    """Run cases, shared out among ``jobs`` workers; every failure is kept as a file in ``keep`` if that is given."""
    tally, lock, began = Tally(), threading.Lock(), time.monotonic()
    waiting: queue.Queue[Case | None] = queue.Queue()
    for case in cases:
        waiting.put(case)
    with tempfile.TemporaryDirectory(prefix="saint-fuzz-", dir=_fast_folder()) as folder:

        def work(index: int) -> None:
            worker = Worker(Path(folder, str(index)))
            try:
                while True:
                    case = waiting.get_nowait()
                    outcome, sample = worker.run(case)
                    with lock:
                        _enter(tally, case, outcome, sample, keep)
                        on_case(case, outcome)
            except queue.Empty:
                pass
            finally:
                worker.end()

        threads = [threading.Thread(target=work, args=(index,)) for index in range(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    tally.seconds = time.monotonic() - began
    return tally


def _enter(tally: Tally, case: Case, outcome: Outcome, sample: Any, keep: Path | None) -> None:
    tally.ends[case["kind"], outcome.word] += 1
    if outcome.is_failure:
        failure = Failure(case, outcome, sample)
        tally.failures.append(failure)
        if keep is not None:
            failure.save(keep)


def _fast_folder() -> str | None:
    """A file system in memory, if there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def cases_of(count: int, seed: object = 0, kinds: Iterable[str] = tuple(KINDS)) -> list[Case]:
    """So many cases, the kinds in turn."""
    names = list(kinds)
    return [{"kind": names[i % len(names)], "seed": seed, "number": i // len(names)} for i in range(count)]


__all__ = ["KINDS", "READ", "REFUSED", "Case", "Failure", "Tally", "Worker", "cases_of", "run"]
