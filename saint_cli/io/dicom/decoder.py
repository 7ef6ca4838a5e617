"""GDCM in a process of its own: whatever a damaged stream does to its decoders, only one file is refused."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from saint_cli.io.dicom.decoder_process import (
    DecoderProcess,
    DecoderStartError,
    ProcessEndedError,
    limit_exchange,
    receive_bytes,
    start_process,
)
from saint_cli.io.dicom.gdcm_worker import ANSWER, FAILURE, MAX_TEXT_BYTES, PIXEL_TYPES, REQUEST


class DecoderError(Exception):
    """Why a frame could not be decoded; ``lines`` is what the decoder wrote beside it.

    is_transient: whether the cause may lie outside the frame, so that another try may help.
    """

    def __init__(self, reason: str, lines: Sequence[str] = (), *, is_transient: bool = False) -> None:
        super().__init__(reason)
        self.lines, self.is_transient = list(lines), is_transient


@dataclass(frozen=True)
class DecodingLimits:
    """What decoding one frame may take.

    On one core, GDCM decodes 7 (JPEG 2000) to 21 (JPEG lossless) million pixels a second in 12 to 22 bytes per pixel
    (benchmarks/decoder.py) and a stack for each thread of OpenJPEG, of which there is one per core. Processor time is
    limited apart from clock time, of which an overloaded or swapping machine may take many times as much.
    """

    start_seconds: float = 180.0
    """Until SimpleITK is loaded, which takes 0.3 s, and minutes where a hundred jobs read it from one network disk."""
    cpu_seconds: float = 10.0
    cpu_seconds_per_megapixel: float = 3.0
    seconds: float = 60.0
    seconds_per_megapixel: float = 15.0
    memory: int = 128 << 20
    memory_per_core: int = 12 << 20
    memory_per_pixel: int = 40

    def for_frame(self, pixels: int, packed: int) -> tuple[int, int, float]:
        """Bytes of memory, seconds of processor time and seconds for a frame of ``packed`` bytes."""
        megapixels = pixels / 1e6
        memory = (
            self.memory + self.memory_per_core * (os.cpu_count() or 1) + self.memory_per_pixel * pixels + 4 * packed
        )
        cpu = self.cpu_seconds + self.cpu_seconds_per_megapixel * megapixels
        return memory, max(1, round(cpu)), self.seconds + self.seconds_per_megapixel * megapixels


LIMITS = DecodingLimits()


@dataclass
class Decoder:
    """Decodes frames in one process, which is started with the first of them, and anew after one that ended it.

    It serves one scan until :meth:`close`, so that what hostile files may have made of it reaches no other scan.
    """

    limits: DecodingLimits = field(default_factory=lambda: LIMITS)
    _worker: DecoderProcess | None = None

    def close(self) -> None:
        """End the process, if there is one."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def decode(self, file: bytes, shape: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
        """The words [row, column] of a DICOM file of one frame, and what the decoder wrote about it.

        Raises:
            DecoderError: what the decoder says, or what became of it.
            DecoderStartError: there is no process to decode in, or no disk for its file.
        """
        while True:
            worker = self._worker = self._worker or start_process(self.limits.start_seconds)
            was_used, worker.is_used = worker.is_used, True
            try:
                return _request(worker, file, shape, self.limits)
            except DecoderError:
                raise
            except ProcessEndedError as ended:
                lines = worker.take_lines()
                self.close()
                if not was_used or ended.is_late:
                    reason = f"{ended}: {lines[-1]}" if lines else str(ended)
                    raise DecoderError(reason, is_transient=ended.is_transient) from None
                # an earlier file may have left the process in disorder: this one gets a new process
            except BaseException:
                self.close()
                raise


def _request(
    worker: DecoderProcess, file: bytes, shape: tuple[int, int], limits: DecodingLimits
) -> tuple[np.ndarray, list[str]]:
    """Have a file decoded; of the answer only the words are used, of which there must be as many as expected."""
    try:
        worker.path.write_bytes(file)
    except OSError as error:
        raise DecoderStartError(f"{worker.path.parent}: {error.strerror or type(error).__name__}") from None
    memory, cpu_seconds, seconds = limits.for_frame(shape[0] * shape[1], len(file))
    with limit_exchange(seconds, worker, cpu_seconds):
        assert worker.process.stdin is not None
        worker.process.stdin.write(REQUEST.pack(memory, cpu_seconds))
        kind, rows, columns, size = ANSWER.unpack(receive_bytes(worker, ANSWER.size))
        if kind == FAILURE and size <= MAX_TEXT_BYTES:
            text = bytes(receive_bytes(worker, size)).decode("utf-8", "replace")
            raise DecoderError(text, worker.take_lines())
        if kind not in PIXEL_TYPES.values():
            raise ProcessEndedError("the decoder answers nonsense")
        dtype = np.dtype(kind.decode())
        if (rows, columns) != shape or size != rows * columns * dtype.itemsize:
            raise ProcessEndedError(
                f"the decoder gives {size} bytes for {rows}x{columns} pixels, not {shape[0]}x{shape[1]}"
            )
        words = np.frombuffer(receive_bytes(worker, size), dtype).reshape(shape)
    return words, worker.take_lines()
