"""GDCM in a process of its own: what a damaged stream makes of its decoders is one refused file."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from saint_cli.gdcm_worker import ANSWER, FAILURE, KINDS, MOST_TEXT, REQUEST
from saint_cli.io.decoder_process import (
    DecoderProcess,
    DecoderStartError,
    ProcessEndedError,
    ProcessLateError,
    answers_within,
    receive,
    start_process,
)


class DecoderError(Exception):
    """Why a frame could not be decoded; ``lines`` is what the decoder wrote beside it.

    may_pass: whether it may be no fault of the frame.
    """

    def __init__(self, reason: str, lines: Sequence[str] = (), *, may_pass: bool = False) -> None:
        super().__init__(reason)
        self.lines, self.may_pass = list(lines), may_pass


@dataclass(frozen=True)
class Limits:
    """What decoding one frame may take.

    On one old core, GDCM decodes 5 (JPEG 2000) to 30 (JPEG-LS) million pixels a second. Processor time is told apart
    from time, of which a machine that is overloaded or swaps may take many times as much. Decoding takes up to 22
    bytes per pixel, and a stack for each thread of OpenJPEG, of which there is one per core.
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

    def of(self, pixels: int, packed: int) -> tuple[int, int, float]:
        """Bytes of memory, seconds of processor time and seconds for a frame of ``packed`` bytes."""
        mega = pixels / 1e6
        memory = (
            self.memory + self.memory_per_core * (os.cpu_count() or 1) + self.memory_per_pixel * pixels + 4 * packed
        )
        cpu = self.cpu_seconds + self.cpu_seconds_per_megapixel * mega
        return memory, max(1, round(cpu)), self.seconds + self.seconds_per_megapixel * mega


LIMITS = Limits()


@dataclass
class Decoder:
    """Decodes frames in one process, which is started with the first of them, and anew after one that ended it.

    A process never outlives the ``with`` block, in which one scan is read: what hostile files may have made of it
    reaches no other scan.
    """

    limits: Limits = field(default_factory=lambda: LIMITS)
    _worker: DecoderProcess | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
                return _ask(worker, file, shape, self.limits)
            except DecoderError:
                raise
            except ProcessEndedError as ended:
                lines = worker.lines()
                self.close()
                if not was_used or isinstance(ended, ProcessLateError):
                    reason = f"{ended}: {lines[-1]}" if lines else str(ended)
                    raise DecoderError(reason, may_pass=ended.may_pass) from None
                # an earlier file may have left the process in disorder: this one gets a new process
            except BaseException:
                self.close()
                raise


def _ask(worker: DecoderProcess, file: bytes, shape: tuple[int, int], limits: Limits) -> tuple[np.ndarray, list[str]]:
    """Have a file decoded; the answer is believed in nothing but its words, of which there are as many as expected."""
    try:
        worker.path.write_bytes(file)
    except OSError as error:
        raise DecoderStartError(f"{worker.path.parent}: {error.strerror or type(error).__name__}") from None
    memory, cpu_seconds, seconds = limits.of(shape[0] * shape[1], len(file))
    with answers_within(seconds, worker, cpu_seconds):
        assert worker.process.stdin is not None
        worker.process.stdin.write(REQUEST.pack(memory, cpu_seconds))
        kind, rows, columns, size = ANSWER.unpack(receive(worker, ANSWER.size))
        if kind == FAILURE and size <= MOST_TEXT:
            text = bytes(receive(worker, size)).decode("utf-8", "replace")
            raise DecoderError(text, worker.lines())
        if kind not in KINDS.values():
            raise ProcessEndedError("the decoder answers nonsense")
        dtype = np.dtype(kind.decode())
        if (rows, columns) != shape or size != rows * columns * dtype.itemsize:
            raise ProcessEndedError(
                f"the decoder gives {size} bytes for {rows}x{columns} pixels, not {shape[0]}x{shape[1]}"
            )
        words = np.frombuffer(receive(worker, size), dtype).reshape(shape)
    return words, worker.lines()
