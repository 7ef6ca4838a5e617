"""What is left to do: scans against the manifest of earlier runs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import saint_cli
from saint_cli import shipped
from saint_cli.batch import pages
from saint_cli.batch.digest import digest
from saint_cli.batch.find import Findings, Scan
from saint_cli.batch.ledger import Books
from saint_cli.batch.names import name_of
from saint_cli.batch.records import Record
from saint_cli.errors import DeadlyJobError, GeometryError, SaintError, UnreadableError, UsageError, WeightsError
from saint_cli.io.entries import is_folder, is_there
from saint_cli.io.places import Place, slot_of
from saint_cli.jobs import Job

DONE, FAILED, SKIPPED = "done", "failed", "skipped"

STARTING = "starting"
"""The stage of a job whose worker still loads what it needs."""

LASTING = (UnreadableError.__name__, GeometryError.__name__, DeadlyJobError.__name__)
"""Failures that the same input, options and version of saint lead to again; others may pass."""


@dataclass(frozen=True)
class Task:
    """One job to run, and what its record in the manifest says whatever comes of it.

    target: path of the result below ``home``. voxels: of the result, for estimates; 0 where unknown.
    files: what was found to be read, on this machine.
    """

    home: Path
    target: str
    job: Job
    entry: Record
    voxels: int = 0
    files: tuple[Path, ...] = ()


@dataclass
class Plan:
    """Tasks to run, records that still hold (done, failed or skipped before), new failures, and what was left out.

    url: of the results, where they do not go to ``home``.
    """

    home: Path
    tasks: list[Task] = field(default_factory=list)
    kept: list[Record] = field(default_factory=list)
    refused: list[Record] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    ignored: dict[str, int] = field(default_factory=dict)
    url: str | None = None


@dataclass(frozen=True)
class Wishes:
    """How to treat earlier results: try every failure again, replace what this batch did not write.

    pages: every job also makes its quality-control page.
    """

    retry_failed: bool = False
    overwrite: bool = False
    pages: bool = True


@dataclass(frozen=True)
class Shelf:
    """Where results go: below the folder of the books, or below a URL of which it is known what is there."""

    home: Path
    url: str | None = None
    names: frozenset[str] = frozenset()

    def place(self, target: str) -> str:
        """Path or URL of a result."""
        return str(self.home / target) if self.url is None else f"{self.url}/{target}"

    def has(self, target: str) -> bool:
        """Whether something is at a result's place."""
        return is_there(self.home / target) if self.url is None else target in self.names

    def take(self, job: Job, target: str) -> Job:
        """The job with its result's place."""
        if self.url is None:
            return replace(job, target=(self.home / target).absolute())
        return replace(job, destination=self.place(target))


def make_plan(shelf: Shelf, found: Findings, targets: Sequence[str], books: Books, wishes: Wishes) -> Plan:
    """Sort scans into what is to be run and what is settled."""
    home = shelf.home
    places = _Places(shelf, found)
    hashes = {model: _hash(model) for model in {scan.job.engine.model for scan in found.scans}}
    plan = Plan(home, skipped=list(found.skipped), ignored=dict(found.ignored), url=shelf.url)
    for scan, target in zip(found.scans, targets, strict=True):
        entry = _entry(scan, target, hashes[scan.job.engine.model])
        record = books.latest.get(target)
        ours = wishes.overwrite or target in books.written
        error = scan.error or _unwritable(scan, target, shelf, ours=ours) or places.take(target)
        if error is not None:
            plan.refused.append(failure(entry, error))
        elif record is not None and _holds(record, entry, shelf, wishes):
            plan.kept.append(record)
        else:
            engine = replace(scan.job.engine, model=_from_anywhere(scan.job.engine.model))
            job = shelf.take(replace(scan.job, engine=engine, overwrite=True), target)
            if job.origin is None:
                job = replace(job, source=job.source.absolute())
            if wishes.pages:
                folder = (home / pages.FOLDER).absolute()
                job = replace(job, page=folder / pages.page_of(target), thumbnail=folder / pages.thumbnail_of(target))
            voxels = int(entry["voxels_after"] or 0)
            files = tuple(file.absolute() for file in scan.files)
            plan.tasks.append(Task(home.absolute(), target, job, entry, voxels, files))
    return plan


def failure(entry: Record, error: SaintError) -> Record:
    """The record of a job that came to nothing."""
    told = {"class": type(error).__name__, "message": str(error), "exit_code": error.exit_code}
    return {**entry, "status": FAILED, "error": told}


def key_of(entry: Record, weights: str | None) -> str:
    """What tells a job from all others: its input, its options, and the sha256 of the weights that it used."""
    return digest({"input": entry["fingerprint"], "options": entry["options"], "weights": weights})


def is_of(record: Record, entry: Record) -> bool:
    """Whether a record is of the job of an entry; a result is of ``auto`` whichever of its models made it.

    So a tree that was begun on a GPU is not computed again on a CPU, nor the other way round.
    """
    keys = {entry["key"]}
    if entry["model"] == shipped.AUTO and record["status"] == DONE:
        keys |= {key_of(entry, weights) for weights in _automatic()}
    return record["key"] in keys


def is_same(record: Record | None, other: Record) -> bool:
    """Whether a record says what the last one said, so that it need not be written again."""
    names = ("key", "status", "error")
    return record is not None and all(record.get(name) == other.get(name) for name in names)


def _holds(record: Record, entry: Record, shelf: Shelf, wishes: Wishes) -> bool:
    """Whether nothing has changed since a record was written, so that its job need not run again."""
    if not is_of(record, entry):
        return False
    if record["status"] == DONE:
        page = shelf.home / pages.FOLDER / pages.page_of(record["target"])
        return shelf.has(record["target"]) and (is_there(page) or not wishes.pages)
    if wishes.retry_failed:
        return False
    if record["status"] == SKIPPED:
        return True
    same_version = record.get("versions", {}).get("saint") == saint_cli.__version__
    return bool(same_version and record["error"]["class"] in LASTING)


def _unwritable(scan: Scan, target: str, shelf: Shelf, *, ours: bool) -> SaintError | None:
    """Why the result cannot go where it belongs, as far as can be told without running the job."""
    if name_of(target) == target and scan.job.series is None:  # read as DICOM, each has a series
        return UsageError(f"{scan.source}: DICOM can only be written of DICOM; choose another format with --to")
    if shelf.has(target) and not ours:
        place = shelf.place(target)
        return UsageError(f"{place}: exists, but no job of this batch wrote it; move it away or pass --overwrite")
    return None


class _Places:
    """The files that results of a run go to, under whatever names: none may be another's, or a file that is read."""

    def __init__(self, shelf: Shelf, found: Findings) -> None:
        self._shelf, self._taken = shelf, dict[Place, str]()
        if self._is_new:  # no links can lead anywhere
            return
        for file in {file for scan in found.scans if len(scan.files) == 1 for file in scan.files}:
            self._taken[slot_of(file)] = f"the input {file}"

    @property
    def _is_new(self) -> bool:
        return self._shelf.url is not None or not self._shelf.home.is_dir()

    def take(self, target: str) -> SaintError | None:
        """Take the place of a result; the error where it is taken."""
        if self._is_new:
            return None
        place = slot_of(self._shelf.home / target)
        if place in self._taken:
            path = self._shelf.place(target)
            return UsageError(f"{path}: leads to {self._taken[place]}; remove the link, or choose another folder")
        self._taken[place] = f"the result {target}"
        return None


@cache
def _automatic() -> frozenset[str | None]:
    """The sha256 of the weights that ``auto`` may stand for."""
    return frozenset(_hash(shipped.resolve(shipped.AUTO, device)) for device in ("cpu", "cuda"))


def _hash(model: str) -> str | None:
    """The sha256 of a model's weights; of ``auto``, which only the device decides, the word."""
    if model == shipped.AUTO:
        return shipped.AUTO
    try:
        return shipped.sha256(model)
    except WeightsError:
        return None  # the job itself will tell


def _from_anywhere(model: str) -> str:
    """The name of shipped weights, or a path that holds in any working directory."""
    return model if model == shipped.AUTO or model in shipped.manifest() else str(Path(model).absolute())


def _entry(scan: Scan, target: str, weights: str | None) -> Record:
    """What a record says of a job before it runs."""
    options = _options(scan.job)
    fingerprint = fingerprint_of(scan.job, scan.files)
    voxels = None if scan.shape is None else int(scan.shape[0] * scan.shape[1] * scan.shape[2] * scan.finer)
    entry = {
        "name": name_of(target),
        "target": target,
        "source": scan.source,
        "key": "",
        "fingerprint": fingerprint,
        "options": options,
        "model": scan.job.engine.model,
        "weights_sha256": weights,
        "shape_before": scan.shape,
        "spacing_before_mm": scan.spacing_mm,
        "voxels_after": voxels,
        "versions": {"saint": saint_cli.__version__},
    }
    return entry | {"key": key_of(entry, weights)}


def _options(job: Job) -> dict[str, Any]:
    """What changes the result: not where or with how many threads it is computed."""
    chosen = {**asdict(job.grid), **asdict(job.choices), "precision": job.engine.precision}
    names = ("series", "volume", "modality", "keep_slice_thickness", "refuse_labels", "split_runs")
    seldom = {name: True for name in ("merge", "outside_data") if getattr(job, name)}  # keys of earlier versions hold
    return chosen | {name: getattr(job, name) for name in names} | seldom


def fingerprint_of(job: Job, files: Sequence[Path]) -> str:
    """Names, sizes and times of change of the files that a result depends on; moving them all changes nothing.

    At a URL, sizes and times (or what else changes with the content) are as listed.
    """
    origin = job.origin
    if origin is not None:
        at = origin.main.rpartition("/")[0] if origin.is_file else origin.main
        return digest(sorted([i.name.removeprefix(f"{at}/"), i.size, i.stamp] for i in origin.items))
    folder = job.source if is_folder(job.source) else job.source.parent
    found = []
    for file in files:
        try:
            stat = file.stat()
        except (OSError, ValueError):
            continue
        name = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.name
        found.append([name, stat.st_size, stat.st_mtime_ns])
    return digest(sorted(found))
