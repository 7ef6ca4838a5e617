"""A zip file of a study, unpacked for as long as its files are needed."""

import shutil
import tempfile
import weakref
import zipfile
from pathlib import Path

from saint_cli.errors import UnreadableError

MOST_RATIO = 1032
"""DEFLATE cannot shrink data by more than this, so a directory that claims more is false."""

BLOCK = 1 << 20


class TemporaryFolder:
    """A private folder for temporary files that goes away with the object, or with the process at the latest.

    names: what the files in it were called where they came from, by their names here.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="saint-"))
        self.names: dict[str, str] = {}
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def unpacked(path: Path) -> TemporaryFolder:
    """The members of a zip file in a temporary folder, which goes away with the returned object.

    Members are named by number there, so that no name in the file can lead anywhere; folders inside are flattened.

    Raises:
        UnreadableError: not a sound zip file, encrypted, or larger than the disk for temporary files.
    """
    folder = TemporaryFolder()
    try:
        with zipfile.ZipFile(path) as packed:
            members = [m for m in packed.infolist() if not m.is_dir()]
            _check_size(path, members, folder.path)
            for number, member in enumerate(members):
                folder.names[f"{number:06d}"] = member.filename
                with packed.open(member) as source, (folder.path / f"{number:06d}").open("xb") as target:
                    shutil.copyfileobj(source, target, BLOCK)
    except UnreadableError:
        raise
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be unpacked ({error.strerror or error})") from None
    except Exception as error:  # damage makes the decompressors raise whatever they stumble over
        if type(error) is RuntimeError:
            raise UnreadableError(f"{path}: the zip file is encrypted; unpack it first") from None
        raise UnreadableError(f"{path}: the zip file is damaged ({error or type(error).__name__})") from None
    return folder


def _check_size(path: Path, members: list[zipfile.ZipInfo], folder: Path) -> None:
    need = sum(member.file_size for member in members)
    deflated = [member for member in members if member.compress_type == zipfile.ZIP_DEFLATED]
    if any(member.file_size > MOST_RATIO * max(member.compress_size, 1) for member in deflated):
        raise UnreadableError(f"{path}: the zip file is damaged (a member claims more than it can unpack to)")
    free = shutil.disk_usage(folder).free
    if need > free:
        raise UnreadableError(
            f"{path}: unpacks to {need / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free in {folder.parent}"
        )
