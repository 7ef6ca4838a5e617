"""The program of the process that decodes compressed pixels with GDCM, whose decoders a damaged stream may crash.

For each request on stdin it reads one DICOM file, always of the same name, and answers on stdout with its words. It
ends with its stdin, that is with the process that started it, and removes the file.

It imports nothing of saint, and SimpleITK without numpy, which would take more than half of the time to start.
"""

import contextlib
import os
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

READY = b"saint-gdcm"
"""Written once, when decoding can begin."""

REQUEST = struct.Struct("<QQ")
"""Bytes of memory beyond what the process has, and seconds of processor time."""

ANSWER = struct.Struct("<cIIQ")
"""Kind of the words (a letter of Python's ``struct``), rows, columns, bytes that follow; or ``FAILURE``, its text."""

FAILURE = b"!"

MAX_TEXT_BYTES = 1 << 16
"""Bytes of a failure's text, and of what the decoders write on stderr."""

PIXEL_TYPES = {"UInt8": b"B", "Int8": b"b", "UInt16": b"H", "Int16": b"h", "UInt32": b"I", "Int32": b"i"}
"""Pixel types of SimpleITK that stored values can have, and the letter of each."""


def main(path: str) -> None:
    """Decode the DICOM file ``path`` for every request on stdin."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_FSIZE", MAX_TEXT_BYTES)
    sys.modules["numpy"] = None  # type: ignore[assignment]
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    _send(answers, READY)
    while len(request := sys.stdin.buffer.read(REQUEST.size)) == REQUEST.size:
        memory, seconds = REQUEST.unpack(request)
        _limit_work(memory, seconds)
        try:
            _answer(sitk, path, answers)
        except Exception as error:  # whatever a damaged stream leads to
            text = (str(error) or type(error).__name__).encode("utf-8", "replace")[-MAX_TEXT_BYTES:]
            _send(answers, ANSWER.pack(FAILURE, 0, 0, len(text)), text)
    with contextlib.suppress(OSError):
        Path(path).unlink(missing_ok=True)
        Path(path).parent.rmdir()
    os._exit(0)


def _answer(sitk: Any, path: str, answers: BinaryIO) -> None:
    """Decode the one frame in the file and send its words [row, column]."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(path)
    image = reader.Execute()
    columns, rows, *others = image.GetSize()
    letters = {getattr(sitk, f"sitk{name}"): letter for name, letter in PIXEL_TYPES.items()}
    if image.GetPixelID() not in letters or any(count != 1 for count in others):
        raise ValueError(f"decoded to {image.GetPixelIDTypeAsString()} of {image.GetSize()}")
    # the only way to the words without numpy; they live as long as the image
    words = sitk.SimpleITK._GetMemoryViewFromImage(image)
    _send(answers, ANSWER.pack(letters[image.GetPixelID()], rows, columns, words.nbytes), words)


def _send(answers: BinaryIO, *parts: Any) -> None:
    for part in parts:
        answers.write(part)
    answers.flush()


def _limit_work(memory: int, seconds: int) -> None:
    """Bound what the next frame may take; the system ends the process that takes more time, orphaned or not."""
    with contextlib.suppress(OSError, ImportError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        _limit("RLIMIT_CPU", int(used.ru_utime + used.ru_stime) + 1 + seconds)
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])  # Linux
        _limit("RLIMIT_AS", pages * resource.getpagesize() + memory)


def _limit(name: str, value: int) -> None:
    """Set a limit of this process, where the system has it and does not set a lower one already."""
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
        import resource

        kind = getattr(resource, name)
        most = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (value if most == resource.RLIM_INFINITY else min(value, most), most))


if __name__ == "__main__":
    sys.path[:] = sys.argv[2:]
    main(sys.argv[1])
