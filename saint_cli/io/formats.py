"""The format of a file by its first bytes, never by its name."""

import lzma
import re
import zlib
from enum import Enum
from pathlib import Path

from saint_cli.errors import UnreadableError
from saint_cli.io import decompress
from saint_cli.io.error_conversion import convert_os_errors, explain_os_error
from saint_cli.io.skipped_files import ZIP_MARK
from saint_cli.io.unsupported_formats import name_other_format

SUPPORTED = "NIfTI, NRRD, MHA and DICOM"

HEAD_BYTES = 1024
"""Enough for every signature below: a NIfTI-2 header is 540 bytes, DICOM's mark ends at byte 132."""

IMAGE_ENDINGS = (
    *(".nii.gz", ".hdr.gz", ".img.gz", ".nii", ".hdr", ".img", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm.gz"),
    *(".nii.bz2", ".nii.xz", ".nrrd.gz", ".mha.gz", ".dicom.gz", ".ima.gz", ".dcm", ".dicom", ".ima", ".zip"),
)
"""Endings that promise an image: a file that does not keep the promise is a failure, any other is skipped. Of a folder
files are skipped that promise DICOM, for they stand for a slice at most."""

PART_ENDINGS = (".hdr", ".hdr.gz", ".img", ".img.gz", ".nhdr", ".mhd")
"""Those of them beside which a header or voxels lie in another file."""

SINGLE_FILE_ENDINGS = tuple(ending for ending in IMAGE_ENDINGS if ending not in PART_ENDINGS)

DICOM_ENDINGS = tuple(ending for ending in IMAGE_ENDINGS if ending.startswith((".dcm", ".dicom", ".ima")))

VOLUME_ENDINGS = tuple(ending for ending in IMAGE_ENDINGS if ending not in (*DICOM_ENDINGS, ".zip"))
"""Those of them that promise a NIfTI, NRRD or MetaImage file."""

META_FIRST_FIELDS = (
    b"objecttype",
    b"objectsubtype",
    b"ndims",
    b"comment",
    b"name",
    b"id",
    b"binarydata",
    b"transformtype",
)
"""Fields with which MetaImage headers begin, in lower case."""


class Format(Enum):
    """The file formats that saint knows."""

    NIFTI = "NIfTI"
    NRRD = "NRRD"
    META = "MetaImage"
    DICOM = "DICOM"
    ZIP = "zip"
    UNKNOWN = "unknown"


def detect_format(path: Path) -> Format:
    """The format of a file by content; ``UNKNOWN`` for anything else, an empty file included.

    Raises:
        UnreadableError: the file is missing, is not a file, or cannot be opened.
    """
    head = read_head(path)
    if nifti_version(head):
        return Format.NIFTI
    if head.startswith((b"NRRD000", b"NRRD00.")):
        return Format.NRRD
    if _looks_like_meta(head):
        return Format.META
    if head.startswith(ZIP_MARK):
        return Format.ZIP
    if head[128:132] == b"DICM" or _looks_like_bare_dicom(head):
        return Format.DICOM
    return Format.UNKNOWN


def require_format(path: Path) -> Format:
    """The format of a file or folder, never ``UNKNOWN``; a folder or a zip file stands for DICOM.

    Raises:
        UnreadableError: missing, empty, or of an unknown format.
    """
    with convert_os_errors(path, "opened"):
        if path.is_dir():
            return Format.DICOM
    form = detect_format(path)
    if form is Format.ZIP:
        return Format.DICOM
    if form is not Format.UNKNOWN:
        return form
    head = read_head(path)
    other = name_other_format(head)
    if other:
        raise UnreadableError(f"{path}: {other}")
    if is_pair_data(path) or is_analyze(head):
        return Format.NIFTI
    if path.stat().st_size == 0:
        raise UnreadableError(f"{path}: the file is empty; copy or export it again")
    if path.name.lower().endswith((".nii", ".nii.gz", ".hdr")):
        raise UnreadableError(f"{path}: not a NIfTI file, or damaged at its start; copy or export it again")
    raise UnreadableError(f"{path}: not a file that saint reads; it reads {SUPPORTED}")


def read_head(path: Path) -> bytes:
    """The first ``HEAD_BYTES`` of the file, unpacked if it is gzip, bzip2 or xz; fewer if it is shorter or damaged.

    Raises:
        UnreadableError: the file is missing, is not a file, or cannot be opened.
    """
    try:
        with decompress.open_unpacked(path) as file:
            return file.read(HEAD_BYTES)
    except (EOFError, zlib.error, lzma.LZMAError):
        return b""
    except FileNotFoundError:
        raise UnreadableError(f"{path}: no such file or folder") from None
    except IsADirectoryError:
        raise UnreadableError(f"{path}: not a file") from None
    except OSError as error:
        if error.errno is None:  # so the bzip2 library reports damage
            return b""
        raise UnreadableError(explain_os_error(path, "opened", error)) from None


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
    """Whether the first line is a field of MetaImage, and NDims another; some writers put a byte order mark before."""
    first = re.split(rb"[=:]", head.removeprefix(b"\xef\xbb\xbf"), maxsplit=1)[0].strip()
    return first.lower() in META_FIRST_FIELDS and b"ndims" in head.lower()


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
    return is_pair_data(path) and any(path.with_name(name).exists() for name in list_pair_headers(path.name))


def list_pair_headers(name: str) -> list[str]:
    """What the header of a pair may be called, by the name or path of its voxels."""
    bare = name[: -len(".img.gz" if name.lower().endswith(".gz") else ".img")]
    return [bare + ending for ending in (".hdr", ".hdr.gz", ".HDR")]


def is_volume_name(name: str) -> bool:
    """Whether a file's name promises a volume of its own, no DICOM; the voxels of a pair belong to their header."""
    return name.lower().endswith(VOLUME_ENDINGS) and not is_pair_data(Path(name))


def is_pair_data(path: Path) -> bool:
    """Whether this headerless file is the voxel half of a pair, by its name, for nothing else shows it."""
    return path.name.lower().endswith((".img", ".img.gz"))
