"""How far long work has come and how long the rest will take; prints nothing, and knows no other part of saint.

Work calls a :class:`ProgressCallback` with the steps of its stages; who starts the work says what stages to expect and
what each is assumed to take. :class:`ProgressEstimate` makes one fraction and one time left of both: what stages took
corrects what is assumed of those of the same kind.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

ProgressCallback = Callable[[str, int, int], None]
"""Called with a stage's name, the steps done and the steps there are; 0 where their number is not known."""

Clock = Callable[[], float]
"""Seconds that only rise, such as ``time.monotonic``."""

NETWORKS = "networks"
"""The kind of all stages that run the networks."""

MEASURED_S, MEASURED_SHARE = 3.0, 0.1
"""From so many seconds of a stage, or such a share of its steps, on its own speed alone counts."""

KNOWN_SHARE = 0.8
"""Part of the work left whose speed must be measured before a time left is worth telling."""

OVERDUE = 1.1
"""A stage without steps that takes longer than assumed is taken to need a tenth of its time more."""

TOLERANCE, TOLERANCE_S = 0.1, 1.0
"""A time left that is off by less is not corrected but counted down, so that it does not jitter."""

LINE_EVERY_S = 30.0
"""Seconds between lines in a log."""


@dataclass(frozen=True)
class Stage:
    """A stage to come: what it is assumed to take. Stages of one kind (but "") are assumed to be off by one ratio."""

    name: str
    seconds: float
    kind: str = ""


class JobProgress(Protocol):
    """A ``ProgressCallback`` that can also be told what to expect."""

    def expect(self, *stages: Stage, more: bool = False) -> None:
        """Stages to come, in their order, with those known before; ``more``: others will be added."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Tell how far a stage is."""


class _Plain:
    """A ``ProgressCallback`` as a ``JobProgress``: it is told of what happens, not of what to expect."""

    def __init__(self, callback: ProgressCallback) -> None:
        self._callback = callback

    def expect(self, *stages: Stage, more: bool = False) -> None:
        """Nobody asks."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Hand it on."""
        self._callback(stage, done, total)


def as_job_progress(callback: ProgressCallback) -> JobProgress:
    """The callback itself where it can be told what to expect."""
    return cast("JobProgress", callback) if hasattr(callback, "expect") else _Plain(callback)


silent = _Plain(lambda stage, done, total: None)
"""A ``JobProgress`` that reports nothing."""


@dataclass(frozen=True)
class ProgressState:
    """Where work stands: its stage with the steps of that (total 0: not known), the fraction and seconds of the whole.

    fraction: 0 to 1, None while it is not known what there is to do; seconds_left: None until it is worth telling.
    """

    stage: str
    done: int = 0
    total: int = 0
    fraction: float | None = None
    seconds_left: float | None = None

    @property
    def percent(self) -> int | None:
        """The fraction in whole percent, rounded down."""
        return None if self.fraction is None else int(100 * self.fraction + 1e-9)

    @property
    def sentence(self) -> str:
        """As in ``coronal slices, 43 % done, about 2 min left``."""
        counted = f"{self.stage}: {self.done:,}" if self.done and self.fraction is None else self.stage
        parts = [counted] + ([] if self.percent is None else [f"{self.percent} % done"])
        if self.seconds_left is not None:
            parts.append(f"about {duration(self.seconds_left)} left")
        return ", ".join(parts)


@dataclass
class _Course:
    """What is known of one stage; ``first``: the steps done when it began; ``reported``: when ``done`` last rose."""

    stage: Stage
    done: int = 0
    total: int = 0
    first: int = 0
    step: int = 0
    began: float | None = None
    reported: float = 0.0
    ended: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds that the steps of this run took."""
        return 0.0 if self.began is None else (self.reported if self.ended is None else self.ended) - self.began

    @property
    def share(self) -> float:
        """The part of the stage that was done in these seconds."""
        if self.ended is not None:
            return 1.0 if self.total <= self.first else (self.total - self.first) / self.total
        return (self.done - self.first) / self.total if self.total else 0.0

    @property
    def trust(self) -> float:
        """0 to 1, how much the measured speed counts against the assumed one."""
        if not self.share:
            return 0.0
        return min(1.0, max(self.share / MEASURED_SHARE, self.seconds / MEASURED_S))

    def projected(self, assumed: float, now: float) -> tuple[float, float]:
        """Seconds of the whole stage, and the part of them that is over."""
        if self.began is None:
            return assumed, 0.0
        if self.ended is not None:
            return self.seconds / self.share, 1.0
        if not self.share and not assumed:  # nothing can be told of it yet
            return 0.0, 0.0
        if not self.share:
            cost = max(assumed, OVERDUE * (now - self.began))
            if self.total > 1:  # the first of its steps will tell
                return cost, self.first / self.total
            return cost, (now - self.began) / cost
        trust = self.trust if assumed else 1.0
        cost = trust * self.seconds / self.share + (1 - trust) * assumed
        begun = min(self.step, self.total * (now - self.reported) / cost) if cost else 0.0  # of the steps on their way
        return cost, min(0.99, (self.done + begun) / self.total)


class ProgressEstimate:
    """Fraction and time left of work that tells of its stages; may be asked from another thread."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._courses: dict[str, _Course] = {}
        self._current: _Course | None = None
        self._open = True
        self._fraction = 0.0
        self._countdown = Countdown()

    def expect(self, *stages: Stage, more: bool = False) -> None:
        """Stages to come, in their order, with those known before; ``more``: others will be added.

        What was done before all was known does not count, so that the fraction begins at 0.
        """
        with self._lock:
            if self._open and not more:
                self._courses = {name: c for name, c in self._courses.items() if c.began is None}
                self._current = None
            self._open = more
            for stage in stages:
                known = self._courses.get(stage.name)
                if known is None:
                    self._courses[stage.name] = _Course(stage)
                elif known.began is None:
                    known.stage = stage

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Tell that ``done`` of ``total`` steps of a stage are over; what came before it is."""
        with self._lock:
            now = self._clock()
            course = self._courses.setdefault(stage, _Course(Stage(stage, 0.0)))
            if course.began is None:
                self._begin(course, done if done < total else 0, now)
            course.total = total
            if done > course.done:
                course.step, course.done, course.reported = done - course.done, done, now
            if total and done >= total and course.ended is None:
                course.ended = now

    def _begin(self, course: _Course, done: int, now: float) -> None:
        """Begin a stage with some steps done in an earlier run; what was expected before it is over, or left out."""
        for name, other in list(self._courses.items()):
            if other is course:
                break
            if other.began is None:
                del self._courses[name]
            elif other.ended is None:
                other.ended = now
        course.began = course.reported = now
        course.first = course.done = done
        self._current = course

    def state(self) -> ProgressState:
        """Where the work stands now; the fraction never falls."""
        with self._lock:
            now, course = self._clock(), self._shown()
            if course is None:
                return ProgressState("starting")
            if self._open:
                return ProgressState(course.stage.name, course.done, course.total)
            projected = [(c, *c.projected(self._assumed(c), now)) for c in self._courses.values()]
            whole = sum(cost for _, cost, _ in projected)
            left = sum(cost * (1 - part) for _, cost, part in projected)
            over = all(c.ended is not None for c in self._courses.values())
            if not whole and not over:
                return ProgressState(course.stage.name, course.done, course.total)
            self._fraction = 1.0 if over else max(self._fraction, min(0.99, 1 - left / whole))
            known = sum(cost * (1 - part) for c, cost, part in projected if self._is_known(c))
            seconds = None
            if self._countdown.began or known > KNOWN_SHARE * left:
                seconds = self._countdown.steadied(left, now)
            return ProgressState(course.stage.name, course.done, course.total, self._fraction, seconds)

    def _shown(self) -> _Course | None:
        """The stage that runs, or else the next one."""
        if self._current is not None and self._current.ended is None:
            return self._current
        return next((c for c in self._courses.values() if c.began is None), self._current)

    def _assumed(self, course: _Course) -> float:
        """Seconds of a stage by what is assumed of it and what others of its kind took."""
        like = [c for c in self._courses.values() if c.stage.kind and c.stage.kind == course.stage.kind]
        took = sum(c.seconds * c.trust for c in like)
        assumed = sum(c.stage.seconds * c.share * c.trust for c in like)
        return course.stage.seconds * (took / assumed if took > 0 and assumed > 0 else 1.0)

    def _is_known(self, course: _Course) -> bool:
        """Whether a stage's speed, or that of its kind, was measured."""
        kind = course.stage.kind
        return any(c.trust == 1.0 for c in self._courses.values() if c is course or (kind and c.stage.kind == kind))


class Countdown:
    """A time left that is counted down, and corrected only where it is off."""

    def __init__(self) -> None:
        self._shown: tuple[float, float] | None = None  # seconds left, and when

    @property
    def began(self) -> bool:
        """Whether a time was shown before."""
        return self._shown is not None

    def steadied(self, left: float, now: float) -> float:
        """What to show where ``left`` seconds are estimated."""
        if self._shown is not None:
            counted = max(0.0, self._shown[0] - (now - self._shown[1]))
            if abs(counted - left) <= TOLERANCE * left + TOLERANCE_S:
                left = counted
        self._shown = left, now
        return left


class ProgressLines:
    """A line now and then where there is no terminal; none for what is soon over."""

    def __init__(
        self, state: Callable[[], ProgressState], write: Callable[[str], None], clock: Clock = time.monotonic
    ) -> None:
        self._state, self._write, self._clock = state, write, clock
        self._last = clock()

    def tick(self) -> None:
        """Write where the work stands, unless that was done less than ``LINE_EVERY_S`` ago."""
        now = self._clock()
        if now - self._last >= LINE_EVERY_S:
            self._last = now
            self._write(self._state().sentence)


def duration(seconds: float) -> str:
    """Seconds in words, as exact as an estimate can be."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def counted(count: int, noun: str) -> str:
    """As in ``1 job`` and ``2 jobs``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
