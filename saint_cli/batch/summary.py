"""The summary of a batch: everything that is made of all its records."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from saint_cli.batch import report_pages
from saint_cli.batch.job_records import JobRecord, JobStatus
from saint_cli.batch.manifest import is_refused_beside
from saint_cli.batch.plan import Plan, merge_plans
from saint_cli.io.folder_walk import is_file, is_there
from saint_cli.models import shipped

EXIT_SOME_FAILED = 8
"""Exit code of a batch in which a job failed, now or in an earlier run without success since."""

EXIT_NOTHING_FOUND = 2
"""Exit code of a batch that found no stack to upsample."""


@dataclass(frozen=True)
class Summary:
    """The result of a plan. ran: records of this run; damaged: a sentence on records that were set aside."""

    plan: Plan
    ran: tuple[JobRecord, ...]
    seconds: float
    index: Path | None = None
    damaged: str | None = None

    @cached_property
    def records(self) -> tuple[JobRecord, ...]:
        """The records of all scans that were found, in the order of their targets."""
        plan = self.plan
        return tuple(sorted((*self.ran, *plan.kept_records, *plan.refused_records), key=lambda record: record.target))

    def with_status(self, status: JobStatus) -> list[JobRecord]:
        """The records with this status."""
        return [record for record in self.records if record.status is status]

    @property
    def exit_code(self) -> int:
        """0 if all is well, 8 if jobs failed, 2 if there was nothing to do in the first place."""
        if self.with_status(JobStatus.FAILED):
            return EXIT_SOME_FAILED
        return 0 if self.records else EXIT_NOTHING_FOUND

    @property
    def all_skipped(self) -> list[tuple[str, str]]:
        """Name and reason of each scan that turned out to be none to upsample, in its header or when it was read."""
        return [*((record.name, record.reason) for record in self.with_status(JobStatus.SKIPPED)), *self.plan.skipped]

    @property
    def models(self) -> dict[str, int]:
        """How many results each model made; weights files by their names."""
        return dict(Counter(Path(record.model).name for record in self.with_status(JobStatus.DONE)))

    @property
    def mixture(self) -> str | None:
        """A sentence where results are of several models, as of runs with different ``--model``, or None.

        Models that one name stands for, such as ``fast`` and its weights for MR, count as one.
        """
        made = [record for record in self.with_status(JobStatus.DONE) if not record.is_without_networks]
        models = Counter(Path(record.model).name for record in made)
        if len({shipped.remove_prefix(model) for model in models}) < 2:
            return None
        counts = ", ".join(f"{count} by {model}" for model, count in sorted(models.items()))
        return f"results of several models: {counts}; -m MODEL makes all others anew with one"

    def to_json(self) -> dict[str, Any]:
        """The summary for scripts."""
        return {
            "output": self.plan.url or str(self.plan.state_dir),
            "report": None if self.index is None else str(self.index),
            "done": len(self.with_status(JobStatus.DONE)),
            "models": self.models,
            "failed": [
                {"name": record.name, "source": record.source, **record.error_to_json()}
                for record in self.with_status(JobStatus.FAILED)
            ],
            "skipped": [{"name": name, "reason": reason} for name, reason in self.all_skipped],
            "ignored_files": self.plan.ignored,
            "damaged_records": self.damaged,
            "ran": len(self.ran),
            "kept": len(self.plan.kept_records),
            "seconds": round(self.seconds, 1),
            "exit_code": self.exit_code,
        }


def forecast(plan: Plan) -> Summary:
    """The summary of a plan if all its jobs end well."""
    return Summary(plan, tuple(task.record for task in plan.tasks), 0.0)


def summarize(plan: Plan, ran: Sequence[JobRecord], *, earlier: Iterable[JobRecord], with_index: bool) -> Summary:
    """Sum up a plan that was carried out, and list all scans in ``report/index.html``.

    earlier: records of the folder before this run; results of other scans that are still there are listed too.
    with_index: write the list; one that is there from before is updated anyway.

    Raises:
        OutputError: the list cannot be written.
    """
    summary = Summary(plan, tuple(ran), 0.0)
    if not summary.records or not (with_index or is_file(plan.state_dir / report_pages.FOLDER / report_pages.INDEX)):
        return summary
    own = {record.target: record for record in summary.records}
    done = (one for one in earlier if one.status is JobStatus.DONE)
    others = (one for one in done if one.target not in own or is_refused_beside(own[one.target], one))
    listed = [*summary.records, *(one for one in others if plan.url or is_there(plan.state_dir / one.target))]
    listed.sort(key=lambda record: record.target)
    return replace(summary, index=report_pages.write_page_index(plan.state_dir, listed, plan.skipped))


def merge_summaries(summaries: Sequence[Summary], seconds: float) -> Summary:
    """One summary of the parts of a run that took so long; of several parts, with no single list of all scans."""
    if len(summaries) == 1:
        return replace(summaries[0], seconds=seconds)
    ran = tuple(record for summary in summaries for record in summary.ran)
    damaged = "; ".join(summary.damaged for summary in summaries if summary.damaged) or None
    return Summary(merge_plans([summary.plan for summary in summaries]), ran, seconds, damaged=damaged)


def count_done(records: Sequence[JobRecord]) -> int:
    """How many of the records are of results."""
    return sum(record.status is JobStatus.DONE for record in records)
