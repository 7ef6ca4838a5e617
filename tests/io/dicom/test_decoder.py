"""Decoders that crash, hang, lie or take all memory: each is one refused file, and nothing of them is left."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fabricate
import pydicom
import pytest

from saint_cli.errors import DecoderUnavailableError, UnreadableError
from saint_cli.io import describe, read_volume
from saint_cli.io.dicom import decoder, decoder_process
from saint_cli.io.dicom.decoder import Decoder, DecoderError, DecodingLimits
from saint_cli.io.dicom.decoder_process import DecoderStartError

STAND_IN = """
import os, signal, sys, time
sys.path[:] = {path!r}
from saint_cli.io.dicom.gdcm_worker import ANSWER, READY, REQUEST
def send(*parts):
    os.write(1, b"".join(parts))
send(READY)
while os.read(0, REQUEST.size):
    {deed}
"""
"""A decoder that does something else than decoding, asked for 16-bit frames of 12 x 16 pixels."""

DEEDS = {
    "crashes": ("os.kill(os.getpid(), signal.SIGSEGV)", "the decoder crashed, SIGSEGV"),
    "aborts": (
        "os.write(2, b'free(): invalid pointer\\n'); os.abort()",
        r"the decoder crashed, SIGABRT: free\(\): invalid pointer",
    ),
    "aborts silently": ("os.abort()", "the decoder crashed, SIGABRT"),
    "exits": ("os._exit(0)", "the decoder ended by itself, exit code 0"),
    "exits with a code": ("os._exit(3)", "the decoder ended by itself, exit code 3"),
    "is killed": ("os.kill(os.getpid(), signal.SIGKILL)", "the decoder was killed, perhaps for lack of memory"),
    "hangs": ("time.sleep(60)", "the decoder took more than 1 s"),
    "hangs amid the answer": ("send(ANSWER.pack(b'H', 12, 16, 384)); time.sleep(60)", "the decoder took more than 1 s"),
    "closes its end": ("os.close(1); time.sleep(60)", "the decoder stopped answering"),
    "answers nonsense": ("send(bytes(range(100)))", "the decoder answers nonsense"),
    "answers gigabytes of a failure": ("send(ANSWER.pack(b'!', 0, 0, 1 << 40))", "the decoder answers nonsense"),
    "answers too much": (
        "send(ANSWER.pack(b'H', 4096, 4096, 1 << 25), bytes(99))",
        "the decoder gives 33554432 bytes for 4096x4096 pixels",
    ),
    "answers too many bytes": (
        "send(ANSWER.pack(b'H', 12, 16, 1 << 60), bytes(99))",
        "the decoder gives 1152921504606846976",
    ),
    "answers too little": (
        "send(ANSWER.pack(b'H', 12, 16, 384), bytes(99)); os._exit(0)",
        "the decoder ended by itself",
    ),
    "fails": ("send(ANSWER.pack(b'!', 0, 0, 4), b'oops')", "oops"),
}
"""What the stand-in does when it is asked, and what is reported of it."""

MAY_PASS = ("is killed", "hangs", "hangs amid the answer")
"""What may be no fault of the file, so that a batch tries it again."""

QUICK = DecodingLimits(seconds=1.0)


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Four slices in JPEG Lossless."""
    made = fabricate.slices(4)
    for data in made:
        fabricate.compress_gdcm(data, tmp_path, "JPEG")
    return fabricate.save(made, tmp_path / "series")


def stand_in(monkeypatch: pytest.MonkeyPatch, deed: str, limits: DecodingLimits = QUICK) -> None:
    """Put a stand-in in the place of the process that decodes, for every decoder made later."""
    program = STAND_IN.format(path=sys.path, deed=deed)
    monkeypatch.setattr(decoder_process, "build_worker_command", lambda _: [sys.executable, "-c", program])
    monkeypatch.setattr(decoder, "LIMITS", limits)


@pytest.mark.parametrize("name", DEEDS)
def test_whatever_a_decoder_does_is_one_refused_file(
    name: str, series: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    deed, message = DEEDS[name]
    stand_in(monkeypatch, deed)
    with pytest.raises(
        UnreadableError, match=rf"0000\.dcm: pixel data \(JPEG.*\({message}.*\); .*export the file"
    ) as it:
        read_volume(series)
    assert isinstance(it.value, DecoderUnavailableError) == (name in MAY_PASS)
    assert list(temporary.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_the_next_file_goes_on_with_a_new_process(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "send(ANSWER.pack(b'H', 2, 2, 8), bytes(8))"
    stand_in(monkeypatch, f"os.path.exists({str(temporary / 'x')!r}) and os.abort(); {words}")
    with contextlib.closing(Decoder(QUICK)) as decoder:
        first, _ = decoder.decode(b"", (2, 2))
        (temporary / "x").touch()
        with pytest.raises(DecoderError, match="SIGABRT"):
            decoder.decode(b"", (2, 2))
        (temporary / "x").unlink()
        second, _ = decoder.decode(b"", (2, 2))
    assert first.tolist() == second.tolist() == [[0, 0], [0, 0]]
    assert list(temporary.iterdir()) == []


def test_what_an_earlier_file_did_to_the_process_is_not_laid_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "send(ANSWER.pack(b'H', 2, 2, 8), bytes(8), bytes(30))"
    stand_in(monkeypatch, words)
    with contextlib.closing(Decoder(QUICK)) as decoder:
        for _ in range(3):
            assert decoder.decode(b"", (2, 2))[0].shape == (2, 2)


def test_a_process_that_cannot_be_started_is_no_fault_of_the_file(
    series: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in (["/no/such/program"], [sys.executable, "-c", "import no_such_module"], [sys.executable, "-c", ""]):
        monkeypatch.setattr(decoder_process, "build_worker_command", lambda _, command=command: command)
        with pytest.raises(
            DecoderUnavailableError, match=r"0000\.dcm: the process that decodes JPEG.* cannot be started or .*\("
        ):
            read_volume(series)
    assert list(temporary.iterdir()) == []
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "gone"))
    with pytest.raises(DecoderUnavailableError, match="No such file or directory"):
        read_volume(series)


def test_a_process_that_cannot_be_started_is_no_problem_of_slices_that_came_twice(
    series: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pydicom.dcmread(series / "0000.dcm")
    data.SOPInstanceUID += ".1"
    data.save_as(series / "again.dcm")
    monkeypatch.setattr(decoder_process, "build_worker_command", lambda _: ["/no/such/program"])
    with pytest.raises(DecoderUnavailableError, match="cannot be started"):
        describe(series)


def test_a_packed_program_says_that_it_has_no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(DecoderStartError, match=r"multiprocessing\.set_executable"):
        decoder_process.build_worker_command(Path("x"))


def test_interrupting_ends_the_process_at_once(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "os.kill(os.getppid(), signal.SIGINT); time.sleep(60)")
    began = time.monotonic()
    decoder = Decoder(DecodingLimits())
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            decoder.decode(b"", (2, 2))
    finally:
        signal.signal(signal.SIGINT, before)
    assert decoder._worker is None
    assert time.monotonic() - began < 30
    assert list(temporary.iterdir()) == []


def test_one_process_decodes_a_whole_series_and_none_a_native_one(
    series: Path, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **b: started.append(real(*a, **b)) or started[-1])
    read_volume(fabricate.save(fabricate.slices(4), tmp_path / "native"))
    assert not started
    read_volume(series)
    assert [one.returncode is not None for one in started] == [True]
    assert list(temporary.iterdir()) == []


def test_memory_and_processor_time_are_limited(series: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("resource")
    monkeypatch.setattr(decoder, "LIMITS", DecodingLimits(memory=0, memory_per_core=0, memory_per_pixel=0))
    if sys.platform == "linux":
        with pytest.raises(UnreadableError, match=r"0000\.dcm: pixel data"):
            read_volume(series)
    program = "from saint_cli.io.dicom import gdcm_worker as g; g._limit_work(1 << 30, 0)\nwhile True: pass"
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path}, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGXCPU


def test_describing_decodes_nothing_in_this_process(series: Path, tmp_path: Path) -> None:
    for index, data in enumerate(fabricate.saved_series(series)):  # the same pixels under other names
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{index}"
        data.save_as(series / f"again{index}.dcm")
    program = (
        "import sys; from pathlib import Path; from saint_cli.io import describe\n"
        "(stack,) = describe(Path(sys.argv[1])).stacks\n"
        "assert stack.problem is None and 'identical' in str(stack.warnings), stack\n"
        "assert not {'SimpleITK', 'gdcm', 'openjpeg', 'libjpeg'} & set(sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program, series], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_crash_while_slices_are_compared_leaves_the_other_series(
    series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fabricate.saved_series(series)[0]
    first.SOPInstanceUID = first.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    first.save_as(series / "again.dcm")
    fabricate.save(fabricate.slices(5, modality="MR"), series / "other")
    stand_in(monkeypatch, "os.kill(os.getpid(), signal.SIGSEGV)")
    good, bad = describe(series).stacks
    assert (bad.modality, bad.exit_code, good.modality, good.exit_code) == ("CT", 3, "MR", 0)
    assert "the decoder crashed, SIGSEGV" in str(bad.problem)
    with pytest.raises(UnreadableError, match="the decoder crashed, SIGSEGV"):
        read_volume(series, series="2")
    assert read_volume(series, series="1").shape == (16, 12, 5)
