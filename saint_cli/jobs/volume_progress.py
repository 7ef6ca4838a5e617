"""The volumes of a 4-D scan as one stage of a job, and what they warn of as one list."""

import re
from collections.abc import Mapping, Sequence

from saint_cli.errors.plain_text import format_ranges
from saint_cli.progress import NETWORKS, ProgressCallback, ProgressStage
from saint_cli.volume.warning_words import MORE_THAN_ITS_HEADER

VOLUMES = "volumes"
"""The stage in which all volumes are upsampled and written."""

STEPS_PER_VOLUME = 1000

NUMBER = re.compile(r"\d+(\.\d+)?")


class VolumeProgress:
    """A ``ProgressCallback`` for the stages of one volume after another, which become one stage over all.

    each: assumed seconds of the stages of every volume, by name; once: of those that the volume ``shown`` has besides.
    """

    def __init__(
        self,
        on_progress: ProgressCallback,
        count: int,
        each: Mapping[str, float],
        once: Mapping[str, float],
        shown: int,
    ) -> None:
        self._on_progress, self._count, self._shown = on_progress, count, shown
        self._each, self._once = dict(each), dict(once)
        self._unit, self._extra = sum(each.values()) or 1.0, sum(once.values())
        self._index = self._reported = 0

    @property
    def stage(self) -> ProgressStage:
        """The stage to announce."""
        return ProgressStage(VOLUMES, self._count * self._unit + self._extra, NETWORKS)

    def begin(self, index: int) -> None:
        """Volume ``index`` (from 0) begins; those before it are over."""
        self._index = index
        self._report(0.0)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """How far a stage of the present volume is; unknown stages do not count."""
        stages = {**self._each, **(self._once if self._index == self._shown else {})}
        if stage in stages:
            before = list(stages)[: list(stages).index(stage)]
            self._report(sum(stages[name] for name in before) + stages[stage] * (done / total if total else 0.0))

    def _report(self, seconds: float) -> None:
        extra = self._extra if self._index > self._shown else 0.0
        total = STEPS_PER_VOLUME * self._count
        share = (self._index * self._unit + extra + seconds) / (self._count * self._unit + self._extra)
        self._reported = max(self._reported, min(total, int(share * total + 1e-9)))
        self._on_progress(VOLUMES, self._reported, total)


def merge_warnings(volumes: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Each sentence once, with the numbers of the volumes that it is of unless that is all; ``volumes``: those of each.

    Sentences that differ in numbers only are one, with the numbers of the first; one of the whole file has none.
    """
    similar: dict[str, dict[int, str]] = {}
    for number, sentences in enumerate(volumes, 1):
        for sentence in sentences:
            similar.setdefault(NUMBER.sub("#", sentence), {}).setdefault(number, sentence)
    return tuple(_join(texts, len(volumes)) for texts in similar.values())


def _join(texts: Mapping[int, str], count: int) -> str:
    """One sentence for those of several volumes, by their numbers."""
    first, *others = texts
    is_of_all = len(texts) == count or MORE_THAN_ITS_HEADER in texts[first]
    where = "" if is_of_all else f"volume{'s' if others else ''} {format_ranges(list(texts))}"
    if len(set(texts.values())) > 1:
        where = f"{where or f'volume {first}'}; similar in {'the others' if not where else 'each'}"
    return f"{texts[first]} ({where})" if where else texts[first]
