"""A process that runs cases one after another and reports each: what a case breaks, it breaks here.

    python -m fuzz.worker FOLDER MEMORY_BYTES SECONDS

Requests come as lines of JSON on stdin, one for each case; answers go as lines on stdout.
"""

import contextlib
import faulthandler
import gc
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, TextIO

from fuzz import cases, records
from fuzz.oracle import Outcome, check_case, clean_temporary_folder
from fuzz.results import NotAllowed
from fuzz.sample import CANARY, Sample

from saint_cli.jobs import ModelConfig

SHOWN = 4000
"""Characters of a traceback that are kept: its end."""


class TooLong(BaseException):
    """The alarm of a case."""


def main() -> None:
    """Warm up, then answer requests until stdin ends."""
    folder, memory, seconds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    log = _redirect(folder / "log")
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder / "tmp")
    (folder / "tmp").mkdir()
    model_config = _tiny_model_config(folder)
    _warm_up(folder, model_config)
    signal.signal(signal.SIGALRM, _ring)
    limit = _virtual_bytes() + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        sample, outcome = _run_case(request, folder, model_config, seconds, log)
        answer: dict[str, Any] = {"word": outcome.word, "detail": outcome.detail, "trace": outcome.trace}
        if outcome.is_failure and sample is not None:
            answer["sample"] = sample.to_json()
        print(json.dumps(answer), file=answers)


def _redirect(path: Path) -> TextIO:
    """Send what is written on stdout and stderr, by whomever, into a file that is read after each case."""
    log = path.open("w+", errors="surrogateescape")
    faulthandler.enable(path.with_name("crash").open("w"))
    for descriptor in (1, 2):
        os.dup2(log.fileno(), descriptor)
    return log


def _tiny_model_config(folder: Path) -> ModelConfig:
    path = folder / "tiny.safetensors"
    path.write_bytes(records.tiny_weights())
    return ModelConfig(str(path), "cpu", "fp32", 4, 1)


def _warm_up(folder: Path, model_config: ModelConfig) -> None:
    """Import what cases import, and let pools and caches be made, before memory is limited."""
    scan = Sample("a.nii", {"a.nii": records.sound_scan()})
    for kind, sample in (("nifti", scan), ("packed", cases.make("packed", "warm up", 0)), ("folder", scan)):
        for number in range(4):  # chooses formats
            with contextlib.suppress(Exception):
                _in_folder(folder, kind, sample, number, model_config)
    gc.collect()
    gc.freeze()


def _run_case(
    request: dict[str, Any], folder: Path, model_config: ModelConfig, seconds: int, log: TextIO
) -> tuple[Sample | None, Outcome]:
    kind, number = request["kind"], request["number"]
    sample = None
    try:
        stored = request.get("sample")
        sample = Sample.from_json(stored) if stored else cases.make(kind, request["seed"], number)
        signal.alarm(seconds)
        outcome = _in_folder(folder, kind, sample, number, model_config)
    except NotAllowed as error:
        outcome = Outcome(str(error.args[0]), str(error.args[-1]), _trace(error))
    except TooLong as error:
        outcome = Outcome("time", f"more than {seconds} s", _trace(error))
    except MemoryError as error:
        outcome = Outcome("memory", str(error), _trace(error))
    except Warning as error:
        outcome = Outcome("warning", f"{type(error).__name__}: {error}", _trace(error))
    except BaseException as error:
        outcome = Outcome("exception", f"{type(error).__name__}: {error}"[:300], _trace(error))
    finally:
        signal.alarm(0)
    written = _written(log)
    if not outcome.is_failure and written:
        word = "patient text" if CANARY in written else "output"
        outcome = Outcome(word, written[:1000])
    return sample, outcome


def _in_folder(folder: Path, kind: str, sample: Sample, number: int, model_config: ModelConfig) -> Outcome:
    place = folder / "case"
    place.mkdir()
    try:
        with clean_temporary_folder(folder / "tmp"):
            return check_case(kind, sample, place, number, model_config)
    finally:
        _remove(place)
        for entry in (folder / "tmp").iterdir():
            shutil.rmtree(entry, ignore_errors=True)


def _remove(place: Path) -> None:
    """Remove a folder, however deep."""
    with contextlib.suppress(RecursionError):
        shutil.rmtree(place, ignore_errors=True)
    if place.exists():
        subprocess.run(["rm", "-rf", place], check=True)


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-SHOWN:]


def _ring(number: int, frame: object) -> None:
    raise TooLong


def _written(log: TextIO) -> str:
    """What was written on stdout and stderr since the last case."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    log.seek(0)
    text = log.read()
    log.seek(0)
    log.truncate()
    return text.strip()


def _virtual_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmSize:")).split()[1]) * 1024


if __name__ == "__main__":
    main()
