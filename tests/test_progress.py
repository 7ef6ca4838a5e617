"""Fractions and times left of simulated work, on a clock that the tests set."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from saint_cli.progress import (
    LINE_EVERY_S,
    NETWORKS,
    ProgressEstimate,
    ProgressLines,
    ProgressStage,
    ProgressState,
    as_job_progress,
    format_duration,
    silent,
)


class FakeClock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


Work = tuple[str, float, int]
"""A stage, the seconds it really takes, and its steps."""


def play(estimate: ProgressEstimate, clock: FakeClock, work: list[Work], look: Callable[[ProgressState], None]) -> None:
    """Run stages of equal steps, looking ten times within each of them."""
    for name, seconds, steps in work:
        estimate(name, 0, steps)
        for step in range(steps):
            for _ in range(10):
                clock.now += seconds / steps / 10
                look(estimate.state())
            estimate(name, step + 1, steps)
            look(estimate.state())


def simulated(
    stages: list[ProgressStage], work: list[Work], *, loading_s: float = 0.0
) -> tuple[list[tuple[float, float, float | None]], float]:
    """(seconds since the plan was known, fraction, seconds left) of a whole run, and how long that took."""
    clock, seen = FakeClock(), list[tuple[float, float, float | None]]()
    estimate = ProgressEstimate(clock)
    estimate.expect(ProgressStage("loading", 4.0), more=True)
    estimate("loading", 0, 1)
    clock.now += loading_s
    estimate("loading", 1, 1)
    estimate.expect(*stages)
    began = clock.now

    def look(state: ProgressState) -> None:
        assert state.fraction is not None
        seen.append((clock.now - began, state.fraction, state.seconds_left))

    play(estimate, clock, work, look)
    return seen, clock.now - began


STAGES = [
    ProgressStage("sagittal", 10.0, NETWORKS),
    ProgressStage("coronal", 10.0, NETWORKS),
    ProgressStage("fusion", 5.0, NETWORKS),
    ProgressStage("writing", 1.0),
]

SPEEDS = {"as assumed": 1.0, "five times slower": 5.0, "three times faster": 0.3}


@pytest.fixture(params=SPEEDS.values(), ids=list(SPEEDS))
def run(request: pytest.FixtureRequest) -> tuple[list[tuple[float, float, float | None]], float]:
    """Runs on machines of other speeds than assumed."""
    work = [(s.name, s.seconds * request.param, 50) for s in STAGES[:-1]] + [("writing", 1.0, 1)]
    return simulated(STAGES, work, loading_s=7.0)


def test_the_fraction_never_falls_and_ends_at_one(run: tuple[list[tuple[float, float, float | None]], float]) -> None:
    fractions = [fraction for _, fraction, _ in run[0]]
    assert all(a <= b for a, b in pairwise(fractions))
    assert fractions[0] < 0.02
    assert fractions[-1] == 1.0
    assert all(fraction < 1.0 for fraction in fractions[:-1])


def test_the_bar_moves_evenly_through_all_stages_whatever_the_machine(
    run: tuple[list[tuple[float, float, float | None]], float],
) -> None:
    seen, whole = run
    assert max(abs(fraction - at / whole) for at, fraction, _ in seen) < 0.06


def test_the_time_left_is_shown_once_a_stage_was_measured_and_is_right_then(
    run: tuple[list[tuple[float, float, float | None]], float],
) -> None:
    seen, whole = run
    shown = [(at, left) for at, _, left in seen if left is not None]
    assert all(left is None for at, _, left in seen if at < min(2.9, whole * 0.03))
    assert shown[0][0] < whole * 0.06 + 0.1
    assert all(abs(left - (whole - at)) < 0.12 * (whole - at) + 2 for at, left in shown)


def test_the_time_left_counts_down_without_jumping_back(
    run: tuple[list[tuple[float, float, float | None]], float],
) -> None:
    left = [left for _, _, left in run[0] if left is not None]
    assert max(b - a for a, b in pairwise(left)) < 0.04 * left[0] + 0.2


def test_weights_of_stages_are_what_they_are_assumed_to_take() -> None:
    clock = FakeClock()
    estimate = ProgressEstimate(clock)
    estimate.expect(ProgressStage("a", 30.0, NETWORKS), ProgressStage("b", 10.0, NETWORKS))
    estimate("a", 0, 10)
    clock.now += 15.0
    estimate("a", 5, 10)
    assert estimate.state().fraction == pytest.approx(15 / 40)


def test_a_stage_that_is_slower_than_its_kind_corrects_the_rest_by_degrees() -> None:
    seen, whole = simulated(STAGES, [("sagittal", 10, 20), ("coronal", 40, 20), ("fusion", 20, 20), ("writing", 1, 1)])
    at, _, left = seen[-60]
    assert left is not None
    assert abs(left - (whole - at)) < 4


def test_once_all_is_known_the_next_stage_is_shown() -> None:
    estimate = ProgressEstimate(FakeClock())
    estimate("reading", 1, 2)
    estimate.expect(*STAGES)
    assert estimate.state() == ProgressState("sagittal", fraction=0.0)


def test_without_a_plan_there_is_no_fraction_but_a_count() -> None:
    estimate = ProgressEstimate(FakeClock())
    assert estimate.state() == ProgressState("starting")
    estimate("scans found", 12, 0)
    assert estimate.state() == ProgressState("scans found", 12)
    assert estimate.state().sentence == "scans found: 12"


def test_a_stage_of_unknown_length_among_others_counts_as_long_as_assumed() -> None:
    clock = FakeClock()
    estimate = ProgressEstimate(clock)
    estimate.expect(ProgressStage("fetching", 10.0), ProgressStage("writing", 10.0))
    estimate("fetching", 5, 0)
    clock.now += 5
    assert estimate.state().fraction == pytest.approx(0.25)
    clock.now += 995
    first = estimate.state().fraction
    assert first is not None
    assert first < 1.0  # overdue, and nobody knows by how much
    estimate("writing", 0, 1)
    assert estimate.state().stage == "writing"


def test_a_stage_that_nobody_expected_counts_from_when_it_was_measured() -> None:
    clock = FakeClock()
    estimate = ProgressEstimate(clock)
    estimate.expect()
    estimate("surprise", 0, 10)
    assert estimate.state().fraction is None
    clock.now += 5
    estimate("surprise", 5, 10)
    state = estimate.state()
    assert (state.fraction, state.seconds_left) == (pytest.approx(0.5), pytest.approx(5.0))


def test_stages_that_were_left_out_do_not_hold_up_the_end() -> None:
    estimate = ProgressEstimate(FakeClock())
    estimate.expect(*STAGES)
    estimate("writing", 1, 1)
    assert estimate.state().fraction == 1.0


def test_a_resumed_stage_counts_what_was_done_but_measures_only_what_it_does() -> None:
    clock = FakeClock()
    estimate = ProgressEstimate(clock)
    estimate.expect(ProgressStage("steps", 1.0, NETWORKS))
    estimate("steps", 500, 1000)
    assert estimate.state().fraction == pytest.approx(0.5)
    clock.now += 100
    estimate("steps", 600, 1000)
    state = estimate.state()
    assert (state.fraction, state.seconds_left) == (pytest.approx(0.6), pytest.approx(400.0))


def test_a_log_gets_a_line_every_half_minute_and_none_for_short_work() -> None:
    clock, lines = FakeClock(), list[str]()
    state = ProgressState("coronal slices", 40, 100, 0.4321, 118.0)
    log = ProgressLines(lambda: state, lines.append, clock)
    for _ in range(int(LINE_EVERY_S) - 1):
        clock.now += 1
        log.tick()
    assert lines == []
    for _ in range(61):
        clock.now += 1
        log.tick()
    assert lines == ["coronal slices, 43 % done, about 2 min left"] * 3


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (ProgressState("loading networks"), "loading networks"),
        (ProgressState("loading networks", 1, 1), "loading networks"),
        (ProgressState("checking volumes", 3, 9), "checking volumes: 3 of 9"),
        (ProgressState("fusion", 3, 9, 0.9999), "fusion, 99 % done"),
        (ProgressState("fusion", 3, 9, 0.29, 0.2), "fusion, 29 % done, about 1 s left"),
    ],
)
def test_only_what_is_known_is_shown(state: ProgressState, sentence: str) -> None:
    assert state.sentence == sentence


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0, "1 s"), (89.4, "89 s"), (95.0, "2 min"), (3600.0, "60 min"), (9000.0, "2.5 h")]
)
def test_durations_are_as_exact_as_an_estimate_can_be(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


def test_a_plain_function_gets_progress_and_no_announcements() -> None:
    reports = list[tuple[str, int, int]]()
    plain = as_job_progress(lambda *step: reports.append(step))
    plain.expect(ProgressStage("a", 1.0))
    plain("a", 1, 2)
    assert reports == [("a", 1, 2)]
    estimate = ProgressEstimate()
    assert as_job_progress(estimate) is estimate


def test_silence_takes_everything() -> None:
    silent.expect(ProgressStage("a", 1.0), more=True)
    silent("a", 1, 1)
