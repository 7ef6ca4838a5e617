import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from training.folders import write_volume
from training.tiny_runs import AMI, RFN, run_stage, start

from saint_cli.errors import UsageError, WeightsError
from saint_cli.training.journal import write_json
from saint_cli.training.loop import CHECKPOINT, Schedule
from saint_cli.training.run import DATA, MODEL, VOLUMES, TrainingPaths, train
from saint_cli.training.settings import ADDED_SETTINGS, SETTINGS, require_same_settings

pytestmark = pytest.mark.usefixtures("tiny_networks")


def test_what_a_run_is_made_of_stays_whole_where_the_disk_is_full_when_it_is_resumed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run_stage(AMI, data, tmp_path, stop=2)
    before = {file.name: file.read_bytes() for file in (tmp_path / "ami").iterdir() if file.is_file()}
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        run_stage(replace(AMI, schedule=replace(AMI.schedule, steps=6)), data, tmp_path, resume=True)
    assert {file.name: file.read_bytes() for file in (tmp_path / "ami").iterdir() if file.is_file()} == before
    assert {SETTINGS, DATA, "schedule.json"} < before.keys()


def test_fewer_minutes_than_were_used_are_refused_and_the_runs_own_are_not(data: Path, tmp_path: Path) -> None:
    schedule = Schedule(None, minutes=0.001, warmup=1)
    done = run_stage(replace(AMI, schedule=schedule), data, tmp_path)
    assert done[-1].seconds > 0.06
    assert run_stage(replace(AMI, schedule=schedule), data, tmp_path, resume=True) == []
    with pytest.raises(UsageError, match=r"more than --minutes 0\.0005"):
        run_stage(replace(AMI, schedule=replace(schedule, minutes=0.0005)), data, tmp_path, resume=True)


def test_an_existing_run_is_refused_without_resume(data: Path, tmp_path: Path) -> None:
    run_stage(AMI, data, tmp_path)
    before = (tmp_path / "ami" / CHECKPOINT).read_bytes(), (tmp_path / MODEL).read_bytes()
    with pytest.raises(UsageError, match="--resume"):
        run_stage(AMI, data, tmp_path)
    assert before == ((tmp_path / "ami" / CHECKPOINT).read_bytes(), (tmp_path / MODEL).read_bytes())


def test_resuming_what_never_began_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no checkpoint to resume"):
        run_stage(AMI, data, tmp_path / "new", resume=True)
    assert not (tmp_path / "new").exists()


def test_the_fusion_stage_without_an_ami_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="train the AMI stage"):
        run_stage(RFN, data, tmp_path)


def test_a_run_that_never_began_leaves_no_copies_of_volumes(data: Path, tmp_path: Path) -> None:
    paths = TrainingPaths(data / "train", data / "val", tmp_path / "run")
    with pytest.raises(WeightsError, match="train the AMI stage"):
        list(train(RFN, paths, resume=False, on_progress=lambda *_: None))
    assert not paths.out.exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_run_that_is_stopped_while_volumes_are_copied_leaves_no_copies(
    stop: type[BaseException], data: Path, tmp_path: Path
) -> None:
    def stop_after_the_first(stage: str, done: int, total: int) -> None:
        assert list((paths.out / VOLUMES).iterdir())
        raise stop

    paths = TrainingPaths(data / "train", data / "val", tmp_path / "run")
    with pytest.raises(stop):
        list(train(AMI, paths, resume=False, on_progress=stop_after_the_first))
    assert not paths.out.exists()


def test_copies_of_a_run_that_began_stay_whatever_fails(data: Path, tmp_path: Path) -> None:
    paths = TrainingPaths(data / "train", data / "val", tmp_path / "run")
    run = train(AMI, paths, resume=False, on_progress=lambda *_: None)
    next(run)
    copies = sorted((paths.out / VOLUMES).iterdir())
    assert copies
    with pytest.raises(OSError, match="No space left"):
        run.throw(OSError(errno.ENOSPC, "No space left on device"))
    (paths.out / MODEL).unlink(missing_ok=True)
    with pytest.raises(WeightsError, match="train the AMI stage"):
        list(train(RFN, paths, resume=False, on_progress=lambda *_: None))
    assert sorted((paths.out / VOLUMES).iterdir()) == copies


def test_a_folder_without_volumes_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    none = TrainingPaths(tmp_path / "none", data / "val", tmp_path / "out")
    with pytest.raises(UsageError, match="holds no volume"):
        list(train(AMI, none, resume=False, on_progress=lambda *_: None))


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Fail instead of running for ever."""

    def stop(*_: object) -> None:
        pytest.fail(f"still busy after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="no alarm on this system")
@pytest.mark.parametrize(("stage", "which"), [("ami", "train"), ("rfn", "train"), ("rfn", "val")])
def test_volumes_with_too_few_slices_are_refused(stage: str, which: str, data: Path, tmp_path: Path) -> None:
    if stage == "rfn":
        run_stage(AMI, data, tmp_path)
    folders = {"train": data / "train", "val": data / "val", which: tmp_path / "short"}
    write_volume(folders[which] / "v.nii", (26, 25, 4))  # factor 2 needs 5
    settings = replace(AMI, stage=stage, augment=False)  # patches are never turned sideways
    short = TrainingPaths(folders["train"], folders["val"], tmp_path)
    with at_most(5), pytest.raises(UsageError, match="slices"):
        list(train(settings, short, resume=False, on_progress=lambda *_: None))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"init": "medium"}, "begun without --init, not with --init medium; resume"),
        ({"slabs": True}, "begun without --slab, not with --slab;"),
        ({"augment": False}, "begun without --no-augment, not with --no-augment;"),
        ({"fewest": 2}, "begun with --rfn-fewest 1, not with --rfn-fewest 2"),
        ({"modality": "mr"}, "begun with --modality ct, not with --modality mr;"),
    ],
)
def test_a_run_that_is_resumed_with_other_settings_is_told_the_options(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    write_json(asdict(AMI), tmp_path / SETTINGS)
    require_same_settings(AMI, tmp_path / SETTINGS)
    with pytest.raises(UsageError, match=said):
        require_same_settings(replace(AMI, **changes), tmp_path / SETTINGS)


def test_a_run_that_was_begun_before_some_settings_existed_had_their_defaults(tmp_path: Path) -> None:
    known = {name: value for name, value in asdict(AMI).items() if name not in ADDED_SETTINGS}
    write_json(known, tmp_path / SETTINGS)
    require_same_settings(AMI, tmp_path / SETTINGS)
    with pytest.raises(UsageError, match="begun with --modality ct, not with --modality mr;"):
        require_same_settings(replace(AMI, modality="mr"), tmp_path / SETTINGS)


def test_a_run_is_not_resumed_on_other_volumes_or_from_other_weights(data: Path, tmp_path: Path) -> None:
    first = start(data, tmp_path)
    settings = replace(AMI, init=str(first))
    run_stage(settings, data, tmp_path / "run", stop=2)
    write_volume(tmp_path / "other" / "w.nii", (27, 25, 20))
    elsewhere = TrainingPaths(tmp_path / "other", data / "val", tmp_path / "run", tmp_path / "cache")
    with pytest.raises(UsageError, match="other train volumes"):
        list(train(settings, elsewhere, resume=True, on_progress=lambda *_: None))
    run_stage(replace(AMI, seed=4), data, tmp_path / "second")
    first.write_bytes((tmp_path / "second" / MODEL).read_bytes())
    with pytest.raises(UsageError, match="other --init"):
        run_stage(settings, data, tmp_path / "run", resume=True)
