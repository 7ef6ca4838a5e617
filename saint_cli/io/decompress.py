"""Compressed streams read as what they unpack to: gzip, zlib, bzip2 and xz, every checksum tested."""

import bz2
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, cast

from saint_cli.errors import UnreadableError
from saint_cli.io.regular_files import open_regular

BLOCK = 1 << 20
"""Bytes read at a time; at most sixteen times as many unpacked bytes are held."""

PACKED_BLOCK = 1 << 14
"""Packed bytes given to a library at a time: it copies what it leaves over for every member."""

KEPT_BYTES = 1 << 16
"""Unpacked bytes kept, so that parsers may go back a little without unpacking from the start again."""

MAX_XZ_MEMORY = 300_000_000
"""What a dictionary of xz may take; ``xz -9`` takes 65 MB, and a header may claim 4 GB."""

MAX_ZEROS = 1 << 24
"""Zeros behind a stream that are skipped: tapes and block devices fill their last block."""

MAX_TRAILING_BYTES = 1 << 27
"""Bytes that may follow the voxels of a packed file; a longer one is refused, not unpacked for ever."""

MAX_EMPTY_MEMBERS = 1 << 12
"""Members in a row that hold nothing: files of blocks have one at their end, and a million of them take minutes."""


class Packing(Enum):
    """How bytes are packed, each with its first bytes and the most bytes that one can unpack to.

    DEFLATE and LZMA cannot do better. bzip2 can, but no image with noise comes near, so a header that claims more is
    false.
    """

    NONE = (b"", 1)
    GZIP = (b"\x1f\x8b", 1032)
    BZIP2 = (b"BZh", 20_000)
    XZ = (b"\xfd7zXZ\x00", 7100)
    DEFLATE = (b"", 1032)

    @property
    def mark(self) -> bytes:
        """The first bytes; empty where there are none in common."""
        return self.value[0]

    @property
    def max_ratio(self) -> int:
        """Unpacked over packed bytes, at most."""
        return self.value[1]


def detect_packing(head: bytes) -> Packing:
    """How a file with these first bytes is packed as a whole."""
    return next((p for p in Packing if p.mark and head.startswith(p.mark)), Packing.NONE)


def read_packing(path: Path) -> Packing:
    """How a file is packed as a whole, by its first bytes; raises as :func:`open_unpacked`."""
    with open_regular(path) as file:
        return detect_packing(file.read(8))


@contextmanager
def open_unpacked(path: Path) -> Iterator[BinaryIO]:
    """A file as what it unpacks to; reading raises what :func:`convert_damage` converts.

    Raises:
        UnreadableError: a pipe, socket or device.
        OSError: it cannot be opened.
    """
    with open_regular(path) as file:
        kind = detect_packing(file.read(8))
        file.seek(0)
        yield unpack(file, kind)


def unpack(file: BinaryIO, kind: Packing, most: int | None = None) -> BinaryIO:
    """What is packed from the present place of ``file`` on; gzip includes zlib, whose marks differ.

    most: bytes that may be unpacked, counted again where a reader goes back far; of what is not packed, any.
    """
    return file if kind is Packing.NONE else cast(BinaryIO, io.BufferedReader(UnpackedStream(file, kind, most)))


def read_to_end(file: BinaryIO, path: Path, expected: int = 0) -> int:
    """Read a packed file to its end, so that its checksums are tested; ``expected`` bytes are known to be left.

    Returned is how many more were, negative where there were fewer.

    Raises:
        UnreadableError: far more follow.
    """
    more = -expected
    while got := len(file.read(BLOCK)):
        more += got
        if more > MAX_TRAILING_BYTES:
            raise UnreadableError(
                f"{path}: goes on for over {MAX_TRAILING_BYTES >> 20} MB behind its voxels; it is damaged"
            )
    return more


@contextmanager
def convert_damage(path: Path) -> Iterator[None]:
    """Turn what damaged packed data raise into one line.

    Raises:
        UnreadableError: the data end early or fail their checksum.
    """
    try:
        yield
    except EOFError:
        raise UnreadableError(f"{path}: the compressed data is truncated; copy the file again") from None
    except (zlib.error, lzma.LZMAError) as error:
        raise UnreadableError(f"{path}: the compressed data is corrupt ({error})") from None
    except OSError as error:
        reason = error.strerror or "invalid data stream"
        raise UnreadableError(f"{path}: cannot be read ({reason})") from None


class UnpackedStream(io.RawIOBase):
    """What packed data unpack to. Members in a row are one stream; what else follows is ignored.

    Going back by more than ``KEPT_BYTES`` bytes unpacks from the start again, as the standard library's readers do.
    """

    def __init__(self, file: BinaryIO, kind: Packing, most: int | None) -> None:
        self._file, self._kind, self._most, self._done = file, kind, most, 0
        self._empty = 0  # members in a row
        self._start = file.tell() if file.seekable() else 0
        self._rewind()

    def _rewind(self) -> None:
        self._packed, self._recent = b"", b""
        self._end = self._behind = 0  # bytes unpacked from the start on; how far the reader is behind them
        self._member = _member(self._kind)

    @property
    def name(self) -> str:
        """Name of the packed file, which pydicom asks of a buffered one."""
        return str(getattr(self._file, "name", ""))

    def seekable(self) -> bool:
        """Whether the packed file can be read again."""
        return self._file.seekable()

    def tell(self) -> int:
        """The byte of what is unpacked that is read next."""
        return self._end - self._behind

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte of what is unpacked, at most to its end; raises as :meth:`readinto` does."""
        if whence == io.SEEK_END:
            while self.read(BLOCK):
                pass
        target = offset + (0 if whence == io.SEEK_SET else self.tell())
        if self._end - len(self._recent) <= target <= self._end:
            self._behind = self._end - target
        elif target < self._end:
            self._file.seek(self._start)
            self._rewind()
        while self.tell() < target and self.read(min(BLOCK, target - self.tell())):
            pass
        return self.tell()

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the start of ``buffer``; 0 at the end.

        Raises:
            EOFError: the stream ends before its checksum.
            zlib.error, lzma.LZMAError, OSError: damage.
            UnreadableError: more was unpacked than may be.
        """
        view = memoryview(buffer).cast("B")
        if self._behind:
            unpacked = self._recent[-self._behind :][: len(view)]
            self._behind -= len(unpacked)
        else:
            unpacked = self._next(min(len(view), 16 * BLOCK)) if len(view) else b""
            self._keep(unpacked)
        view[: len(unpacked)] = unpacked
        return len(unpacked)

    def _keep(self, unpacked: bytes) -> None:
        """Count what was unpacked, and remember its end."""
        self._end += len(unpacked)
        self._done += len(unpacked)
        self._empty = 0
        if self._most is not None and self._done > self._most:
            raise UnreadableError(f"{self.name}: unpacks to more than {self._most >> 20} MB; it is damaged")
        self._recent = (unpacked if len(unpacked) > KEPT_BYTES else self._recent + unpacked)[-KEPT_BYTES:]

    def _next(self, most: int) -> bytes:
        """The next bytes, at most so many; none at the end."""
        while True:
            if self._member.eof and not self._has_next():
                return b""
            is_hungry = getattr(self._member, "needs_input", True)
            packed = self._packed or (self._file.read(PACKED_BLOCK) if is_hungry else b"")
            unpacked: bytes = self._member.decompress(packed, most)
            left = self._member.unused_data if self._member.eof else getattr(self._member, "unconsumed_tail", b"")
            self._packed = left
            if unpacked:
                return unpacked
            if not packed and not self._member.eof:
                raise EOFError

    def _has_next(self) -> bool:
        """Whether another member follows, perhaps after zeros, as tapes and block devices leave them."""
        if not self._kind.mark:
            return False
        zeros = 0
        while not self._packed.strip(b"\0") and zeros <= MAX_ZEROS and (more := self._file.read(PACKED_BLOCK)):
            self._packed = more
            zeros += len(more)
        self._packed = self._packed.lstrip(b"\0")
        if len(self._packed) < len(self._kind.mark):
            self._packed += self._file.read(PACKED_BLOCK)
        if not self._packed.startswith(self._kind.mark):
            return False
        self._member = _member(self._kind)
        self._empty += 1
        if self._empty > MAX_EMPTY_MEMBERS:
            raise UnreadableError(
                f"{self.name}: over {MAX_EMPTY_MEMBERS} packed members in a row are empty; it is damaged"
            )
        return True


def _member(kind: Packing) -> Any:
    """What unpacks one member; the readers of bzip2 and xz in the standard library cannot be held to any bound."""
    if kind is Packing.BZIP2:
        return bz2.BZ2Decompressor()
    if kind is Packing.XZ:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY)
    return zlib.decompressobj(wbits=-zlib.MAX_WBITS if kind is Packing.DEFLATE else zlib.MAX_WBITS | 32)
