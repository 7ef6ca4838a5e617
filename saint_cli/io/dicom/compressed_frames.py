"""Compressed frames of DICOM pixel data: where each begins, and whether what the header claims can be in it.

No decoder sees a frame whose own header contradicts the elements, or whose few bytes could not unpack to it.
"""

import re
import struct
from collections.abc import Sequence
from io import BytesIO
from itertools import islice
from typing import NamedTuple

from pydicom import encaps, uid

from saint_cli.errors.plain_text import format_count
from saint_cli.io.dicom.transfer_syntax import syntax_name

MAX_FRAME_PIXELS = 1 << 25
"""Pixels of a compressed frame at most, 8192 x 4096: GDCM takes 22 bytes for each. CT has 2048 x 2048 at most."""

MIN_ALLOWED_BYTES = 64 << 20
"""Unpacked bytes that a file may claim however small it is: a constant frame of 4096 x 4096 pixels of 32 bits.

JPEG 2000 packs a constant frame of any size into 200 bytes (benchmarks/decoder.py).
"""

MAX_COMPRESSION = 1000
"""Unpacked over packed bytes of larger files at most. Scanned frames have 2 to 10 without loss, 100 with it."""

MAX_PIXELS_PER_BYTE = {
    **{f"1.2.840.10008.1.2.4.{number}": 512 for number in (50, 51, 52, 53, 55)},
    **{f"1.2.840.10008.1.2.4.{number}": 8 for number in (57, 70)},
}
"""Of JPEG: a Huffman code has at least one bit, and stands for one pixel without loss (ITU-T T.81 annex H), or for at
most 64 pixels, a block's mean, with it."""

MAX_RLE_RATIO = 64
"""Of RLE: two bytes stand for at most 128 (PS3.5 annex G.3)."""

RLE_HEADER = 64

MAX_RLE_TRAILING_BYTES = 4096
"""Bytes that may lie behind the pixels of an RLE frame."""

JP2_SIGNATURE = b"\0\0\0\x0cjP  "

MAX_FRAGMENTS = 1000
"""Fragments of a frame at most; writers make one of all, or one of 64 KB or more."""

MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
"""A marker of JPEG, with its second byte; before it may stand any number of 0xFF."""

MAX_SEGMENTS = 1000
"""Segments or boxes before the compressed data at most; writers make up to 20."""

FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Second bytes of JPEG's start-of-frame markers; 0xF7 is that of JPEG-LS."""

MARKERS_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
"""Second bytes of JPEG's markers without a length."""


class StreamError(Exception):
    """Why a compressed frame cannot hold what the header claims."""


class StreamSize(NamedTuple):
    """What a compressed stream's own header says of its frame; ``predictor`` means something in lossless JPEG alone."""

    rows: int
    columns: int
    bits: int
    samples: int
    predictor: int = 0


def explain_excessive_size(shape: tuple[int, int], frames: int, itemsize: int, packed: int) -> str:
    """Why a file of ``packed`` bytes cannot hold so many compressed frames [row, column]; "" if it can."""
    rows, columns = shape
    claim = f"{frames} frames of {rows}x{columns} pixels" if frames > 1 else f"{rows}x{columns} pixels"
    if rows * columns > MAX_FRAME_PIXELS:
        return f"{claim}; saint reads up to {MAX_FRAME_PIXELS} a frame"
    if rows * columns * frames * itemsize > max(MIN_ALLOWED_BYTES, MAX_COMPRESSION * packed):
        return f"{claim} in {packed} bytes"
    return ""


def split_frames(stored: bytes, count: int) -> list[bytes]:
    """The compressed stream of each of ``count`` frames (PS3.5 annex A.4); at most one more than that.

    Offset tables are used only where there are more fragments than frames, since many are wrong.

    Raises:
        StreamError: far too many fragments. Other damage makes pydicom raise various errors.
    """
    buffer = BytesIO(stored)
    encaps.parse_basic_offsets(buffer)
    fragments = list(islice(encaps.generate_fragments(buffer), count * MAX_FRAGMENTS + 1))
    if len(fragments) > count * MAX_FRAGMENTS:
        raise StreamError(f"more than {MAX_FRAGMENTS} fragments a frame")
    if len(fragments) == count:
        return fragments
    if count == 1:
        return [b"".join(fragments)]
    return list(islice(encaps.generate_frames(stored, number_of_frames=count), count + 1))


def check_frame(frame: bytes, syntax: uid.UID, shape: tuple[int, int], allocated: int) -> None:
    """Refuse a frame whose own header contradicts the elements, or that is too short to be whole.

    Raises:
        StreamError: saying what is wrong.
    """
    rows, columns = shape
    if syntax == uid.RLELossless:
        _check_rle(frame, rows * columns, allocated // 8)
        return
    stream = parse_stream_size(frame)
    if stream is None:
        raise StreamError("the compressed stream has no whole header")
    if (stream.rows, stream.columns) != shape:
        raise StreamError(f"the stream is {stream.rows}x{stream.columns}, the header says {rows}x{columns}")
    if stream.samples != 1 or stream.bits > allocated:
        raise StreamError(f"the stream has {stream.samples} x {stream.bits} bits a pixel, the header says {allocated}")
    least = -(-rows // 8) if syntax in (uid.JPEGLSLossless, uid.JPEGLSNearLossless) else 0  # a run ends with its row
    least = max(least, rows * columns // MAX_PIXELS_PER_BYTE.get(syntax, rows * columns))
    if len(frame) < least:
        found = format_count(len(frame), "byte")
        raise StreamError(f"{found} cannot hold {rows}x{columns} pixels of {syntax_name(syntax)}")


def parse_stream_size(frame: bytes) -> StreamSize | None:
    """Size of a JPEG, JPEG-LS or JPEG 2000 frame by its own header; None where there is none."""
    if frame.startswith(b"\xff\xd8"):
        return _parse_jpeg_size(frame)
    start = _find_codestream(frame) if frame.startswith(JP2_SIGNATURE) else 0
    return _parse_jpeg2000_size(frame, start)


def _parse_jpeg_size(frame: bytes) -> StreamSize | None:
    """The size by the start-of-frame segment (ITU-T T.81 B.2.2; T.87 C.2.2), if whole segments lead to compressed data.

    GDCM waits for ever for the rest of a segment that is cut off.
    """
    size, place = None, 2
    for _ in range(MAX_SEGMENTS):
        mark = MARKER.search(frame, place)
        if mark is None or mark[1] == b"\xd9":  # the end of the image
            return None
        code, place = mark[1][0], mark.end()
        if code in MARKERS_WITHOUT_LENGTH:
            continue
        if code in FRAME_MARKERS and place + 8 <= len(frame):
            bits, rows, columns, samples = struct.unpack_from(">BHHB", frame, place + 2)
            size = size or StreamSize(rows, columns, bits, samples)
        start, place = place, place + int.from_bytes(frame[place : place + 2], "big")
        if code == 0xDA:  # compressed data follow
            found = size if place < len(frame) else None
            return found and found._replace(predictor=_parse_predictor(frame[start:place]))
    return None


def _parse_predictor(scan: bytes) -> int:
    """What a start-of-scan segment names as the predictor (ITU-T T.81 B.2.3); 0 of one that is too short."""
    place = 3 + 2 * scan[2] if len(scan) > 2 else len(scan)
    return scan[place] if place < len(scan) else 0


def _find_codestream(frame: bytes) -> int:
    """Where the codestream begins in a JP2 file (ITU-T T.800 annex I), which some store; the file's end if nowhere."""
    place = 0
    for _ in range(MAX_SEGMENTS):
        if place + 8 > len(frame):
            break
        length, kind = struct.unpack_from(">I4s", frame, place)
        if kind == b"jp2c":
            return place + (16 if length == 1 else 8)
        if length == 1 and place + 16 <= len(frame):
            (length,) = struct.unpack_from(">Q", frame, place + 8)
        if length < 8:
            break
        place += length
    return len(frame)


def _parse_jpeg2000_size(frame: bytes, start: int) -> StreamSize | None:
    """The size by the SIZ segment, which follows the first marker (ITU-T T.800 A.5.1)."""
    if frame[start : start + 4] != b"\xff\x4f\xff\x51" or start + 45 > len(frame):
        return None
    right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
    samples, depth, x_step, y_step = struct.unpack_from(">H3B", frame, start + 40)
    if not (x_step and y_step):
        return None
    columns, rows = (
        -(-end // step) - -(-begin // step) for begin, end, step in ((left, right, x_step), (top, bottom, y_step))
    )
    return StreamSize(rows, columns, (depth & 127) + 1, samples)


def _check_rle(frame: bytes, pixels: int, segments: int) -> None:
    """Refuse segments that lie outside the frame, overlap, or are too short or far too long (PS3.5 annex G)."""
    if len(frame) < RLE_HEADER:
        raise StreamError("the RLE header is incomplete")
    count, *offsets = struct.unpack_from("<16I", frame)
    if count != segments:
        raise StreamError(f"{count} RLE segments, of {segments * 8} bits a pixel there are {segments}")
    ends: Sequence[int] = [*offsets[1:count], len(frame)]
    if any(not RLE_HEADER <= start < end <= len(frame) for start, end in zip(offsets, ends, strict=False)):
        raise StreamError("an RLE segment lies outside the frame")
    sizes = [end - start for start, end in zip(offsets, ends, strict=False)]
    if min(sizes) * MAX_RLE_RATIO < pixels or len(frame) > RLE_HEADER + 2 * pixels * segments + MAX_RLE_TRAILING_BYTES:
        raise StreamError(f"RLE segments of {min(sizes)} to {max(sizes)} bytes are not of {pixels} pixels")
