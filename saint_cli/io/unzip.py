"""A zip file of a study, unpacked for as long as its files are needed."""

import errno
import shutil
import zipfile
from pathlib import Path
from typing import IO, BinaryIO

from saint_cli.errors import OutputError, UnreadableError
from saint_cli.io.regular_files import open_regular
from saint_cli.runtime.temporary import TemporaryFolder

BLOCK = 1 << 20

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""What the system says of a folder that takes no more."""

MAX_MEMBERS = 1 << 15
"""Files of one study; to write and read millions would take minutes."""

MAX_ZIP_RATIO, SPARE_BYTES = 64, 1 << 28
"""Times its own size that a zip file may unpack to, beyond the first bytes: DICOM packs 1.5 to 10 times."""

KEPT_FREE_BYTES = 1 << 28
"""What is left free of the disk for temporary files."""

MAX_DIRECTORY_BYTES = MAX_MEMBERS << 8
"""Bytes of the list of members at the end; parsing one of a hundred megabytes takes minutes."""

MAX_MEMBER_NAME = 255
"""Characters of a name that messages show; a zip file may hold 65,535."""


def extract_zip(path: Path) -> TemporaryFolder:
    """The members of a zip file in a temporary folder, which goes away with the returned object.

    Members are named by number there, so that no name in the file can lead anywhere; folders inside are flattened,
    and empty members left out.

    Raises:
        UnreadableError: not a sound zip file, encrypted, or one that unpacks to more than studies do, or than the disk
            for temporary files holds.
        OutputError: that disk is full, or cannot be written.
    """
    try:
        folder = TemporaryFolder()
        with open_regular(path) as file, zipfile.ZipFile(_BoundedReader(file, path)) as packed:
            members = [m for m in packed.infolist() if m.file_size and not m.is_dir()]
            left = _check_size(path, members, folder.parent)
            for number, member in enumerate(members):
                folder.names[f"{number:06d}"] = member.filename[-MAX_MEMBER_NAME:]
                with packed.open(member) as source, (folder.path / f"{number:06d}").open("xb") as target:
                    left -= _copy(path, source, target, left)
    except UnreadableError:
        raise
    except OSError as error:
        if error.errno in DISK_FULL:
            raise OutputError(
                f"{path}: cannot be unpacked into TMPDIR ({error.strerror}); name another folder"
            ) from None
        raise UnreadableError(f"{path}: cannot be unpacked ({error.strerror or error})") from None
    except Exception as error:  # damage makes the decompressors raise whatever they stumble over
        if type(error) is RuntimeError:
            raise UnreadableError(f"{path}: the zip file is encrypted; unpack it first") from None
        reason = str(error).partition("'")[0].strip()  # some go on with bytes of the file
        raise UnreadableError(f"{path}: the zip file is damaged ({reason or type(error).__name__})") from None
    return folder


class _BoundedReader:
    """A file that gives no more at once than the directory of a study takes: zipfile reads that in one piece."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        """Read bytes.

        Raises:
            UnreadableError: far more than any study needs.
        """
        if size > MAX_DIRECTORY_BYTES:
            raise UnreadableError(
                f"{self._path}: its list of files takes {size / 1e6:,.0f} MB; unpack it first and give its folder"
            )
        return self._file.read(size)


def _check_size(path: Path, members: list[zipfile.ZipInfo], folder: Path) -> int:
    """How many bytes the members may unpack to; refused if they claim more.

    Raises:
        UnreadableError: too many, too large, or not enough disk space for them.
    """
    if len(members) > MAX_MEMBERS:
        raise UnreadableError(f"{path}: the zip file lists {len(members)} files; unpack it first and give its folder")
    need, most = sum(member.file_size for member in members), SPARE_BYTES + MAX_ZIP_RATIO * path.stat().st_size
    if need > most:
        raise _too_large(path, need)
    free = shutil.disk_usage(folder).free
    if need > free - KEPT_FREE_BYTES:
        raise UnreadableError(
            f"{path}: unpacks to {need / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free in {folder}; "
            "name another folder in TMPDIR"
        )
    return min(most, free - KEPT_FREE_BYTES)


def _copy(path: Path, source: IO[bytes], target: IO[bytes], most: int) -> int:
    """Copy a member; the bytes are counted as they come, for a directory may lie about them."""
    done = 0
    while block := source.read(BLOCK):
        done += len(block)
        if done > most:
            raise _too_large(path, done)
        target.write(block)
    return done


def _too_large(path: Path, size: int) -> UnreadableError:
    return UnreadableError(
        f"{path}: the zip file unpacks to {size / 1e6:,.0f} MB or more, over {MAX_ZIP_RATIO} times its size; if it is "
        "not damaged, unpack it first and give its folder"
    )
