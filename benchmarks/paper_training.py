"""Trains the networks of the comparison by ``saint train``, each on one thread, and goes on where a run was cut off."""

import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from paper_records import MODEL, TrainingRecord, hash_data, hash_file, read_record, write_record
from paper_runners import find_run
from paper_systems import NETWORKS, Network, Regime, Stage

from saint_cli.errors import UsageError
from saint_cli.training.journal import LOG
from saint_cli.training.loop import CHECKPOINT

FIRST_STAGE = "first-stage.safetensors"
"""The weights after the first of two stages, from which another network may start."""

VOLUMES = "volumes"
"""Memory-mapped copies of the volumes, which all networks share."""

CLOSE_STEPS = 0.05
"""Numbers of steps that differ by less, in parts of the number asked for, count as equal."""

NO_VALIDATION = 10**9
"""Steps between validations: only the one at the end, which no time counts for."""


@dataclass(frozen=True)
class Budget:
    """How long each network is trained: minutes, or steps where that is not None; width: share of the full width.

    more: words for the command line of every stage, such as ``--batch 2``.
    """

    minutes: float
    width: float
    steps: int | None = None
    more: tuple[str, ...] = ()

    def list_words(self, stage: Stage) -> list[str]:
        """A stage's command line without paths."""
        length = ["--minutes", f"{stage.share * self.minutes:g}", "--clock", "processor"]
        if self.steps is not None:
            length = ["--steps", str(max(1, round(stage.share * self.steps)))]
        validation = ["--validate-every", str(NO_VALIDATION)]
        return [*stage.words, "--width", f"{self.width:g}", *length, *validation, *self.more]


@dataclass(frozen=True)
class Trainer:
    """Trains into ``runs``, all networks on the same volumes; data_sha256: as records have it."""

    data: Path
    val: Path
    runs: Path
    budget: Budget
    data_sha256: list[str]

    @classmethod
    def on(cls, data: Path, val: Path, runs: Path, budget: Budget) -> "Trainer":
        """On the volumes of two folders or lists."""
        return cls(data, val, runs, budget, hash_data(data))

    @property
    def regime(self) -> Regime:
        """What is equal among its networks."""
        return Regime.TIME if self.budget.steps is None else Regime.STEPS

    def train(self, network: Network) -> TrainingRecord:
        """Train one network, go on with it, or take over its record.

        Where steps are equal, that is also the record of equal time, if the network took about that many steps in it.

        Raises:
            UsageError: it was trained with other settings or on other data than now; the network from whose weights it
                starts is not trained; ``saint train`` failed.
        """
        folder = find_run(self.runs, self.regime, network.name)
        words = [self.budget.list_words(stage) for stage in network.stages]
        if (timed := self._find_timed(network)) is not None:
            words = timed.words
        if (before := read_record(folder)) is not None:
            self._require_same(before, words, folder)
            return before
        if timed is not None:
            return self._take_over(timed, folder)
        if network.starts_from is not None:
            self._copy_first_stage(network.starts_from, folder)
        for i, (stage, line) in enumerate(zip(network.stages, words, strict=True)):
            is_last = i + 1 == len(network.stages)
            if not is_last and (folder / FIRST_STAGE).is_file():
                continue
            self._run_stage(line, folder, stage)
            if not is_last:
                _copy_whole(folder / MODEL, folder / FIRST_STAGE)
        record = self._describe(network, words, folder)
        write_record(record, folder)
        return record

    def _find_timed(self, network: Network) -> TrainingRecord | None:
        """The record of equal time with as many steps as are asked for, of a network of one stage."""
        if self.budget.steps is None or len(network.stages) > 1 or network.starts_from is not None:
            return None
        record = read_record(find_run(self.runs, Regime.TIME, network.name))
        if record is None or abs(record.steps[0] - self.budget.steps) > CLOSE_STEPS * self.budget.steps:
            return None
        return record

    def _take_over(self, timed: TrainingRecord, folder: Path) -> TrainingRecord:
        """Copy a network that was trained for equal time."""
        self._require_same(timed, timed.words, find_run(self.runs, Regime.TIME, timed.network))
        folder.mkdir(parents=True, exist_ok=True)
        _copy_whole(find_run(self.runs, Regime.TIME, timed.network) / MODEL, folder / MODEL)
        write_record(timed, folder)
        return timed

    def _copy_first_stage(self, network: str, folder: Path) -> None:
        source = find_run(self.runs, self.regime, network) / FIRST_STAGE
        if not source.is_file():
            raise UsageError(f"{source} is missing; train {network} first")
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / MODEL).is_file():
            _copy_whole(source, folder / MODEL)

    def _run_stage(self, line: list[str], folder: Path, stage: Stage) -> None:
        resume = ["--resume"] if (folder / stage.folder / CHECKPOINT).is_file() else []
        paths = [self.data, "--val", self.val, "-o", folder, "--cache", self.runs / VOLUMES]
        command = [sys.executable, "-m", "saint_cli", "train", *paths, *line, "--threads", 1, *resume]
        code = subprocess.run([str(word) for word in command]).returncode
        if code != 0:
            raise UsageError(f"saint train ended with exit code {code}: {' '.join(map(str, command[3:]))}")

    def _describe(self, network: Network, words: list[list[str]], folder: Path) -> TrainingRecord:
        ends = [_read_last_entry(folder / stage.folder / LOG) for stage in network.stages]
        return TrainingRecord(
            network=network.name,
            words=words,
            seconds=[float(end["seconds"]) for end in ends],
            steps=[int(end["step"]) for end in ends],
            data_sha256=self.data_sha256,
            weights_sha256=hash_file(folder / MODEL),
        )

    def _require_same(self, before: TrainingRecord, words: list[list[str]], folder: Path) -> None:
        if before.words != words:
            was, now = (" / ".join(" ".join(line) for line in lines) for lines in (before.words, words))
            raise UsageError(f"{folder} was trained with {was}, not {now}; choose another -o")
        if before.data_sha256 != self.data_sha256:
            raise UsageError(f"{folder} was trained on other volumes; choose another -o")


def _copy_whole(source: Path, target: Path) -> None:
    """Copy a file that appears under its name only when complete."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.copyfile(source, partial)
    partial.replace(target)


def _read_last_entry(log: Path) -> dict[str, float]:
    """The last validation of a stage, at its end."""
    entry: dict[str, float] = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    return entry


def require_unseen(runs: Path, volumes: dict[str, Path]) -> None:
    """Refuse to score volumes that a network was trained on.

    Raises:
        UsageError: naming the volume and the network.
    """
    hashes = {hash_file(path): name for name, path in volumes.items()}
    for regime, network in itertools.product(Regime, NETWORKS):
        record = read_record(find_run(runs, regime, network))
        if record and (seen := [hashes[sha256] for sha256 in record.data_sha256 if sha256 in hashes]):
            raise UsageError(f"{seen[0]} was trained on ({network}); give --val volumes that were not")


def count_fewest_steps(runs: Path) -> int | None:
    """The steps of the network that took the fewest in the equal time, or None while any network is not trained."""
    steps = []
    for network in NETWORKS.values():
        record = read_record(find_run(runs, Regime.TIME, network.name))
        if record is None:
            return None
        if network.starts_from is None:
            steps.append(sum(record.steps))
    return min(steps)
