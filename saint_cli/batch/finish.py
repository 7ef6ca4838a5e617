"""What came of a batch: the one place after a run, where everything that is made of the whole manifest belongs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saint_cli.batch import pages
from saint_cli.batch.plan import DONE, FAILED, SKIPPED, Plan
from saint_cli.batch.records import Record

SOME_FAILED = 8
"""Exit code of a batch in which a job failed, now or in an earlier run without success since."""

NOTHING = 2
"""Exit code of a batch that found no stack to upsample."""


@dataclass(frozen=True)
class Summary:
    """Records of all scans that were found, in the order of their targets, and how many of them are of this run.

    kept: of earlier runs; already_done: those of them that are results. damaged: a sentence on records that were set
    aside.
    """

    home: Path
    records: tuple[Record, ...]
    ran: int
    kept: int
    skipped: tuple[tuple[str, str], ...]
    ignored: dict[str, int]
    seconds: float
    already_done: int = 0
    index: Path | None = None
    url: str | None = None
    damaged: str | None = None

    def of(self, status: str) -> list[Record]:
        """The records with this status."""
        return [record for record in self.records if record["status"] == status]

    @property
    def exit_code(self) -> int:
        """0 if all is well, 8 if jobs failed, 2 if there was nothing to do in the first place."""
        if self.of(FAILED):
            return SOME_FAILED
        return 0 if self.records else NOTHING

    @property
    def models(self) -> dict[str, int]:
        """How many results each model made; weights files by their names."""
        return dict(Counter(Path(record["model"]).name for record in self.of(DONE)))

    @property
    def mixture(self) -> str | None:
        """A sentence where results are of several models, as ``auto`` makes them on different machines, or None."""
        if len(self.models) < 2:
            return None
        counts = ", ".join(f"{count} by {model}" for model, count in sorted(self.models.items()))
        return f"results of several models: {counts}; -m MODEL makes all others anew with one"

    def document(self) -> dict[str, Any]:
        """The summary for scripts."""
        return {
            "output": self.url or str(self.home),
            "report": None if self.index is None else str(self.index),
            "done": len(self.of(DONE)),
            "models": self.models,
            "failed": [{"name": r["name"], "source": r["source"], **r["error"]} for r in self.of(FAILED)],
            "skipped": [{"name": r["name"], "reason": r["error"]["message"]} for r in self.of(SKIPPED)]
            + [{"name": name, "reason": reason} for name, reason in self.skipped],
            "ignored_files": self.ignored,
            "damaged_records": self.damaged,
            "ran": self.ran,
            "kept": self.kept,
            "seconds": round(self.seconds, 1),
            "exit_code": self.exit_code,
        }


def finish(plan: Plan, records: Sequence[Record], seconds: float, *, listed: bool) -> Summary:
    """Sum up: records of this run, of earlier ones that still hold, and of scans that could not even be tried.

    The list of all scans, ``report/index.html``, is written anew if it is wanted (``listed``) or there from before.

    Raises:
        OutputError: the list cannot be written.
    """
    everything = sorted((*records, *plan.kept, *plan.refused), key=lambda record: record["target"])
    wanted = listed or pages.is_there(plan.home)
    index = pages.write(plan.home, everything) if everything and wanted else None
    return Summary(
        plan.home,
        tuple(everything),
        ran=len(records),
        kept=len(plan.kept),
        skipped=tuple(plan.skipped),
        ignored=plan.ignored,
        seconds=seconds,
        already_done=already_done(plan.kept),
        index=index,
        url=plan.url,
    )


def already_done(kept: Sequence[Record]) -> int:
    """How many records of earlier runs are of results."""
    return sum(record["status"] == DONE for record in kept)
