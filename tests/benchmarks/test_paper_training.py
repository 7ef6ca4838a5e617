"""How ``benchmarks/paper_tables.py`` trains: what it takes over, where it goes on, what it refuses."""

import json
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchmarks.paper_runs import write_network, write_scan

from saint_cli.cli.train import _make_schedule
from saint_cli.cli.train_options import TrainOptions, complete_options
from saint_cli.errors import UsageError
from saint_cli.options.fields import from_typed, list_options


@pytest.fixture
def paper() -> SimpleNamespace:
    """The modules ``paper_*`` of benchmarks/, by the rest of their names."""
    return SimpleNamespace(**{name: import_module(f"paper_{name}") for name in ("records", "systems", "training")})


class FakeTraining:
    """In place of ``saint train``: writes what that leaves.

    killed: the call that is cut off after its checkpoint; steps: that the first call takes, and times as many the
    others; found: the model file before each call.
    """

    def __init__(self, killed: int | None = None, steps: int = 7) -> None:
        self.calls, self.killed, self.steps, self.found = list[list[str]](), killed, steps, list[bytes]()

    def __call__(self, command: list[str]) -> SimpleNamespace:
        """As ``subprocess.run``."""
        self.calls.append(command)
        out = Path(command[command.index("-o") + 1])
        stage = command[command.index("--stage" if "--stage" in command else "--arch") + 1]
        assert ("--resume" in command) == (out / stage / "checkpoint.pt").is_file()
        (out / stage).mkdir(parents=True, exist_ok=True)
        (out / stage / "checkpoint.pt").touch()
        model = out / "model.safetensors"
        self.found.append(model.read_bytes() if model.is_file() else b"")
        if len(self.calls) == self.killed:
            raise KeyboardInterrupt
        (out / stage / "log.jsonl").write_text(json.dumps({"step": self.steps * len(self.calls), "seconds": 60}) + "\n")
        model.write_bytes(f"after {len(self.calls)}".encode())
        return SimpleNamespace(returncode=0)


Start = Callable[..., FakeTraining]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Replace ``saint train``."""

    def replace(killed: int | None = None, steps: int = 7) -> FakeTraining:
        fake = FakeTraining(killed, steps)
        monkeypatch.setattr(subprocess, "run", fake)
        return fake

    return replace


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with a training and a validation volume."""
    for seed, name in enumerate(("train", "val")):
        write_scan(tmp_path / name / "v.nii", seed)
    return tmp_path


def make_trainer(paper: SimpleNamespace, data: Path, minutes: float = 20.0, steps: int | None = None) -> object:
    """A trainer on those volumes."""
    budget = paper.training.Budget(minutes, 0.25, steps)
    return paper.training.Trainer.on(data / "train", data / "val", data / "runs", budget)


def test_what_is_trained_is_not_trained_again(paper: SimpleNamespace, data: Path, start: Start) -> None:
    network, fake = paper.systems.NETWORKS["rdn-x6"], start()
    before = make_trainer(paper, data).train(network)
    assert make_trainer(paper, data).train(network) == before
    assert len(fake.calls) == 1
    assert (before.steps, before.seconds) == ([7], [60.0])
    words = " ".join(fake.calls[0])
    assert "--arch rdn --factors 6 --width 0.25 --minutes 20" in words
    assert "--threads 1" in words


@pytest.mark.parametrize("killed", [1, 2])
def test_a_killed_run_goes_on_in_the_stage_where_it_was(
    paper: SimpleNamespace, data: Path, start: Start, killed: int
) -> None:
    network = paper.systems.NETWORKS["saint"]
    start(killed)
    with pytest.raises(KeyboardInterrupt):
        make_trainer(paper, data).train(network)
    assert paper.records.read_record(data / "runs" / "time" / "saint") is None
    fake = start()
    record = make_trainer(paper, data).train(network)
    assert len(fake.calls) == 3 - killed
    assert "--resume" in fake.calls[0]
    assert "--minutes 15" in " ".join(record.words[0])
    assert "--minutes 5" in " ".join(record.words[1])


def test_a_network_starts_from_the_first_stage_of_another(paper: SimpleNamespace, data: Path, start: Start) -> None:
    trainer, fake = make_trainer(paper, data), start()
    with pytest.raises(UsageError, match="train saint first"):
        trainer.train(paper.systems.NETWORKS["saint-rfn3d"])
    trainer.train(paper.systems.NETWORKS["saint"])
    trainer.train(paper.systems.NETWORKS["saint-rfn3d"])
    assert fake.found == [b"", b"after 1", b"after 1"]


def test_other_settings_and_other_volumes_are_refused(paper: SimpleNamespace, data: Path, start: Start) -> None:
    network = paper.systems.NETWORKS["meta-sr"]
    start()
    make_trainer(paper, data).train(network)
    with pytest.raises(UsageError, match=r"was trained with .*--minutes 20.*, not .*--minutes 30"):
        make_trainer(paper, data, minutes=30.0).train(network)
    write_scan(data / "train" / "v.nii", seed=5)
    with pytest.raises(UsageError, match="trained on other volumes"):
        make_trainer(paper, data).train(network)


def test_a_training_that_fails_leaves_no_record(
    paper: SimpleNamespace, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda command: SimpleNamespace(returncode=2))
    with pytest.raises(UsageError, match=r"exit code 2: train .*--arch meta-sr"):
        make_trainer(paper, data).train(paper.systems.NETWORKS["meta-sr"])
    assert not (data / "runs" / "time" / "meta-sr" / "record.json").exists()


def test_equal_steps_have_a_folder_of_their_own(paper: SimpleNamespace, data: Path, start: Start) -> None:
    fake = start()
    make_trainer(paper, data, steps=400).train(paper.systems.NETWORKS["saint-published"])
    assert [call[call.index("--steps") + 1] for call in fake.calls] == ["300", "100"]
    assert (data / "runs" / "steps" / "saint-published" / "record.json").is_file()


def test_equal_steps_are_those_of_the_network_that_took_the_fewest(paper: SimpleNamespace, tmp_path: Path) -> None:
    names = list(paper.systems.NETWORKS)
    for name in names[:-1]:
        write_network(tmp_path, "time", name)
    assert paper.training.count_fewest_steps(tmp_path) is None
    write_network(tmp_path, "time", names[-1])
    assert paper.training.count_fewest_steps(tmp_path) == 100


@pytest.mark.parametrize(("steps", "trainings"), [(1000, 1), (1049, 1), (1060, 2), (400, 2)])
def test_the_network_whose_steps_are_the_fewest_is_trained_once(
    paper: SimpleNamespace, data: Path, start: Start, steps: int, trainings: int
) -> None:
    network, fake = paper.systems.NETWORKS["mdcsrn-x4"], start(steps=1000)
    timed = make_trainer(paper, data).train(network)
    for _ in range(2):
        record = make_trainer(paper, data, steps=steps).train(network)
    assert len(fake.calls) == trainings
    assert (record == timed) == (trainings == 1)
    assert paper.records.hash_file(data / "runs" / "steps" / "mdcsrn-x4" / "model.safetensors") == record.weights_sha256


def test_hashes_depend_on_contents_not_on_folders(paper: SimpleNamespace, data: Path, tmp_path: Path) -> None:
    write_scan(tmp_path / "elsewhere" / "w.nii", 0)
    (tmp_path / "list.txt").write_text("# one\nelsewhere\n")
    places = (data / "train", tmp_path / "elsewhere", tmp_path / "list.txt")
    first, *others = [paper.records.hash_data(place) for place in places]
    assert others == [first, first]
    assert paper.records.hash_data(data / "val") != first


def test_volumes_that_were_trained_on_are_not_scored(paper: SimpleNamespace, data: Path, start: Start) -> None:
    start()
    make_trainer(paper, data).train(paper.systems.NETWORKS["meta-sr"])
    paper.training.require_unseen(data / "runs", {"v.nii": data / "val" / "v.nii"})
    with pytest.raises(UsageError, match=r"copy.nii was trained on \(meta-sr\)"):
        paper.training.require_unseen(data / "runs", {"copy.nii": data / "train" / "v.nii"})


@pytest.mark.parametrize("steps", [None, 40])
def test_saint_train_takes_every_option_that_it_is_called_with(
    steps: int | None, paper: SimpleNamespace, tmp_path: Path
) -> None:
    known = {option.flag: option for option in list_options(TrainOptions)}
    for stage in (stage for network in paper.systems.NETWORKS.values() for stage in network.stages):
        words = paper.training.Budget(20.0, 0.25, steps).list_words(stage)
        pairs = zip((known[flag] for flag in words[::2]), words[1::2], strict=True)
        options = complete_options(from_typed(TrainOptions, {one.name: one.type(word) for one, word in pairs}))
        assert _make_schedule(options, tmp_path).steps == (steps and max(1, round(stage.share * steps)))
