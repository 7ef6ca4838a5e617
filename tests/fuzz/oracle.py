"""Whether saint's outcome of a case is allowed: a result that is right, or one SaintError."""

import contextlib
import gc
import os
import re
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from fuzz.results import NotAllowed, check_result, check_volume, unpacked
from fuzz.sample import CANARY, OUTSIDE, Sample
from make_jobs import change_job, make_job
from typer.testing import CliRunner

from saint_cli.errors import SaintError
from saint_cli.io import describe, read_volume
from saint_cli.jobs import GridRequest, ModelConfig, run_job
from saint_cli.progress import silent
from saint_cli.volume import Volume

READ, REFUSED, UNFORESEEN = "read", "refused", "unforeseen"
"""The outcomes that are allowed; the word of any other names what is wrong.

Unforeseen: an unexpected exception that was turned into one line with a request to report it.
"""

SCARCE = re.compile(r"not enough memory|MemoryError")
"""In messages about more memory than a case may take."""

PLEA, WARNED = "please report", re.compile(r"\(\w*Warning in ")
"""In messages about unexpected exceptions, and about warnings, which are errors only here."""

MOST_VOXELS = 20_000
"""Larger volumes, as a header may claim of a small file, are read but not upsampled."""

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")

LONGEST_MESSAGE = 3000
"""Characters beyond the paths in it."""


@dataclass(frozen=True)
class Outcome:
    """How a case ended; ``detail`` is the message of a refusal or what is wrong, ``trace`` its traceback."""

    word: str
    detail: str = ""
    trace: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether this is neither a result nor a refusal."""
        return self.word not in (READ, REFUSED, UNFORESEEN)


def check_case(kind: str, sample: Sample, folder: Path, number: int, model_config: ModelConfig) -> Outcome:
    """Write a sample into an empty folder, give it to saint, and check the outcome and what is left.

    number: of the case; chooses among formats of the result.

    Raises:
        Exception: whatever saint raised that is no SaintError; NotAllowed where it broke a promise.
    """
    work = folder / "work"
    work.mkdir()
    (folder / "outside.raw").write_bytes(OUTSIDE.encode() * 600)
    path = sample.write(work)
    before = _listing(work)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            CHECKS.get(kind, _check_scan)(path, folder / "out", number, model_config)
            outcome = Outcome(READ)
        except SaintError as error:
            _check_text(str(error), folder, lines=1)
            outcome = Outcome(UNFORESEEN if PLEA in str(error) else REFUSED, str(error))
            if SCARCE.search(str(error)):
                raise NotAllowed("memory", str(error)) from None
            if WARNED.search(str(error)):
                raise NotAllowed("warning", str(error)) from None
    if kind not in ("records",) and _listing(work) != before:
        raise NotAllowed("left", f"the input's folder changed: {sorted(set(_listing(work)) ^ set(before))[:5]}")
    if outcome.word != READ and (folder / "out").exists() and any((folder / "out").rglob("*")):
        raise NotAllowed("left", f"something is left of a result: {[*(folder / 'out').rglob('*')][:5]}")
    return outcome


def _listing(folder: Path) -> list[tuple[str, int, int]]:
    """Every entry below a folder with its size and time of change; folders by their names alone."""
    found, waiting = [], [os.fspath(folder)]
    while waiting:  # os.walk is recursive, and folders may be nested a thousand deep
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    found.append((entry.path, 0, 0))
                else:
                    status = entry.stat(follow_symlinks=False)
                    found.append((entry.path, status.st_size, status.st_mtime_ns))
    return sorted(found)


def _check_text(text: str, folder: Path, *, lines: int | None = None) -> None:
    """That a message is a plain line without patient text, and no traceback."""
    if CANARY in text:
        raise NotAllowed("patient text", text[:500])
    if "Traceback (most recent call last)" in text:
        raise NotAllowed("traceback", text[-1500:])
    plain = text.replace(str(folder), "")
    if lines is not None and len(plain.splitlines()) > lines and "\n" not in _names(folder):
        raise NotAllowed("message", f"of several lines: {plain[:500]!r}")
    if lines is not None and not plain.strip():
        raise NotAllowed("message", "empty")
    if len(plain) > LONGEST_MESSAGE and lines is not None:
        raise NotAllowed("message", f"of {len(plain)} characters: {plain[:300]!r}")
    odd = [c for c in plain if not c.isprintable() and c not in "\n\t " and c not in _names(folder)]
    if odd and lines is not None:
        raise NotAllowed("message", f"with characters that move a terminal's cursor: {plain[:300]!r}")


def _names(folder: Path) -> str:
    """All letters of the names in a folder, which a message may repeat."""
    return "".join(path for path, _, _ in _listing(folder))


def _check_scan(path: Path, out: Path, number: int, model_config: ModelConfig) -> None:
    """Describe, read and upsample a scan; of several in a folder, the first that is sound."""
    refusal: SaintError | None = None
    options: dict[str, Any] = {}
    try:
        description = describe(path)
        _check_text(repr(description), path.parent)
        sound = [stack for stack in description.stacks if stack.problem is None]
        if len(description.stacks) > 1 and sound and sound[0].format == "DICOM":
            options["series"] = str(sound[0].number)
        if description.stacks and description.stacks[0].volumes > 1:
            options["volume"] = 1
    except SaintError as error:
        refusal = error
    volume = read_volume(path, **options)
    if refusal is not None:
        raise NotAllowed("contradiction", f"describe refuses what read_volume reads: {refusal}")
    check_volume(volume)
    is_dicom = volume.header.source_format == "DICOM"
    if volume.voxels.size <= MOST_VOXELS and not (is_dicom and number % 2):  # which take longer
        upsample(path, volume, out, number, model_config, **options)


def upsample(path: Path, source: Volume, out: Path, number: int, model_config: ModelConfig, **options: Any) -> None:
    """Run the whole job and compare its result with the source.

    Raises:
        SaintError: as ``run_job``.
    """
    out.mkdir(exist_ok=True)
    is_dicom = source.header.source_format == "DICOM"
    target = out / ("series" if is_dicom and number % 6 == 0 else f"result{ENDINGS[number % len(ENDINGS)]}")
    grid = GridRequest(factor=2 + number % 2, axis=None if number % 4 else 2)
    job = make_job(path, target, grid, model_config, refuse_labels=number % 2 == 0, **options)
    if number % 8 == 1:
        job = change_job(job, modality="CT")
    done = run_job(job, silent)
    _check_text(repr(done), path.parent)
    check_result(source, _reread(target), job)
    is_voxels = CANARY.encode() in source.voxels.tobytes(order="F")  # a copy of the header may be among them
    if not target.is_dir() and not is_voxels and CANARY.encode() in unpacked(target):
        raise NotAllowed("patient text", f"in {target.name}")
    if left := [entry for entry in out.iterdir() if entry != target]:
        raise NotAllowed("left", f"beside the result: {left}")


def _reread(target: Path) -> Volume:
    """A result as saint reads it."""
    try:
        return read_volume(target)
    except SaintError as error:
        raise NotAllowed("wrong", f"the result cannot be read: {error}") from error


def _check_weights(path: Path, out: Path, number: int, model_config: ModelConfig) -> None:
    """Load a weights file and let it upsample a sound scan."""
    from nets import tiny

    from saint_cli.io import write_volume
    from saint_cli.models import weights

    weights.load_model(str(path))
    scan = path.parent.parent / "scan.nii"
    volume = tiny.volume((9, 8, 4))
    write_volume(volume, scan)
    upsample(scan, read_volume(scan), out, number, replace(model_config, model=str(path)))


def _run(*arguments: object, folder: Path) -> None:
    """Run the command line in this process.

    Raises:
        Exception: what no exit code stands for.
    """
    from saint_cli.cli.app import app

    result = CliRunner().invoke(app, [os.fspath(a) if isinstance(a, Path) else str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    _check_text(result.output, folder.parent)
    if "\x1b" in result.output:
        raise NotAllowed("message", f"escape sequences are printed: {result.output[:300]!r}")
    if result.exit_code not in (0, 2, 3, 4, 5, 8):
        raise NotAllowed("exit code", f"{result.exit_code}: {result.output[-500:]}")


def _check_table(path: Path, out: Path, number: int, model_config: ModelConfig) -> None:
    _run("batch", path, out, "--dry-run", "-m", "fast", "--threads", "1", folder=path.parent)


def _check_run_records(path: Path, out: Path, number: int, model_config: ModelConfig) -> None:
    """A batch whose only input cannot be read reports what the records of earlier runs say."""
    home = path.parent / "out"
    _run("batch", path, home, "--dry-run", *(("--json",) if number % 2 else ()), folder=path.parent)
    for _ in range(2):
        _run("batch", path, home, "-m", "fast", "--factor", "2", folder=path.parent)


def _check_folder(path: Path, out: Path, number: int, model_config: ModelConfig) -> None:
    _run("info", path, *(("--json",) if number % 2 else ()), folder=path)
    _run("batch", path, out, "--dry-run", *(("--json",) if number % 3 == 0 else ()), folder=path)


def _misbehave(path: Path, out: Path, number: int, model_config: ModelConfig) -> None:
    """Misbehave as the file says, to show that the oracle notices."""
    word = path.read_text()
    if word == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif word in ("time", "deaf"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM] if word == "deaf" else [])
        time.sleep(600)
    elif word == "memory":
        np.ones(1 << 28)
    elif word == "output":
        os.write(2, b"a library speaks")
    elif word == "warning":
        warnings.warn("odd", RuntimeWarning, stacklevel=1)
    elif word == "left":
        out.mkdir()
        (out / "partial").touch()
    elif word == "exception":
        raise KeyError(word)
    raise SaintError(CANARY if word == "patient text" else "two\nlines" if word == "message" else "refused")


CHECKS: dict[str, Callable[[Path, Path, int, ModelConfig], None]] = {
    "weights": _check_weights,
    "table": _check_table,
    "records": _check_run_records,
    "folder": _check_folder,
    "misbehaviour": _misbehave,
}


@contextlib.contextmanager
def clean_temporary_folder(folder: Path) -> Iterator[None]:
    """Nothing may be left in the folder for temporary files once nobody holds a volume any more."""
    yield
    if any(folder.iterdir()):
        gc.collect()
        left = [entry.name for entry in folder.iterdir()]
        if left:
            raise NotAllowed("left", f"temporary files: {left[:5]}")
