"""Decoders that crash, hang, lie or take all memory: each is one refused file, and nothing of them is left."""

import base64
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

import fabricate
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

from saint_cli.errors import DecoderUnavailableError, UnreadableError
from saint_cli.io import describe, read_volume
from saint_cli.io.dicom import decoder, decoder_process
from saint_cli.io.dicom.compressed_frames import StreamError, check_frame
from saint_cli.io.dicom.decoder import Decoder, DecoderError, DecodingLimits
from saint_cli.io.dicom.decoder_process import DecoderStartError
from saint_cli.io.dicom.headers import read_headers
from saint_cli.io.dicom.pixels import make_frame_file

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
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary files are made during the test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


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


STREAMS = {
    uid.JPEGLSLossless: (
        "/9j/9wALEAAMABABAREA//gADQH//wASAEMBFABA/9oACAEBAAAAAEAYTwphLD8J4UxHDsfkMZi8bkYU6AhRCSJImkEejUcikxLR0hHQ"
        "q0FFSEZHQ0yRKmRJEqRGhVn6NClQpEiFKhRpEKJFEmepJJopJpIoqIpopIgT1JJFDJJDJJBFJBJIE7RSSQzSlKNKQhSOJ2tKEITlCNJ0"
        "jGQJ2lCco0jKEIQuI4nKomIq6qaiJjSbqmMiLyLjImUTdVXGRdSXXSj//9k="
    ),
    uid.JPEGLSNearLossless: (
        "/9j/9wALDAAMABABAREA/9oACAEBAAIAAK973vf93d274BDGEd3d2YiZMAEMmyabbabBA02MTSVKQQKVKUqUh+lKqlVIfqOfGE0YfqEe"
        "4/u0P0/u8+s/Z3/nePn/f58//3D/2Q=="
    ),
    uid.JPEGExtended12Bit: (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUV"
        "DA8XGBYUGBIUFRT/wQALDAAMABABAREA/8QAFgABAQEAAAAAAAAAAAAAAAAACQwN/8QAJxAAAAMFBwUAAAAAAAAAAAAAAAQICQsMKFEB"
        "AgYRRNTiITE0RlL/2gAIAQEAAD8AnD0kwk54UmlO+GuAapJMJOdCWaNKet8BqaySXbcwjzJSq01JXahq0kO29hHesJSq/OpK7Uf/2Q=="
    ),
}
"""Streams of 12 x 16 pixels of 12 bits, by dcmtk's dcmcjpls and dcmcjpeg: 20 a pixel, and noise of 0 to 2."""


def frames(folder: Path) -> dict[uid.UID, bytes]:
    """A compressed frame of 12 x 16 pixels in every syntax that there is a writer of here."""
    found = {syntax: base64.b64decode(text) for syntax, text in STREAMS.items()}
    for kind in ("JPEG", "JPEG2000"):
        (data,) = fabricate.slices(1)
        fabricate.compress_gdcm(data, folder, kind)
        found[data.file_meta.TransferSyntaxUID] = next(generate_frames(data.PixelData, number_of_frames=1))
    file = BytesIO()
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(12, 16)).save(file, "JPEG", quality=95)
    return {**found, uid.JPEGBaseline8Bit: file.getvalue()}


def packed(frame: bytes, syntax: uid.UID, count: int = 1) -> list[Dataset]:
    """Slices whose pixels are this frame."""
    series = fabricate.slices(count)
    for data in series:
        fabricate.set_pixels(data, fabricate.pixels(data), bits=12)
        data.file_meta.TransferSyntaxUID, data.PixelData = syntax, encapsulate([frame])
        data["PixelData"].is_undefined_length = True
    return series


@pytest.mark.parametrize("syntax", STREAMS, ids=lambda syntax: syntax.name)
def test_streams_of_other_encoders_give_their_pixels(syntax: uid.UID, tmp_path: Path) -> None:
    series = packed(base64.b64decode(STREAMS[syntax]), syntax, 3)
    stored = read_volume(fabricate.save(series, tmp_path / "s")).voxels[:, :, 1].T + 1024
    wrong = stored - np.arange(192).reshape(12, 16) * 20
    assert -2 <= wrong.min() <= wrong.max() <= 4


def mutated(frame: bytes, dice: random.Random) -> bytes:
    """A frame with some bytes other than they were, cut, doubled or lost."""
    made = bytearray(frame)
    for _ in range(dice.choice((1, 1, 2, 5, 20))):
        place = dice.randrange(len(made)) if dice.random() < 0.5 else dice.randrange(min(64, len(made)))
        kind = dice.randrange(5)
        if kind == 0:
            made[place] ^= 1 << dice.randrange(8)
        elif kind == 1:
            made[place] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            made[place : place + dice.randrange(1, 9)] = b""
        elif kind == 3:
            made[place:place] = made[dice.randrange(len(made)) :][: dice.randrange(1, 40)]
        else:
            del made[max(place, 4) :]
        made = made or bytearray(1)
    return bytes(made)


def test_no_damage_to_a_stream_is_more_than_a_refused_frame(tmp_path: Path, temporary: Path) -> None:
    dice, shape = random.Random(15), (12, 16)
    with contextlib.closing(Decoder()) as decoder:
        for syntax, whole in frames(tmp_path).items():
            (header,) = read_headers(next(fabricate.save(packed(whole, syntax), tmp_path / syntax).iterdir()))
            for _ in range(60):
                frame = mutated(whole, dice)
                with contextlib.suppress(StreamError, DecoderError):
                    check_frame(frame, syntax, shape, 16)
                    words, _ = decoder.decode(make_frame_file(frame, syntax, header), shape)
                    assert words.shape == shape
    assert list(temporary.iterdir()) == []


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
