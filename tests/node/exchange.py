"""A source, ``saint serve`` in its own process, and an archive: series go through, and the node is killed meanwhile.

The tests send a few series with pynetdicom or Orthanc; ``benchmarks/node.py`` sends a hundred.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import fabricate
import psutil
from node import archives
from pydicom import dcmread, uid
from pydicom.dataset import Dataset

import saint_cli
from saint_cli.node.forward import NodeDestination

SLICES, FACTOR = 8, 2

DERIVED = (SLICES - 1) * FACTOR + 1
"""Instances of a derived series."""

BROKEN = ("missing slice", "duplicate position", "truncated pixels")

RULES = f"""
[[rule]]
name = "thick CT"
match = {{ modality = "CT", least_spacing = 3.0 }}
options = {{ model = "MODEL", factor = {FACTOR} }}
"""

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(saint_cli.__file__).parents[1])}

OPEN_STATES = ("receiving", "ready", "working", "done", "sending")

Studies = dict[str, list[int]]
"""By StudyInstanceUID: how many instances each series has."""


def make_uid(*names: object) -> str:
    """The same UID for the same names."""
    return str(uid.generate_uid(entropy_srcs=[str(name) for name in names]))


def study_of(number: int) -> str:
    """StudyInstanceUID of a series made here, the only one of its study."""
    return make_uid("study", number)


def make_series(number: int, kind: str = "good") -> list[Dataset]:
    """A CT series of a patient and a study of its own, 5 mm apart; ``kind`` names what is wrong with it."""
    series = fabricate.slices(SLICES, shape=(32, 32))
    for index, data in enumerate(series):
        data.StudyInstanceUID, data.SeriesInstanceUID = study_of(number), make_uid("series", number)
        data.FrameOfReferenceUID = make_uid("frame", number)
        data.SOPInstanceUID = make_uid("instance", number, index)
        data.PatientID = f"SECRET-{number}"
    match kind:
        case "missing slice":
            del series[3]
        case "duplicate position":
            series[4].ImagePositionPatient = series[3].ImagePositionPatient
        case "truncated pixels":
            series[2].PixelData = series[2].PixelData[: len(series[2].PixelData) // 2]
    return series


def save_all(folder: Path, kinds: Sequence[str]) -> list[list[Path]]:
    """A series of each of these kinds in a folder of its own; the files of each."""
    saved = [fabricate.save(make_series(i, kind), folder / f"{i:04d}") for i, kind in enumerate(kinds)]
    return [sorted(place.iterdir()) for place in saved]


def expected_studies(kinds: Sequence[str]) -> Studies:
    """What the archive holds in the end: one derived series for each good one."""
    return {study_of(number): [DERIVED] for number, kind in enumerate(kinds) if kind == "good"}


def collect_studies(instances: Sequence[Dataset]) -> Studies:
    """What an archive holds that keeps these instances."""
    counts = Counter((str(data.StudyInstanceUID), str(data.SeriesInstanceUID)) for data in instances)
    return {study: sorted(n for (of, _), n in counts.items() if of == study) for study, _ in counts}


def ask_studies(orthanc: archives.Orthanc) -> Studies:
    """What an Orthanc holds."""
    held = orthanc.ask("/series?expand")  # first: the study of each is there when it is asked for
    names = {entry["ID"]: entry["MainDicomTags"]["StudyInstanceUID"] for entry in orthanc.ask("/studies?expand")}
    studies: Studies = {name: [] for name in names.values()}
    for series in held:
        studies[names[series["ParentStudy"]]].append(len(series["Instances"]))
    return {name: sorted(counts) for name, counts in studies.items()}


@dataclass
class ServeProcess:
    """``saint serve`` in a folder: its arguments, the port of its DICOM node, that of its health page."""

    folder: Path
    forward: str
    model: str = "fast"
    extra: tuple[str, ...] = ()
    port: int = field(default_factory=archives.free_port)
    health_port: int = field(default_factory=archives.free_port)
    quiet_s: float = 1.0
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def out(self) -> Path:
        """The folder of the queue."""
        return self.folder / "queue"

    @property
    def log(self) -> str:
        """What it said so far, all processes together."""
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> "ServeProcess":
        """Start it, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "rules.toml").write_text(RULES.replace("MODEL", self.model))
        command = [sys.executable, "-m", "saint_cli", "serve", "--aet", "SAINT", "--port", str(self.port)]
        command += ["--forward", self.forward, "--out", str(self.out), "--rules", str(self.folder / "rules.toml")]
        command += ["--quiet", str(self.quiet_s), "--health", str(self.health_port), *self.extra]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=ENVIRONMENT)
        self.process = process
        try:
            archives.wait_until(lambda: process.poll() is not None or self._is_up(), 120)
        except TimeoutError:
            self.kill()
        assert process.poll() is None, self.log
        return self

    def _is_up(self) -> bool:
        return bool(self.read_health()) and archives.connect("127.0.0.1", self.port)

    def kill(self) -> None:
        """End it by SIGKILL, and wait until the processes that it started are gone too."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)
        left = psutil.wait_procs(children, 60)[1]
        assert not left, f"{len(left)} processes outlive the node"

    def stop(self) -> int:
        """End it by SIGTERM; its exit code."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def __enter__(self) -> "ServeProcess":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def read_health(self) -> dict[str, Any]:
        """The health page, whatever its status."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"http://127.0.0.1:{self.health_port}/health", timeout=10) as answer:
                return dict(json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                return dict(json.loads(error.read()))

    def is_idle(self) -> bool:
        """Whether it has series, and nothing to do with any of them."""
        states = self.read_health()["queue"]
        return sum(states.values()) > 0 and not any(states[name] for name in OPEN_STATES)

    def instances_on_disk(self) -> Counter[str]:
        """SOPInstanceUIDs of the whole received instances in the folder of the queue."""
        files = [file for file in (self.out / "series").glob("*/instances/*") if file.is_file()]
        return Counter(str(dcmread(file).SOPInstanceUID) for file in files)

    def send(self, files: Sequence[Path], caller: str = "SOURCE", title: str = "SAINT") -> "Sent":
        """Send files once; what was acknowledged, and what was not."""
        failed = NodeDestination(title, "127.0.0.1", self.port, caller).send(files)
        return Sent({str(dcmread(file).SOPInstanceUID) for file in files if file not in failed}, failed)


@dataclass(frozen=True)
class Sent:
    """SOPInstanceUIDs that were acknowledged; the files that were not, each with the reason."""

    acknowledged: set[str]
    failed: dict[Path, str]


class Source(Protocol):
    """Something that holds series and sends them."""

    def send_once(self, number: int) -> bool:
        """Send a series to the node; whether every instance was acknowledged."""


@dataclass(frozen=True)
class FileSource:
    """Files that are sent with pynetdicom."""

    node: ServeProcess
    series: Sequence[Sequence[Path]]

    def send_once(self, number: int) -> bool:
        """Send a series; whether every instance was acknowledged."""
        return not self.node.send(self.series[number]).failed


@dataclass(frozen=True)
class OrthancSource:
    """An Orthanc that knows the node as ``saint``, and its identifiers of the series."""

    orthanc: archives.Orthanc
    series: Sequence[str]

    @classmethod
    def fill(cls, orthanc: archives.Orthanc, series: Sequence[Sequence[Path]]) -> "OrthancSource":
        """Upload the files of series."""
        answers = [[orthanc.ask("/instances", file.read_bytes()) for file in files] for files in series]
        return cls(orthanc, [of_series[0]["ParentSeries"] for of_series in answers])

    def send_once(self, number: int) -> bool:
        """Send a series, and ask for storage commitment; whether every instance was acknowledged, and committed."""
        job = {"Resources": [self.series[number]], "Synchronous": True, "StorageCommitment": True}
        try:
            answer = self.orthanc.ask("/modalities/saint/store", job)
        except urllib.error.HTTPError as error:
            error.close()
            return False
        return answer["FailedInstancesCount"] == 0 and self._is_committed(answer["StorageCommitmentTransactionUID"])

    def _is_committed(self, transaction: str) -> bool:
        """Whether the node says within seconds that it has what it was sent in this transaction."""
        with suppress(TimeoutError):
            archives.wait_until(lambda: self._ask_status(transaction) != "Pending", 20)
        return self._ask_status(transaction) == "Success"

    def _ask_status(self, transaction: str) -> str:
        return str(self.orthanc.ask(f"/storage-commitment/{transaction}")["Status"])


def source_settings(port: int) -> dict[str, Any]:
    """Settings of an Orthanc that sends to the node at this port."""
    return {"DicomModalities": {"saint": ["SAINT", "127.0.0.1", port]}}


def send_all(source: Source, numbers: Sequence[int], on_sent: Callable[[int], None] = lambda _: None) -> int:
    """Send each series until it was acknowledged, as the queue of an archive does; how often it was tried again.

    on_sent: called with how many were, after each one.
    """
    repeats = 0
    for done, number in enumerate(numbers, 1):
        end = time.monotonic() + 120
        while not source.send_once(number):
            if time.monotonic() > end:
                raise TimeoutError(f"series {number} is not acknowledged")
            repeats += 1
            time.sleep(0.5)
        on_sent(done)
    return repeats


def find_failed(node: ServeProcess) -> set[str]:
    """SeriesInstanceUIDs of the series that failed, by the node's database."""
    with closing(sqlite3.connect(node.out / "queue.sqlite")) as database:
        return {uid for (uid,) in database.execute("SELECT uid FROM series WHERE state = 'failed'")}
