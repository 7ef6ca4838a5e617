"""What is left to do: scans against the manifest of earlier runs."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from saint_cli.batch import report_pages
from saint_cli.batch.job_keys import (
    describe_other_scan,
    fingerprint_inputs,
    hash_weights,
    is_of_another_scan,
    is_same_job,
    make_key,
)
from saint_cli.batch.job_records import JobFailure, JobRecord, JobStatus
from saint_cli.batch.label_files import COLUMN, LABEL_MAP, fingerprint_labels
from saint_cli.batch.manifest import ManifestState
from saint_cli.batch.output_names import strip_output_ending
from saint_cli.batch.search import Findings, Scan
from saint_cli.errors import GeometryError, SaintError, UnreadableError, UsageError, WorkerKilledError
from saint_cli.io.folder_walk import is_there
from saint_cli.io.path_identity import fold_name, identify_entry
from saint_cli.jobs import Job
from saint_cli.jobs.labels import name_labels_target
from saint_cli.jobs.location import RemoteTarget, TargetLocation, format_location
from saint_cli.models import shipped
from saint_cli.options.job import key_options
from saint_cli.runtime.version import __version__

STARTING = "starting"
"""The stage of a job whose worker still loads what it needs."""

PERMANENT_ERRORS = (UnreadableError.__name__, GeometryError.__name__, WorkerKilledError.__name__)
"""Failures that the same input, options and version of saint lead to again; others may pass."""


@dataclass(frozen=True)
class Task:
    """One job to run, and its record as far as that is known before.

    target: path of the result below the output folder. files: what the job reads, on this machine.
    """

    state_dir: Path
    target: str
    job: Job
    record: JobRecord
    files: tuple[Path, ...] = ()


@dataclass
class Plan:
    """Tasks to run, records that still hold (done, failed or skipped before), new failures, and what was skipped.

    url: of the results, where they do not go to ``state_dir``.
    """

    state_dir: Path
    tasks: list[Task] = field(default_factory=list)
    kept_records: list[JobRecord] = field(default_factory=list)
    refused_records: list[JobRecord] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    url: str | None = None


def merge_plans(plans: Sequence[Plan]) -> Plan:
    """One plan of several; of one, itself. Its folder is the one that holds those of all."""
    if len(plans) == 1:
        return plans[0]
    return Plan(
        Path(os.path.commonpath([plan.state_dir.absolute() for plan in plans])),
        tasks=[task for plan in plans for task in plan.tasks],
        kept_records=[record for plan in plans for record in plan.kept_records],
        refused_records=[record for plan in plans for record in plan.refused_records],
        skipped=[one for plan in plans for one in plan.skipped],
        ignored=sum((plan.ignored for plan in plans), Counter[str]()),
    )


@dataclass(frozen=True)
class RerunPolicy:
    """How to treat earlier results: try every failure again, replace files of other scans or that no batch wrote.

    pages: every job also makes its quality-control page. advice: what helps, besides ``overwrite``, where a result of
    another scan has the name of this one's.
    """

    retry_failed: bool = False
    overwrite: bool = False
    pages: bool = True
    advice: str = "name results apart with --name-template or choose another OUT_DIR"


@dataclass(frozen=True)
class OutputStore:
    """Where results go: into the folder of the manifest, or below a URL at which files of these ``names`` exist."""

    state_dir: Path
    url: str | None = None
    names: frozenset[str] = frozenset()

    def locate(self, target: str) -> TargetLocation:
        """Path or URL of a result."""
        return self.state_dir / target if self.url is None else RemoteTarget(f"{self.url}/{target}")

    def has(self, target: str) -> bool:
        """Whether a result, or anything else of its name, exists."""
        return is_there(self.state_dir / target) if self.url is None else target in self.names


def plan_jobs(
    store: OutputStore, findings: Findings, targets: Sequence[str], state: ManifestState, policy: RerunPolicy
) -> Plan:
    """Sort scans into those to run and those already done."""
    claims = _TargetOwners(store, findings, targets)
    choices = {_choose_model(scan) for scan in findings.scans}
    hashes, problems = {choice: hash_weights(choice[0]) for choice in choices}, {c: _check_model(*c) for c in choices}
    plan = Plan(store.state_dir, skipped=list(findings.skipped), ignored=findings.ignored, url=store.url)
    for scan, target in zip(findings.scans, targets, strict=True):
        planned = _make_record(scan, target, hashes[_choose_model(scan)])
        earlier = state.latest.get(target)
        error = scan.error or problems[_choose_model(scan)] or _check_targets(scan, planned, store, state, policy)
        error = error or claims.add(target) or claims.add_labels(planned)
        if error is not None:
            others = _list_writers(planned, state) | claims.list_inputs(planned)
            plan.refused_records.append(make_failure(_add_other_sources(planned, others), error))
        elif earlier is not None and _still_holds(earlier, planned, store, policy):
            plan.kept_records.append(earlier)
        else:
            files = tuple(file.absolute() for file in scan.files)
            job = _make_job(scan, planned, store, policy)
            plan.tasks.append(Task(store.state_dir.absolute(), target, job, planned, files))
    return plan


def make_failure(planned: JobRecord, error: SaintError, status: JobStatus = JobStatus.FAILED) -> JobRecord:
    """The record of a planned job that has no result."""
    return replace(planned, status=status, error=JobFailure(type(error).__name__, str(error), error.exit_code))


def _still_holds(earlier: JobRecord, planned: JobRecord, store: OutputStore, policy: RerunPolicy) -> bool:
    """Whether nothing has changed since a record was written, so that its job need not run again."""
    if not is_same_job(earlier, planned):
        return False
    if earlier.status is JobStatus.DONE:
        page = store.state_dir / report_pages.FOLDER / report_pages.page_path(earlier.target)
        has_labels = earlier.labels_target is None or store.has(earlier.labels_target)
        has_page = is_there(page) or not policy.pages or earlier.is_without_networks  # which have none
        return store.has(earlier.target) and has_labels and has_page
    if policy.retry_failed:
        return False
    if earlier.status is JobStatus.SKIPPED:
        return True
    same_version = earlier.versions.get("saint") == __version__
    return same_version and earlier.error is not None and earlier.error.error_class in PERMANENT_ERRORS


def _choose_model(scan: Scan) -> tuple[str, bool]:
    """The model of a scan, and whether it takes slices for slabs."""
    return scan.settings.model_config.model, bool(scan.settings.grid.slab)


def _check_model(model: str, slabs: bool) -> SaintError | None:
    """Why a model, which a row of a table may have named, cannot be had."""
    try:
        shipped.check_model(model, slabs=slabs)
    except SaintError as error:
        return error
    return None


def _check_targets(
    scan: Scan, planned: JobRecord, store: OutputStore, state: ManifestState, policy: RerunPolicy
) -> SaintError | None:
    """Why the result, or its labels, cannot go where they belong, as far as is known without running the job."""
    target = planned.target
    if strip_output_ending(target) == target and scan.settings.series is None:  # read as DICOM, each has a series
        return UsageError(f"{scan.source_name}: DICOM can only be written of DICOM; choose another format with --to")
    if planned.labels_target is not None and store.url is not None:
        return UsageError(f"{scan.source_name}: labels are written to this machine only; name a folder as OUT_DIR")
    for one in filter(None, (target, planned.labels_target)):
        if policy.overwrite or not store.has(one):
            continue
        path, writer = format_location(store.locate(one)), state.writers.get(one)
        if writer is None:
            return UsageError(f"{path}: exists, but no job of this batch wrote it; move it away or pass --overwrite")
        if is_of_another_scan(writer, planned):
            return UsageError(f"{path}: is the result of {describe_other_scan(writer, planned, policy.advice)}")
    return None


def _list_writers(planned: JobRecord, state: ManifestState) -> set[str]:
    """The sources of what the files of a job hold."""
    writers = (state.writers.get(target) for target in (planned.target, planned.labels_target) if target)
    return {writer.full_source for writer in writers if writer}


def _add_other_sources(planned: JobRecord, sources: set[str]) -> JobRecord:
    """The record with sources of other scans, whose paths its failure may name and no page may show."""
    others = sorted(sources - {planned.full_source})
    return replace(planned, details=planned.details | {report_pages.OTHER_SOURCES: others}) if others else planned


class _TargetOwners:
    """The files that results of a run go to, whatever links lead there: none may be another's, or one that is read."""

    def __init__(self, store: OutputStore, findings: Findings, targets: Sequence[str]) -> None:
        self._store, self._targets, files = store, frozenset(map(fold_name, targets)), set[Path]()
        self._has_links = store.url is None and store.state_dir.is_dir()  # none can lead anywhere from a new folder
        if self._has_links:
            files = {file for scan in findings.scans if len(scan.files) == 1 for file in scan.files}
        self._inputs = {identify_entry(file): file for file in files}
        self._owners = {place: f"the input {file}" for place, file in self._inputs.items()}

    def add(self, target: str) -> SaintError | None:
        """Claim the file of a result; the error where it has an owner already."""
        if not self._has_links:
            return None
        path = self._store.state_dir / target
        owner = self._owners.setdefault(identify_entry(path), f"the result {target}")
        if owner != f"the result {target}":
            return UsageError(f"{path}: leads to {owner}; remove the link, or choose another folder")
        return None

    def list_inputs(self, planned: JobRecord) -> set[str]:
        """The inputs that the files of a job lead to."""
        targets = filter(None, (planned.target, planned.labels_target)) if self._inputs else ()
        places = [identify_entry(self._store.state_dir / target) for target in targets]
        return {str(self._inputs[place]) for place in places if place in self._inputs}

    def add_labels(self, planned: JobRecord) -> SaintError | None:
        """Claim the file of the labels; the error where it has an owner already."""
        if planned.labels_target is None:
            return None
        if fold_name(planned.labels_target) in self._targets:
            return UsageError(
                f"{planned.source}: its labels would be called {planned.labels_target}, as the result of another scan; "
                "choose other names with --name-template"
            )
        return self.add(planned.labels_target)


def _make_job(scan: Scan, planned: JobRecord, store: OutputStore, policy: RerunPolicy) -> Job:
    """The job of a scan, with paths that hold in any working directory."""
    target, labels_target = planned.target, planned.labels_target
    settings, source, location = scan.settings, scan.source, store.locate(target)
    model = settings.model_config.model
    if not shipped.is_name(model):
        settings = replace(settings, model_config=replace(settings.model_config, model=str(Path(model).absolute())))
    folder = (store.state_dir / report_pages.FOLDER).absolute()
    page, thumbnail = folder / report_pages.page_path(target), folder / report_pages.thumbnail_path(target)
    has_files = any(map(store.has, filter(None, (target, labels_target)))) or any(map(is_there, (page, thumbnail)))
    return Job(
        source.absolute() if isinstance(source, Path) else source,
        location.absolute() if isinstance(location, Path) else location,
        settings,
        overwrite=policy.overwrite or has_files,  # what comes later is of another run
        labels_target=None if labels_target is None else (store.state_dir / labels_target).absolute(),
        page=page if policy.pages else None,
        thumbnail=thumbnail if policy.pages else None,
    )


def _make_record(scan: Scan, target: str, weights_sha256: str | None) -> JobRecord:
    """What a record says of a job before it runs."""
    labels = scan.settings.label_settings.labels
    digest = {} if labels is None else {COLUMN: fingerprint_labels(Path(labels))}
    voxels = None if scan.shape is None else int(scan.shape[0] * scan.shape[1] * scan.shape[2] * scan.slice_ratio)
    record = JobRecord(
        name=strip_output_ending(target),
        target=target,
        source=scan.source_name,
        key="",
        status=JobStatus.BEGUN,
        fingerprint=fingerprint_inputs(scan.source, scan.files),
        options=key_options(scan.settings) | digest,
        labels_target=None if labels is None else name_labels_target(Path(target)).as_posix(),
        source_path=str(scan.source.absolute()) if isinstance(scan.source, Path) else None,
        model=scan.settings.model_config.model,
        weights_sha256=weights_sha256,
        shape_before=scan.shape,
        spacing_before_mm=scan.spacing_mm,
        voxels_after=voxels,
        volumes=scan.volumes if scan.volumes > 1 else None,
        versions={"saint": __version__},
        details={} if labels is None else {LABEL_MAP: labels},
    )
    return replace(record, key=make_key(record, weights_sha256))
