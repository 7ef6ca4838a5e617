"""A batch from the user's request to its summary: discover, plan, run, summarize."""

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from saint_cli.batch import output_names
from saint_cli.batch.find import find_scans
from saint_cli.batch.inputs import expand_inputs
from saint_cli.batch.job_keys import SLAB
from saint_cli.batch.job_records import JobRecord
from saint_cli.batch.manifest import (
    ManifestState,
    ManifestWriter,
    describe_damaged,
    merge_states,
    open_manifest,
    read_state,
)
from saint_cli.batch.plan import OutputStore, Plan, RerunPolicy, Task, merge_plans, plan_jobs
from saint_cli.batch.search import Findings, SearchRules
from saint_cli.batch.state_files import MANIFEST
from saint_cli.batch.summary import Summary, merge_summaries, summarize
from saint_cli.errors import UsageError
from saint_cli.errors.plain_text import format_count
from saint_cli.io import partial_names
from saint_cli.io.path_identity import is_same_file
from saint_cli.io.remote import transfer
from saint_cli.jobs import ModelConfig
from saint_cli.jobs.announcements import MessageCallback
from saint_cli.models import shipped
from saint_cli.progress import format_duration
from saint_cli.report.plotting import prepare_matplotlib
from saint_cli.runtime import memory, temporary
from saint_cli.runtime.open_files import count_manifests, find_open_files_limit

if TYPE_CHECKING:
    from saint_cli.batch.dask_client import ClusterSpec
    from saint_cli.batch.estimate import TimeEstimator
    from saint_cli.batch.execute import BatchProgress

# The cluster, and what needs it, is imported once there is a job to run: Dask and torch take seconds.

BatchProgressCallback = Callable[["BatchProgress", JobRecord | None], None]
"""Called whenever a job starts, progresses or ends, then with its record."""

MAX_OPEN_PARTS = 200
"""Manifests that are open at once, at most."""

LONG_S = 60.0
"""From so many seconds on, the time that another model would take is announced too."""


@dataclass(frozen=True)
class BatchRequest:
    """What the user asked for.

    inputs: paths, and URLs as text. model_config: of the command line, which rows of a table may change.
    output_format: a key of ``output_names.ENDINGS``. workers: how many on this machine, None for as many as fit.
    scheduler: of a running cluster.
    """

    inputs: tuple[Path | str, ...]
    rules: SearchRules
    rerun_policy: RerunPolicy
    model_config: ModelConfig
    output_format: str = "nii.gz"
    name_template: str = output_names.TEMPLATE
    workers: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.scheduler is not None and self.workers is not None:
            raise UsageError("--workers are of this machine, and --scheduler names a cluster with its own; give one")

    @property
    def state_dir(self) -> Path:
        """The folder of the manifest, and of the results if they do not go to a URL."""
        return self.rules.state_dir


@dataclass(frozen=True)
class BatchPart:
    """Scans whose results, manifest and pages have a folder of their own: the ``state_dir`` of the request."""

    request: BatchRequest
    findings: Findings


def discover(request: BatchRequest, on_progress: Callable[[int], None]) -> Findings:
    """Find the scans that are asked for; ``on_progress`` is called with their number now and then.

    Raises:
        UsageError, UnreadableError: of the inputs.
        OutputError: there is no such bucket for the results.
    """
    if request.rules.results is not None:
        if request.output_format == "dicom":
            raise UsageError("--to dicom makes folders, and a folder cannot appear whole at a URL; name an OUT_DIR")
        transfer.check_store(request.rules.results)
    manifest = request.state_dir / MANIFEST
    if any(isinstance(one, Path) and one.exists() and is_same_file(one, manifest) for one in request.inputs):
        raise UsageError(f"{manifest} is the manifest of the output folder and no table of scans; name the scans")
    return find_scans(expand_inputs(request.inputs, request.rules.make_settings), request.rules, on_progress)


def make_plan(request: BatchRequest, findings: Findings, state: ManifestState) -> Plan:
    """What is left to do, according to the manifest.

    Raises:
        WeightsError: the command line names no model or weights file.
        UsageError: it takes slices for slabs, and its model is not for these.
    """
    slabs = bool(request.rules.make_settings({}).grid.slab)
    shipped.check_model(request.model_config.model, slabs=slabs)
    targets = output_names.name_outputs(findings.scans, request.name_template, request.output_format)
    url = request.rules.results
    names = frozenset[str]() if url is None else transfer.list_names(url)
    return plan_jobs(OutputStore(request.state_dir, url, names), findings, targets, state, request.rerun_policy)


def size_cluster(request: BatchRequest, plan: Plan, state: ManifestState) -> "tuple[ClusterSpec, TimeEstimator]":
    """The workers for a plan, and how long it will take them, learnt from earlier jobs of the folder if there are any.

    Raises:
        UsageError: a device or precision that this machine does not have.
    """
    from saint_cli.runtime import cores

    load = cores.CoreLoad()  # while torch and Dask are loaded
    from saint_cli.batch.dask_client import ClusterSpec
    from saint_cli.batch.estimate import TimeEstimator, measure_free_mb, size_workers
    from saint_cli.runtime import device_selection

    if request.scheduler is not None:
        spec = ClusterSpec(scheduler=request.scheduler)
        return spec, TimeEstimator(spec, state.latest.values())
    config = request.model_config
    compute = device_selection.select_compute(config.device, config.precision, config.batch_size)
    free, gpus = load.choose_idle(option="--workers"), device_selection.count_gpus(config.device)
    requested = config.threads or cores.read_openmp_threads()
    per_job = None if requested is None else cores.limit_threads(requested, free.cores)
    spec = size_workers(plan.tasks, max(1, free.count // (per_job.count if per_job else 1)), measure_free_mb(), gpus)
    if compute.device.type != "cpu" and not gpus:
        spec = replace(spec, workers=1)
    workers = min(request.workers or spec.workers, max(1, len(plan.tasks)))
    threads = per_job.count if per_job else max(1, free.count // workers)
    note = (per_job and per_job.note) or (free.note if request.workers is None else None)
    spec = replace(spec, workers=workers, threads=threads, note=note)
    return spec, TimeEstimator(spec, state.latest.values())


def run_parts(parts: Sequence[BatchPart], on_progress: BatchProgressCallback, on_message: MessageCallback) -> Summary:
    """Run what is left to do of the parts of a batch, on the workers that the first one asks for, and record it.

    No two parts have a target of the same name. Those that other processes run at the same time have locks of their
    own.

    Raises:
        OutputError: another batch writes to the folder of a part, or it cannot be written.
        ClusterError: no cluster, or it disappeared.
    """
    began = time.monotonic()
    size = min(MAX_OPEN_PARTS, count_manifests(find_open_files_limit()))
    groups = [parts[first : first + size] for first in range(0, len(parts), size)]
    ended = [summary for group in groups for summary in _run_group(group, on_progress, on_message)]
    return merge_summaries(ended, time.monotonic() - began)


def _run_group(
    parts: Sequence[BatchPart], on_progress: BatchProgressCallback, on_message: MessageCallback
) -> list[Summary]:
    """Run parts whose manifests are all open at once; the summary of each."""
    with ExitStack() as manifests:
        opened = [_open_part(part, manifests) for part in parts]
        plan = merge_plans([part.plan for part in opened])
        writers = {task.target: part.writer for part in opened if part.writer for task in part.plan.tasks}
        records: list[JobRecord] = []
        if plan.tasks:
            spec, estimator = size_cluster(parts[0].request, plan, merge_states([part.state for part in opened]))
            if (other_folder := memory.check_temporary_folder()) is not None:
                on_message(other_folder)
            on_message(_describe_batch(spec, plan.tasks, estimator))
            records = _run_tasks(plan, lambda one: writers[one.target].append(one), (spec, estimator), on_progress)
        return [part.summarize(records) for part in opened]


@dataclass(frozen=True)
class _OpenPart:
    """A part with its plan, the state that the plan is of, and its manifest; no manifest where nothing was found."""

    part: BatchPart
    plan: Plan
    state: ManifestState
    writer: ManifestWriter | None

    def summarize(self, records: Sequence[JobRecord]) -> Summary:
        """The summary of this part, by the records of all."""
        targets = {task.target for task in self.plan.tasks}
        own = [record for record in records if record.target in targets]
        has_pages = self.writer is not None and self.part.request.rerun_policy.pages
        summary = summarize(self.plan, own, earlier=self.state.latest.values(), with_index=has_pages)
        damaged = [] if self.writer is None else self.writer.damaged
        return replace(summary, damaged=describe_damaged(damaged, "set aside"))


def _open_part(part: BatchPart, manifests: ExitStack) -> _OpenPart:
    """Open the manifest of a part, make its plan, and record the scans that are refused."""
    request, findings = part.request, part.findings
    if not findings.scans:
        plan = Plan(request.state_dir, skipped=findings.skipped, ignored=findings.ignored)
        return _OpenPart(part, plan, ManifestState(), None)
    writer = manifests.enter_context(open_manifest(request.state_dir))
    findings.remote_cache.save()
    state = read_state(request.state_dir)
    plan = make_plan(request, findings, state)
    for record in plan.refused_records:
        if not state.says(record):
            ended = datetime.now(UTC).isoformat(timespec="seconds")
            writer.append(replace(record, details=record.details | {"ended": ended}))
    return _OpenPart(part, plan, state, writer)


def _run_tasks(
    plan: Plan,
    write: Callable[[JobRecord], None],
    workers: "tuple[ClusterSpec, TimeEstimator]",
    on_progress: BatchProgressCallback,
) -> list[JobRecord]:
    """Run the tasks of a plan on a cluster that lasts as long; their records."""
    from saint_cli.batch.cluster import open_cluster
    from saint_cli.batch.execute import run_plan

    spec, estimator = workers
    records, progress = list[JobRecord](), None
    prepare_matplotlib()  # here, so that all workers share what it makes
    try:
        with open_cluster(spec) as cluster:
            for progress, record in run_plan(plan, write, cluster, estimator):
                on_progress(progress, record)
                records += [] if record is None else [record]
    except BaseException:  # Ctrl-C and SIGTERM too: the workers are gone now, in the middle of their jobs
        if progress is not None and spec.scheduler is None:
            _remove_partial_files(progress)
        raise
    return records


def _remove_partial_files(progress: "BatchProgress") -> None:
    """Remove what the jobs that were running had written of their files."""
    for running in progress.running.values():
        job = running.task.job
        for path in (job.target, job.labels_target, job.uncertainty, job.page, job.preview, job.thumbnail):
            if isinstance(path, Path):
                partial_names.remove_stale(path.parent)
    temporary.remove_abandoned()


def _describe_batch(spec: "ClusterSpec", tasks: Sequence[Task], estimator: "TimeEstimator") -> str:
    """How many jobs with which model (CT's: no scan is read), on which workers, for how long, what is not used."""
    jobs = format_count(len(tasks), "job")
    models = {shipped.resolve_name(t.record.model, slabs=SLAB in t.record.options) for t in tasks}
    if spec.scheduler is not None:
        return f"{jobs} with {_format_models(models)} for the cluster at {spec.scheduler}"
    each = "a GPU each" if spec.gpus else f"{format_count(spec.threads, 'thread')} each"
    seconds = estimator.seconds_left(tasks)
    text = f"{jobs} with {_format_models(models)}, {format_count(spec.workers, 'worker')} with {each}"
    text += f", about {(about := format_duration(seconds))}"
    if seconds > LONG_S and len(models) == 1 and (other := shipped.ALTERNATIVES.get(*models)) is not None:
        others = [replace(t, record=replace(t.record, model=other)) for t in tasks]
        if (would := format_duration(estimator.seconds_left(others))) != about:
            text += f"; {other} would take about {would} (--model {other})"
    return text if spec.note is None else f"{text}; {spec.note}"


def _format_models(models: Collection[str]) -> str:
    """As in ``model fast``; weights files by their names."""
    names = sorted(Path(model).name for model in models)
    return f"model {names[0]}" if len(names) == 1 else f"models {', '.join(names)}"
