"""Thousands of damaged and hostile inputs: each ends in a result that is right, or in one SaintError.

``python benchmarks/fuzz.py --cases 50000`` tries more of the same; docs/security.md lists what is promised.
"""

import os
from pathlib import Path

import pytest
from fuzz import cases, runner
from fuzz.sample import Sample

SEED = "suite"

COUNTS = {
    **{"nifti": 300, "nrrd": 700, "meta": 600, "series": 120, "packed": 150, "multiframe": 80, "directory": 40},
    **{"zip": 80, "weights": 200, "table": 80, "records": 40, "folder": 40},
}
"""Cases of each kind: as many as one slow core does in two minutes altogether."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("failures")


@pytest.fixture(scope="module")
def tally(kept: Path) -> runner.Tally:
    all_cases = [case for kind, count in COUNTS.items() for case in runner.cases_of(count, SEED, [kind])]
    return runner.run(all_cases, jobs=min(2, os.cpu_count() or 1), keep=kept)


@pytest.mark.parametrize("kind", runner.KINDS)
def test_hostile_input_ends_in_a_result_or_in_one_saint_error(kind: str, tally: runner.Tally, kept: Path) -> None:
    places = sorted({failure.place for failure in tally.failures if failure.case["kind"] == kind})
    assert not places, f"python benchmarks/fuzz.py --replay {kept}/{kind}-*.json"
    ended = {word for (one, word), _ in tally.ends.items() if one == kind}
    assert runner.READ in ended, "no case of this kind gets as far as a result"


@pytest.mark.parametrize("kind", runner.KINDS)
def test_a_case_is_determined_by_its_seed_kind_and_number(kind: str) -> None:
    one, same, other = (cases.make(kind, SEED, number).to_json() for number in (1, 1, 2))
    assert one == same
    assert one != other
    assert Sample.from_json(one).to_json() == one


WATCHED = ("exception", "warning", "output", "message", "patient text", "left", "memory", "time", "signal", "deaf")


def test_what_watches_notices_every_kind_of_failure_and_goes_on(tmp_path: Path) -> None:
    worker = runner.Worker(tmp_path, seconds=2, grace_s=2)
    try:
        words = []
        for word in WATCHED:
            sample = Sample("a", {"a": word.encode()}).to_json()
            outcome, stored = worker.run({"kind": "misbehaviour", "seed": 0, "number": 0, "sample": sample})
            words.append(outcome.word)
            assert stored is not None
    finally:
        worker.end()
    assert words == [*WATCHED[:-1], "time"]
