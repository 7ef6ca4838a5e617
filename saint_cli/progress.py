"""How far long work has come and how long the rest will take; prints nothing, and imports no other part of saint.

Work calls a :class:`ProgressCallback` with the steps of its stages; its caller announces the stages with the time that
each is assumed to take. :class:`ProgressEstimate` turns both into one fraction and one time left: the measured time of
a stage corrects what is assumed of others of the same kind.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, cast

ProgressCallback = Callable[[str, int, int], None]
"""Called with a stage's name, its finished steps and all its steps; 0 where their number is not known."""

Clock = Callable[[], float]
"""Seconds that only rise, such as ``time.monotonic``."""

NETWORKS = "networks"
"""The kind of all stages that run the networks."""

FULL_TRUST_S, FULL_TRUST_SHARE = 3.0, 0.1
"""After so many seconds of a stage, or such a share of its steps, only its measured speed counts."""

MIN_MEASURED_SHARE = 0.8
"""Part of the work left whose speed must be measured before a time left is shown."""

OVERDUE_FACTOR = 1.1
"""A stage without steps that takes longer than assumed is assumed to need a tenth of its time more."""

COUNTDOWN_TOLERANCE, COUNTDOWN_TOLERANCE_S = 0.1, 1.0
"""A time left that is off by less is counted down instead of corrected, so that it does not jitter."""

LINE_EVERY_S = 30.0
"""Seconds between lines in a log."""


@dataclass(frozen=True)
class ProgressStage:
    """A stage to come and its assumed time. Assumptions of one kind (but "") are taken to be off by one ratio."""

    name: str
    seconds: float
    kind: str = ""


class JobProgress(Protocol):
    """A ``ProgressCallback`` to which stages can be announced."""

    def expect(self, *stages: ProgressStage, more: bool = False) -> None:
        """Add stages to come, in their order; ``more``: others will follow."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """As a ``ProgressCallback``."""


class _WithoutExpectations:
    """A ``ProgressCallback`` as a ``JobProgress`` that ignores announcements."""

    def __init__(self, callback: ProgressCallback) -> None:
        self._callback = callback

    def expect(self, *stages: ProgressStage, more: bool = False) -> None:
        """Ignore them."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        self._callback(stage, done, total)


def as_job_progress(callback: ProgressCallback) -> JobProgress:
    """The callback itself if it accepts announcements."""
    return cast("JobProgress", callback) if hasattr(callback, "expect") else _WithoutExpectations(callback)


silent = _WithoutExpectations(lambda stage, done, total: None)


@dataclass(frozen=True)
class ProgressState:
    """The current stage with its steps (total 0: not known), and the fraction and seconds of the whole work.

    fraction: 0 to 1, None until all stages are known; seconds_left: None until it is reliable.
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
    def count(self) -> str:
        """As in ``12`` or ``3 of 9``; "" where a fraction tells it, before the first step and after the last."""
        is_over = 0 < self.total <= self.done
        if not self.done or is_over or self.fraction is not None:
            return ""
        return f"{self.done:,} of {self.total:,}" if self.total else f"{self.done:,}"

    @property
    def sentence(self) -> str:
        """As in ``coronal slices, 43 % done, about 2 min left``."""
        parts = [f"{self.stage}: {self.count}" if self.count else self.stage]
        if self.percent is not None:
            parts.append(f"{self.percent} % done")
        if self.seconds_left is not None:
            parts.append(f"about {format_duration(self.seconds_left)} left")
        return ", ".join(parts)


@dataclass
class _StageProgress:
    """What is known of one stage; first: steps done when it began; step: the last increment, at time ``reported``."""

    stage: ProgressStage
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
        """0 to 1, the weight of the measured speed against the assumed one."""
        return min(1.0, max(self.share / FULL_TRUST_SHARE, self.seconds / FULL_TRUST_S)) if self.share else 0.0

    def estimate(self, assumed: float, now: float) -> tuple[float, float]:
        """Seconds of the whole stage, and the part of them that is over."""
        if self.began is None:
            return assumed, 0.0
        if self.ended is not None:
            return self.seconds / self.share, 1.0
        if not self.share and not assumed:  # nothing is known yet
            return 0.0, 0.0
        if not self.share:
            cost = max(assumed, OVERDUE_FACTOR * (now - self.began))
            return cost, self.first / self.total if self.total > 1 else (now - self.began) / cost
        trust = self.trust if assumed else 1.0
        cost = trust * self.seconds / self.share + (1 - trust) * assumed
        begun = min(self.step, self.total * (now - self.reported) / cost) if cost else 0.0  # steps under way
        return cost, min(0.99, (self.done + begun) / self.total)


class ProgressEstimate:
    """Fraction and time left of work that reports its stages; may be read from another thread."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._stages: dict[str, _StageProgress] = {}
        self._current: _StageProgress | None = None
        self._more_expected = True
        self._fraction = 0.0
        self._countdown = Countdown()

    def expect(self, *stages: ProgressStage, more: bool = False) -> None:
        """Add stages to come, in their order; ``more``: others will follow.

        What was done before all stages are known does not count, so that the fraction begins at 0.
        """
        with self._lock:
            if self._more_expected and not more:
                self._stages = {name: one for name, one in self._stages.items() if one.began is None}
                self._current = None
            self._more_expected = more
            for stage in stages:
                known = self._stages.setdefault(stage.name, _StageProgress(stage))
                if known.began is None:
                    known.stage = stage

    def __call__(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` steps of a stage are over, and so are all stages before it."""
        with self._lock:
            now = self._clock()
            current = self._stages.setdefault(stage, _StageProgress(ProgressStage(stage, 0.0)))
            if current.began is None:
                self._begin(current, done if done < total else 0, now)
            current.total = total
            if done > current.done:
                current.step, current.done, current.reported = done - current.done, done, now
            if total and done >= total and current.ended is None:
                current.ended = now

    def _begin(self, current: _StageProgress, done: int, now: float) -> None:
        """Begin a stage with some steps done in an earlier run; stages before it end, or were left out."""
        for name, other in list(self._stages.items()):
            if other is current:
                break
            if other.began is None:
                del self._stages[name]
            elif other.ended is None:
                other.ended = now
        current.began = current.reported = now
        current.first = current.done = done
        self._current = current

    def state(self) -> ProgressState:
        """The current state; the fraction never falls."""
        with self._lock:
            now, shown = self._clock(), self._find_shown()
            if shown is None:
                return ProgressState("starting")
            counted = ProgressState(shown.stage.name, shown.done, shown.total)
            estimates = [(one, *one.estimate(self._assume(one), now)) for one in self._stages.values()]
            whole = sum(cost for _, cost, _ in estimates)
            left = sum(cost * (1 - part) for _, cost, part in estimates)
            is_over = all(one.ended is not None for one in self._stages.values())
            if self._more_expected or not (whole or is_over):
                return counted
            self._fraction = 1.0 if is_over else max(self._fraction, min(0.99, 1 - left / whole))
            measured = sum(
                cost * (1 - part)
                for one, cost, part in estimates
                if any(other.trust == 1.0 for other in self._find_alike(one))
            )
            is_reliable = self._countdown.began or measured > MIN_MEASURED_SHARE * left
            seconds = self._countdown.smooth(left, now) if is_reliable else None
            return replace(counted, fraction=self._fraction, seconds_left=seconds)

    def _find_shown(self) -> _StageProgress | None:
        """The stage that runs, else the next one."""
        if self._current is not None and self._current.ended is None:
            return self._current
        return next((one for one in self._stages.values() if one.began is None), self._current)

    def _find_alike(self, one: _StageProgress) -> list[_StageProgress]:
        """The stages of its kind, itself included."""
        kind = one.stage.kind
        return [other for other in self._stages.values() if other is one or (kind and other.stage.kind == kind)]

    def _assume(self, one: _StageProgress) -> float:
        """Seconds of a stage by its assumption, corrected by the measured time of others of its kind."""
        alike = self._find_alike(one) if one.stage.kind else []
        measured = sum(other.seconds * other.trust for other in alike)
        assumed = sum(other.stage.seconds * other.share * other.trust for other in alike)
        return one.stage.seconds * (measured / assumed if measured > 0 and assumed > 0 else 1.0)


class Countdown:
    """A time left that is counted down, and corrected only where it is off."""

    def __init__(self) -> None:
        self._shown: tuple[float, float] | None = None  # seconds left, and when

    @property
    def began(self) -> bool:
        """Whether a time was shown before."""
        return self._shown is not None

    def smooth(self, left: float, now: float) -> float:
        """The time to show where ``left`` seconds are estimated."""
        if self._shown is not None:
            counted = max(0.0, self._shown[0] - (now - self._shown[1]))
            if abs(counted - left) <= COUNTDOWN_TOLERANCE * left + COUNTDOWN_TOLERANCE_S:
                left = counted
        self._shown = left, now
        return left


class ProgressLines:
    """A line every ``LINE_EVERY_S`` where there is no terminal; none for short work."""

    def __init__(
        self, state: Callable[[], ProgressState], write: Callable[[str], None], clock: Clock = time.monotonic
    ) -> None:
        self._state, self._write, self._clock = state, write, clock
        self._last = clock()

    def tick(self) -> None:
        """Write the state, unless that was done less than ``LINE_EVERY_S`` ago."""
        now = self._clock()
        if now - self._last >= LINE_EVERY_S:
            self._last = now
            self._write(self._state().sentence)


def format_duration(seconds: float) -> str:
    """Seconds in words, as exact as an estimate can be."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
