"""One series: what is made of it, in which process, and why it failed or was skipped."""

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import fabricate
import psutil
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from saint_cli import errors, io
from saint_cli.jobs import Job, ModelConfig
from saint_cli.node import derive
from saint_cli.node import worker as worker_module
from saint_cli.node.derive import Ending, derive_series
from saint_cli.node.rules import Rule, Rules
from saint_cli.node.worker import StoppedError, Worker
from saint_cli.options.job import make_settings
from saint_cli.progress import ProgressCallback, silent


def save(folder: Path, series: list[Dataset]) -> Path:
    """The folder of a received series."""
    return fabricate.save(series, folder / "instances")


@pytest.fixture
def rules(model_config: ModelConfig) -> Rules:
    """CT from 2 mm on, by tiny networks."""
    settings = make_settings({"factor": 2})
    return Rules((Rule("thick", "CT", least_spacing_mm=2.0, settings=replace(settings, model_config=model_config)),))


def test_a_series_becomes_one_derived_series_in_its_study(tmp_path: Path, rules: Rules) -> None:
    outcome = derive_series(save(tmp_path, fabricate.slices(4)), tmp_path / "derived", rules, silent)
    assert outcome.ending is Ending.DONE, outcome
    assert outcome.summary.startswith('by rule "thick": 4 -> 7 slices, model ')
    files = list((tmp_path / "derived").rglob("*.dcm"))
    assert outcome.size == sum(file.stat().st_size for file in files)
    made = [pydicom.dcmread(file) for file in files]
    assert len(made) == 7
    assert len({data.SeriesInstanceUID for data in made}) == 1
    assert {data.StudyInstanceUID for data in made} == {fabricate.slices(1)[0].StudyInstanceUID}


def test_the_same_instances_give_the_same_uids(tmp_path: Path, rules: Rules) -> None:
    source = save(tmp_path, fabricate.slices(4))
    uids = []
    for name in ("one", "two"):
        derive_series(source, tmp_path / name, rules, silent)
        uids.append(sorted(pydicom.dcmread(file).SOPInstanceUID for file in (tmp_path / name).rglob("*.dcm")))
    assert uids[0] == uids[1]


def without(index: int, count: int = 6) -> list[Dataset]:
    """A series that lacks a slice."""
    series = fabricate.slices(count)
    del series[index]
    return series


def with_twin() -> list[Dataset]:
    """A series with two slices at one place."""
    series = fabricate.slices(6)
    series[3].ImagePositionPatient = series[2].ImagePositionPatient
    return series


def cut() -> list[Dataset]:
    """A series one of whose slices lacks pixels."""
    series = fabricate.slices(6)
    series[3].PixelData = series[3].PixelData[:-10]
    return series


@pytest.mark.parametrize(
    ("series", "error_class", "reason"),
    [
        (without(3), "GeometryError", "slices are missing"),
        (with_twin(), "GeometryError", "duplicated slices"),
        (cut(), "UnreadableError", "374 of 384 bytes; export the file again"),
    ],
    ids=["missing", "twin", "cut"],
)
def test_a_broken_series_fails_for_good_and_says_why_without_paths_or_patient(
    tmp_path: Path, rules: Rules, series: list[Dataset], error_class: str, reason: str
) -> None:
    outcome = derive_series(save(tmp_path, series), tmp_path / "derived", rules, silent)
    assert (outcome.ending, outcome.error_class) == (Ending.FAILED, error_class)
    assert reason in outcome.reason
    assert str(tmp_path) not in outcome.reason
    assert "SECRET" not in outcome.reason
    assert not (tmp_path / "derived").exists()


def of_two_kinds() -> list[Dataset]:
    """A series that is one even stack though every second slice has another ImageType."""
    series = fabricate.slices(8)
    for data in series[::2]:
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "OTHER"]
    return series


@pytest.mark.parametrize(
    ("option", "series", "counts"),
    [("irregular", without(4, 9), [8]), ("split_runs", without(4, 9), [4, 4]), ("merge", of_two_kinds(), [8])],
)
def test_options_of_a_rule_say_which_slices_are_a_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, series: list[Dataset], counts: list[int]
) -> None:
    def read(job: Job, on_progress: ProgressCallback) -> SimpleNamespace:
        assert isinstance(job.source, Path)
        assert isinstance(job.target, Path)
        shape = io.read_volume(job.source, job.with_local_files(job.source, job.target).read_options).shape
        return SimpleNamespace(axis="z", shape_before=shape, shape_after=shape, model="none", seconds=0.0)

    monkeypatch.setattr(derive, "run_job", read)
    rules = Rules((Rule("thick", "CT", settings=make_settings({"factor": 2, option: True})),))
    outcome = derive_series(save(tmp_path, series), tmp_path / "derived", rules, silent)
    assert outcome.ending is Ending.DONE, outcome
    assert outcome.summary == f'by rule "thick": {"; ".join(f"{n} -> {n} slices, model none, 0.0 s" for n in counts)}'


def of_two_orientations() -> list[Dataset]:
    """A series of an even axial stack and a coronal one, twice as coarse, that lacks a slice."""
    axial, coronal = fabricate.slices(6), without(4, 9)
    for index, data in enumerate(coronal):
        data.SeriesInstanceUID, data.StudyInstanceUID = axial[0].SeriesInstanceUID, axial[0].StudyInstanceUID
        data.FrameOfReferenceUID, data.SOPInstanceUID = axial[0].FrameOfReferenceUID, f"{data.SOPInstanceUID}.7"
        data.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
        data.ImagePositionPatient = [0, 10.0 * (index if index < 4 else index + 1), 0]
    return [*axial, *coronal]


@pytest.mark.parametrize(
    ("first", "second", "jobs"),
    [
        ({"factor": 3}, {"factor": 2, "irregular": True}, None),
        ({"factor": 3, "irregular": True}, {"factor": 2}, [(True, 3), (False, 2)]),
    ],
    ids=["uneven is not allowed", "uneven is allowed"],
)
def test_a_rule_reads_slices_by_its_own_options_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: dict[str, object],
    second: dict[str, object],
    jobs: list[tuple[bool, int]] | None,
) -> None:
    done = dict[str, tuple[bool, int | None]]()

    def note(job: Job, on_progress: ProgressCallback) -> SimpleNamespace:
        done[str(job.target)] = (job.settings.irregular, job.settings.grid.factor)
        return SimpleNamespace(axis="z", shape_before=(1, 1, 5), shape_after=(1, 1, 9), model="none", seconds=0.0)

    monkeypatch.setattr(derive, "run_job", note)
    coarse = Rule("coarse", "CT", least_spacing_mm=8.0, settings=make_settings(first))
    rules = Rules((coarse, Rule("fine", "CT", settings=make_settings(second))))
    outcome = derive_series(save(tmp_path, of_two_orientations()), tmp_path / "derived", rules, silent)
    if jobs is None:
        assert (outcome.ending, outcome.error_class) == (Ending.FAILED, "GeometryError")
        assert "missing" in outcome.reason
    else:
        assert outcome.ending is Ending.DONE, outcome
        assert sorted(done.values(), reverse=True) == jobs


def report() -> list[Dataset]:
    """A structured report."""
    return fabricate.changed(fabricate.slices(1), lambda _, data: setattr(data, "SOPClassUID", uid.BasicTextSRStorage))


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        (fabricate.slices(4, modality="MR"), "is not CT"),
        (fabricate.slices(4, step=(0, 0, 1.0)), "slices every 1 mm"),
        (fabricate.slices(1), "single slice"),
        (report(), "no CT, MR or PET slices"),
    ],
    ids=["MR", "thin", "single", "report"],
)
def test_what_the_rules_do_not_match_is_skipped(
    tmp_path: Path, rules: Rules, series: list[Dataset], reason: str
) -> None:
    outcome = derive_series(save(tmp_path, series), tmp_path / "derived", rules, silent)
    assert (outcome.ending, outcome.error_class) == (Ending.SKIPPED, "")
    assert reason in outcome.reason
    assert "SECRET" not in outcome.reason


def test_what_a_node_derived_is_not_derived_again(tmp_path: Path, rules: Rules) -> None:
    derive_series(save(tmp_path, fabricate.slices(4)), tmp_path / "derived", rules, silent)
    again = derive_series(tmp_path / "derived" / "1", tmp_path / "twice", rules, silent)
    assert (again.ending, again.reason) == (Ending.SKIPPED, "it is a derived image")


def test_a_failure_that_may_pass_is_told_from_one_that_will_not(
    tmp_path: Path, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save(tmp_path, fabricate.slices(4))
    for error, ending in (
        (errors.OutputError("no space"), Ending.BROKEN_OFF),
        (errors.SourceChangedError("changed"), Ending.BROKEN_OFF),
        (MemoryError(), Ending.BROKEN_OFF),
        (OSError(28, "No space left on device"), Ending.NO_ROOM),
        (OSError(5, "Input/output error"), Ending.BROKEN_OFF),
        (ZeroDivisionError("SECRET"), Ending.BROKEN_OFF),
        (errors.UnreadableError("damaged"), Ending.FAILED),
        (errors.UsageError("spacing"), Ending.FAILED),
    ):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(derive, "run_job", fail)
        outcome = derive_series(source, tmp_path / "derived", rules, silent)
        assert outcome.ending is ending, error
        assert "SECRET" not in outcome.reason


@pytest.fixture
def stop() -> threading.Event:
    """Set to stop a worker."""
    return threading.Event()


def test_one_process_computes_many_series_and_another_takes_over_when_it_is_killed(
    tmp_path: Path, rules: Rules, stop: threading.Event
) -> None:
    source, worker = save(tmp_path, fabricate.slices(3)), Worker(rules, tmp_path / "lock", stop.is_set)
    try:
        assert worker.derive(source, tmp_path / "1").ending is Ending.DONE
        first = worker.pid
        assert worker.derive(source, tmp_path / "2").ending is Ending.DONE
        assert worker.pid == first
        assert first is not None
        psutil.Process(first).kill()
        killed = worker.derive(source, tmp_path / "3")
        assert (killed.ending, killed.error_class) == (Ending.BROKEN_OFF, "WorkerKilledError")
        assert "SIGKILL, perhaps for lack of memory" in killed.reason
        assert worker.derive(source, tmp_path / "4").ending is Ending.DONE
        assert worker.pid not in (first, None)
    finally:
        worker.close()


def test_a_stopped_node_gives_up_what_is_computed(tmp_path: Path, rules: Rules, stop: threading.Event) -> None:
    worker = Worker(rules, tmp_path / "lock", stop.is_set)
    stop.set()
    with pytest.raises(StoppedError):
        worker.derive(save(tmp_path, fabricate.slices(3)), tmp_path / "derived")
    assert worker.pid is None


def test_a_process_that_is_not_heard_of_is_killed(
    tmp_path: Path, rules: Rules, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "STALL_S", 0.3)  # less than it takes to start
    worker = Worker(rules, tmp_path / "lock", stop.is_set)
    outcome = worker.derive(save(tmp_path, fabricate.slices(3)), tmp_path / "derived")
    assert (outcome.ending, outcome.error_class, worker.pid) == (Ending.BROKEN_OFF, "WorkerKilledError", None)
