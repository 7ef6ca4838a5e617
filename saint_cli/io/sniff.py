"""What a file is, judged by its first bytes and never by its name."""

import gzip
import zlib
from enum import Enum
from pathlib import Path

from saint_cli.errors import UnreadableError

HEAD_BYTES = 1024
"""Enough for every signature below: a NIfTI-2 header is 540 bytes, DICOM's mark ends at byte 132."""

ENDINGS = (
    *(".nii.gz", ".hdr.gz", ".img.gz", ".nii", ".hdr", ".img", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm.gz"),
    *(".dicom.gz", ".ima.gz", ".dcm", ".dicom", ".ima", ".zip"),
)
"""Endings that promise an image: a file that does not keep the promise is a failure, any other is passed over."""

DICOM_ENDINGS = tuple(ending for ending in ENDINGS if ending.startswith((".dcm", ".dicom", ".ima")))

VOLUME_ENDINGS = tuple(ending for ending in ENDINGS if ending not in (*DICOM_ENDINGS, ".zip"))
"""Those of them that promise a NIfTI, NRRD or MetaImage file."""

GZIP_MAGIC = b"\x1f\x8b"


class Format(Enum):
    """The file formats that saint tells apart."""

    NIFTI = "NIfTI"
    NRRD = "NRRD"
    META = "MetaImage"
    DICOM = "DICOM"
    ZIP = "zip"
    UNKNOWN = "unknown"


def sniff(path: Path) -> Format:
    """The format of a file by content; ``UNKNOWN`` for anything else, an empty file included.

    Raises:
        UnreadableError: the file is missing, is not a file, or cannot be opened.
    """
    head = read_head(path)
    if nifti_version(head):
        return Format.NIFTI
    if head.startswith(b"NRRD000"):
        return Format.NRRD
    if _looks_like_meta(head):
        return Format.META
    if head.startswith(b"PK\x03\x04"):
        return Format.ZIP
    if head[128:132] == b"DICM" or _looks_like_bare_dicom(head):
        return Format.DICOM
    return Format.UNKNOWN


def read_head(path: Path) -> bytes:
    """The first ``HEAD_BYTES`` of the file, decompressed if it is gzip; fewer if the file is shorter or damaged.

    Raises:
        UnreadableError: the file is missing, is not a file, or cannot be opened.
    """
    if path.exists() and not path.is_file():
        raise UnreadableError(f"{path}: not a file")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            if not head.startswith(GZIP_MAGIC):
                return head
            file.seek(0)
            return gzip.GzipFile(fileobj=file).read(HEAD_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return b""
    except FileNotFoundError:
        raise UnreadableError(f"{path}: no such file or folder") from None
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be opened ({error.strerror or error})") from None


def is_gzip(path: Path) -> bool:
    """Whether the file starts with gzip's two bytes."""
    with path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def nifti_version(head: bytes) -> int:
    """1 or 2 for the start of a NIfTI header of either byte order; 0 for anything else, Analyze 7.5 included."""
    if len(head) >= 348 and _either_order(head[:4], 348) and head[344:348] in (b"n+1\0", b"ni1\0"):
        return 1
    if len(head) >= 540 and _either_order(head[:4], 540) and head[4:8] in (b"n+2\0", b"ni2\0"):
        return 2
    return 0


def is_analyze(head: bytes) -> bool:
    """Whether this is the 348-byte header of Analyze 7.5, which does not say which side is left."""
    return len(head) >= 348 and _either_order(head[:4], 348) and not nifti_version(head)


def _either_order(word: bytes, value: int) -> bool:
    return value in (int.from_bytes(word, "little"), int.from_bytes(word, "big"))


def _looks_like_meta(head: bytes) -> bool:
    first = head.split(b"=", 1)[0].strip()
    return first in (b"ObjectType", b"NDims", b"Comment") and b"NDims" in head


def _looks_like_bare_dicom(head: bytes) -> bool:
    """A data set without the 128-byte preamble starts with a low group and either a known VR or a sane length."""
    if len(head) < 16:
        return False
    group = int.from_bytes(head[:2], "little")
    if group not in (0x0002, 0x0008):
        return False
    explicit = head[4:6] in (b"UL", b"UI", b"CS", b"SH", b"OB")
    return explicit or int.from_bytes(head[4:8], "little") <= 128


def is_part_of_pair(path: Path) -> bool:
    """Whether this headerless file is the voxel half of a pair whose header lies beside it."""
    bare = path.name.removesuffix(".gz").removesuffix(".GZ")[: -len(".img")]
    return is_pair_data(path) and any(path.with_name(bare + e).exists() for e in (".hdr", ".hdr.gz", ".HDR"))


def is_pair_data(path: Path) -> bool:
    """Whether this headerless file is the voxel half of a pair, by its name; nothing else can tell."""
    return any(path.name.lower().endswith(ending) for ending in (".img", ".img.gz"))
