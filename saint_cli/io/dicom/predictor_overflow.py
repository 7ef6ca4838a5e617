"""Lossless JPEG of encoders that overflow in predictor 6, of which a decoder that keeps to the standard makes nonsense.

The predictor is Rb + ((Ra - Rc) >> 1), of the pixels to the left (Ra), above (Rb) and above to the left (Rc). ITU-T
T.81 H.1.2.1 has it computed with full precision. Some encoders keep Ra - Rc in 16 bits, which is too few where signed
pixels that are stored as unsigned words change their sign. Nothing in the stream tells which of both was done;
``dcmdjpeg --workaround-pred6`` of DCMTK decodes the streams of such encoders.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np

from saint_cli.errors import UnreadableError
from saint_cli.io.dicom.compressed_frames import parse_stream_size

PREDICTOR, BITS = 6, 16

MAX_ROWS = 32
"""Rows that are compared, from the first on in which both ways differ; each takes half a millisecond."""

MIN_RATIO = 2.0
"""How much rougher the pixels of the standard's way must be; of CT, they are hundreds of times rougher if wrong."""


def check_predictor(path: Path, frame: bytes, words: np.ndarray) -> None:
    """Refuse a lossless JPEG frame, decoded to these words [row, column], if such an encoder wrote it.

    Raises:
        UnreadableError: naming the program that decodes it.
    """
    stream = parse_stream_size(frame)
    if stream is None or (stream.predictor, stream.bits) != (PREDICTOR, BITS) or words.dtype.itemsize != BITS // 8:
        return
    unsigned = words.view(np.uint16).astype(np.int64)
    steps = np.abs(np.diff(unsigned[:, :-1], axis=0))  # Ra - Rc of each row but the first
    rows = np.flatnonzero((steps > np.iinfo(np.int16).max).any(axis=1))
    if not rows.size:
        return
    part = unsigned[rows[0] : rows[0] + 1 + MAX_ROWS]  # its first row is the same either way
    other = _decode_overflowing(part)
    if _measure_roughness(part.astype(words.dtype)) > MIN_RATIO * _measure_roughness(other.astype(words.dtype)):
        raise UnreadableError(
            f"{path}: its lossless JPEG comes from an encoder that overflows in predictor 6, so that pixels would be "
            "wrong; decompress the series with dcmdjpeg --workaround-pred6 (DCMTK) first"
        )


def _decode_overflowing(words: np.ndarray) -> np.ndarray:
    """The words [row, column] that an encoder that overflows had, of those that the standard's way gives."""
    standard = words.tolist()
    found = [standard[0]]
    for above, row in pairwise(standard):
        before, now = found[-1], [(row[0] - above[0] + found[-1][0]) & 0xFFFF]
        for x in range(1, len(row)):
            difference = row[x] - (above[x] + ((row[x - 1] - above[x - 1]) >> 1))
            step = (now[-1] - before[x - 1] + 0x8000 & 0xFFFF) - 0x8000
            now.append((before[x] + (step >> 1) + difference) & 0xFFFF)
        found.append(now)
    return np.array(found, np.uint16)


def _measure_roughness(words: np.ndarray) -> float:
    """The mean difference between a row and the next."""
    return float(np.abs(np.diff(words.astype(np.int64), axis=0)).mean())
