"""Compressed streams read as what they unpack to: gzip, zlib, bzip2 and xz, every checksum tested."""

import bz2
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from saint_cli.errors import UnreadableError

BLOCK = 1 << 20
"""Packed bytes read at a time, and unpacked bytes held beside them at most sixteen times that."""


class Packing(Enum):
    """How bytes are packed, each with the first bytes that tell it and the most that one byte can unpack to.

    DEFLATE and LZMA cannot do better than these. bzip2 can, but no image with noise comes near, so that a header
    which claims more is false.
    """

    NONE = (b"", 1)
    GZIP = (b"\x1f\x8b", 1032)
    BZIP2 = (b"BZh", 20_000)
    XZ = (b"\xfd7zXZ\x00", 7100)

    @property
    def most_ratio(self) -> int:
        """Unpacked over packed bytes, at most."""
        return self.value[1]


def packing_of(head: bytes) -> Packing:
    """How a file with these first bytes is packed as a whole."""
    return next((p for p in Packing if p is not Packing.NONE and head.startswith(p.value[0])), Packing.NONE)


def packing(path: Path) -> Packing:
    """How a file is packed as a whole, by its first bytes."""
    with path.open("rb") as file:
        return packing_of(file.read(8))


@contextmanager
def open_unpacked(path: Path) -> Iterator[BinaryIO]:
    """A file as what it unpacks to; reading raises as :func:`naming_damage` tells."""
    with path.open("rb") as file:
        kind = packing_of(file.read(8))
        file.seek(0)
        yield unpack(file, kind)


def unpack(file: BinaryIO, kind: Packing) -> BinaryIO:
    """What is packed from the present place of ``file`` on; gzip includes zlib, whose marks differ."""
    if kind is Packing.GZIP:
        return cast(BinaryIO, io.BufferedReader(Inflated(file)))
    if kind is Packing.BZIP2:
        return cast(BinaryIO, bz2.BZ2File(file))
    if kind is Packing.XZ:
        return cast(BinaryIO, lzma.LZMAFile(cast(IO[bytes], file)))
    return file


@contextmanager
def naming_damage(path: Path) -> Iterator[None]:
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


class Inflated(io.RawIOBase):
    """What gzip or zlib data unpack to. Members in a row are one stream; what else lies behind is not looked at.

    Going back unpacks from the start again, as the standard library's readers do.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._packed = file, b""
        self._start, self._position = (file.tell() if file.seekable() else 0), 0
        self._member: Any = _member()

    @property
    def name(self) -> str:
        """Name of the packed file, which pydicom asks of a buffered one."""
        return str(getattr(self._file, "name", ""))

    def seekable(self) -> bool:
        """Whether the packed file can be read again."""
        return self._file.seekable()

    def tell(self) -> int:
        """Bytes unpacked so far."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte of what is unpacked, at most to its end; raises as :meth:`readinto` does."""
        if whence == io.SEEK_END:
            while self.read(BLOCK):
                pass
        target = offset + (0 if whence == io.SEEK_SET else self._position)
        if target < self._position:
            self._file.seek(self._start)
            self._packed, self._position, self._member = b"", 0, _member()
        while self._position < target and self.read(min(BLOCK, target - self._position)):
            pass
        return self._position

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the start of ``buffer``; 0 at the end.

        Raises:
            EOFError: the stream ends before its checksum.
            zlib.error: damage.
        """
        view = memoryview(buffer).cast("B")
        while len(view):
            if self._member.eof and not self._has_next():
                return 0
            packed = self._packed or self._file.read(BLOCK)
            unpacked = self._member.decompress(packed, min(len(view), 16 * BLOCK))
            self._packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if unpacked:
                view[: len(unpacked)] = unpacked
                self._position += len(unpacked)
                return len(unpacked)
            if not packed and not self._member.eof:
                raise EOFError
        return 0

    def _has_next(self) -> bool:
        """Whether another gzip member follows, perhaps after zeros, as tapes and block devices leave them."""
        while not self._packed.strip(b"\0") and (more := self._file.read(BLOCK)):
            self._packed = more
        self._packed = self._packed.lstrip(b"\0")
        if len(self._packed) < 2:
            self._packed += self._file.read(BLOCK)
        if not self._packed.startswith(Packing.GZIP.value[0]):
            return False
        self._member = _member()
        return True


def _member() -> Any:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
