"""A batch from the user's order to what came of it."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from saint_cli import memory, shipped, temporary
from saint_cli.batch import finish, ledger, names
from saint_cli.batch.find import Findings, Rules, find
from saint_cli.batch.find_remote import find_remote
from saint_cli.batch.inputs import roots
from saint_cli.batch.plan import Plan, Shelf, Task, Wishes, is_same, make_plan
from saint_cli.batch.records import Record
from saint_cli.errors import UsageError
from saint_cli.io import partial, remote
from saint_cli.io.places import is_same_file
from saint_cli.jobs import Engine
from saint_cli.progress import counted, duration
from saint_cli.report.plotting import prepare_matplotlib

if TYPE_CHECKING:
    from saint_cli.batch.estimate import Clock
    from saint_cli.batch.run import Progress
    from saint_cli.engine import Crew

# The engine, and what needs it, is imported once there is a job to run: Dask and torch take seconds.


LONG_S = 60.0
"""From so many seconds on, the time that another model would take is told too."""


@dataclass(frozen=True)
class Order:
    """What the user asked for.

    inputs: paths, and URLs as text. form: format of the results, a key of ``names.ENDINGS``. engine: as the jobs of
    the command line have it. workers: how many on this machine, None for as many as fit. scheduler: of a running
    cluster.
    """

    inputs: tuple[Path | str, ...]
    rules: Rules
    wishes: Wishes
    engine: Engine
    form: str = "nii.gz"
    name_template: str = names.TEMPLATE
    workers: int | None = None
    scheduler: str | None = None

    @property
    def home(self) -> Path:
        """The folder of results, or at least of the books."""
        return self.rules.out


def look(order: Order, tell: Callable[[int], None]) -> Findings:
    """Find the scans of an order; ``tell`` is called with their number now and then.

    Raises:
        UsageError, UnreadableError: of the inputs.
        OutputError: there is no such bucket for the results.
    """
    if order.rules.results is not None:
        if order.form == "dicom":
            raise UsageError("--to dicom makes folders, and a folder cannot appear whole at a URL; name an OUT_DIR")
        remote.check_store(order.rules.results)
    manifest = order.home / ledger.MANIFEST
    if any(isinstance(given, Path) and given.exists() and is_same_file(given, manifest) for given in order.inputs):
        raise UsageError(f"{manifest} is the manifest of the output folder and no table of scans; name the scans")
    named = roots(order.inputs)
    found = find([root for root in named if root.origin is None], order.rules, tell)
    find_remote([root for root in named if root.origin is not None], order.rules, found, tell)
    return found


def draft(order: Order, found: Findings, books: ledger.Books) -> Plan:
    """What an order leaves to do, by what the folder's books say.

    Raises:
        WeightsError: the command line names no model or weights file.
    """
    shipped.check(order.engine.model)
    targets = names.targets(found.scans, order.name_template, order.form)
    url = order.rules.results
    shelf = Shelf(order.home) if url is None else Shelf(order.home, url, remote.names_below(url))
    return make_plan(shelf, found, targets, books, order.wishes)


def hire(order: Order, plan: Plan, books: ledger.Books) -> "tuple[Crew, Clock]":
    """The workers for a plan, and how long it will take them, told from earlier jobs of the folder if there are any.

    Raises:
        UsageError: a device or precision that this machine does not have.
    """
    from saint_cli import cores

    seen = cores.Observation()  # while torch and Dask are loaded
    from saint_cli import compute
    from saint_cli.batch.estimate import Clock, Machine, crew_for
    from saint_cli.engine import Crew

    if order.scheduler is not None:
        return Crew(scheduler=order.scheduler), Clock(Crew(scheduler=order.scheduler), books.latest.values())
    chosen = compute.choose(order.engine.device, order.engine.precision, order.engine.batch_size)
    machine, gpus = Machine.here(seen), compute.count_gpus(order.engine.device)
    free, asked = machine.cores, order.engine.threads or cores.openmp_threads()
    each = None if asked is None else cores.asked_threads(asked, free.cores)
    crew = crew_for(plan.tasks, max(1, free.count // (each.count if each else 1)), machine.free_mb, gpus)
    if chosen.device.type != "cpu" and not gpus:
        crew = replace(crew, workers=1)
    workers = min(order.workers or crew.workers, max(1, len(plan.tasks)))
    threads = each.count if each else max(1, free.count // workers)
    note = (each and each.note) or (free.note if order.workers is None else None)
    crew = replace(crew, workers=workers, threads=threads, device=chosen.device.type, note=note)
    return crew, Clock(crew, books.latest.values())


def carry_out(
    order: Order, found: Findings, watch: "Callable[[Progress, Record | None], None]", told: Callable[[str], None]
) -> finish.Summary:
    """Run what is left to do, and record it; ``watch`` sees every start and end, ``told`` gets sentences.

    Raises:
        OutputError: another batch writes to the same folder, or it cannot be written.
        EngineError: no cluster, or it went away.
    """
    began = time.monotonic()
    if not found.scans:
        return finish.finish(
            Plan(order.home, skipped=found.skipped, ignored=dict(found.ignored)), (), 0.0, listed=False
        )
    records: list[Record] = []
    with ledger.open_ledger(order.home) as opened:
        if found.seen is not None:
            found.seen.keep()
        books = ledger.read(order.home)
        plan = draft(order, found, books)
        for record in plan.refused:
            if not is_same(books.latest.get(record["target"]), record):
                opened.append(record | {"ended": datetime.now(UTC).isoformat(timespec="seconds")})
        if plan.tasks:
            from saint_cli.batch.run import run
            from saint_cli.engine import open_fleet

            crew, clock = hire(order, plan, books)
            if (elsewhere := memory.check_temporary_folder()) is not None:
                told(elsewhere)
            prepare_matplotlib()  # here, so that all workers share what it makes
            told(_announced(crew, plan.tasks, clock))
            progress = None
            try:
                with open_fleet(crew) as fleet:
                    for progress, record_or_none in run(plan, opened, fleet, clock):
                        watch(progress, record_or_none)
                        records += [] if record_or_none is None else [record_or_none]
            except BaseException:  # Ctrl-C and SIGTERM too: the workers are gone now, in the middle of their jobs
                if progress is not None and crew.scheduler is None:
                    _tidy(progress)
                raise
        summary = finish.finish(plan, records, time.monotonic() - began, listed=order.wishes.pages)
        return replace(summary, damaged=ledger.list_damaged(opened.damaged, "set aside"))


def _tidy(progress: "Progress") -> None:
    """Remove what the jobs that were running had written of their files."""
    for target in progress.running:
        job = progress.waiting[target].job
        for path in (
            job.target if job.destination is None else None,
            job.uncertainty,
            job.page,
            job.preview,
            job.thumbnail,
        ):
            if path is not None:
                partial.remove_stale(path.parent)
    temporary.sweep()


def _announced(crew: "Crew", tasks: Sequence[Task], clock: "Clock") -> str:
    """How many jobs with which model, by whom, how long with it and with another, and what is not used."""
    jobs = counted(len(tasks), "job")
    models = {task.entry["model"] for task in tasks}
    if crew.scheduler is not None:
        return f"{jobs} with {_models(models)} for the cluster at {crew.scheduler}"
    models = {shipped.resolve(model, crew.device) for model in models}
    each = "a GPU each" if crew.gpus else f"{counted(crew.threads, 'thread')} each"
    seconds = clock.left(tasks)
    text = f"{jobs} with {_models(models)}, {counted(crew.workers, 'worker')} with {each}"
    text += f", about {duration(seconds)}"
    others = {shipped.ON_CPU: shipped.ON_GPU, shipped.ON_GPU: shipped.ON_CPU}
    if seconds > LONG_S and len(models) == 1 and (other := others.get(*models)) is not None:
        would = clock.left([replace(task, entry=task.entry | {"model": other}) for task in tasks])
        text += f"; {other} would take about {duration(would)} (--model {other})"
    return text if crew.note is None else f"{text}; {crew.note}"


def _models(models: Collection[str]) -> str:
    """As in ``model fast``; weights files by their names."""
    names = sorted(Path(model).name for model in models)
    return f"model {names[0]}" if len(names) == 1 else f"models {', '.join(names)}"
