"""Which files of a folder, a zip file or a DICOMDIR are slices, and which are skipped for what reason."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from saint_cli.errors import UnreadableError
from saint_cli.files import NO_FILE
from saint_cli.io import dicom_directory
from saint_cli.io.dicom_headers import NOT_DICOM, read_headers
from saint_cli.io.dicom_slice import SliceHeader
from saint_cli.io.dicom_values import Skipped
from saint_cli.io.entries import explain_absence, explain_unusable, is_folder, is_there, walk_folders
from saint_cli.io.partial import is_ours
from saint_cli.io.skipped import ARCHIVE, NAMES_SHOWN, is_archive
from saint_cli.io.sniff import Format, read_head, sniff
from saint_cli.io.unzip import unpacked
from saint_cli.temporary import TemporaryFolder

NOT_LISTED = "listed in DICOMDIR but missing"


@dataclass
class Scan:
    """What a folder holds: its slices, and what else.

    skipped: how many other files for which reason. named: the first of them for each reason that is a problem, as
    paths below the folder. damaged: the reasons for which files are skipped that should be slices.
    others: the files that are not DICOM, archives apart. folder: what was searched, if it was a folder; names: of all
    files below it. keeper: what keeps the files of a zip where they are.
    on_progress: called with the number of files read, which is ``count``.
    """

    slices: list[SliceHeader] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    named: dict[str, list[str]] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    others: list[Path] = field(default_factory=list)
    folder: Path | None = None
    names: list[str] = field(default_factory=list)
    keeper: object = None
    on_progress: Callable[[int], None] = lambda count: None
    count: int = 0

    def skip(self, reason: str, name: str | None = None) -> None:
        """Count a file that is skipped; with ``name`` as one of those that are named."""
        self.skipped[reason] += 1
        if name is not None:
            names = self.named.setdefault(reason, [])
            if len(names) < NAMES_SHOWN:
                names.append(name)


def scan(path: Path, on_progress: Callable[[int], None] = lambda count: None) -> Scan:
    """Read the headers of every file below a folder, in a zip file, that a DICOMDIR lists, or of one file.

    ``on_progress`` is called with the number of files read.

    Raises:
        UnreadableError: ``path`` is missing or cannot be listed.
    """
    if not is_there(path):
        raise UnreadableError(f"{path}: {explain_absence(path)}")
    found = Scan(on_progress=on_progress)
    if is_folder(path):
        found.folder = path
        _add_folder(path, found)
    elif sniff(path) is Format.ZIP:
        folder = unpacked(path)
        _add_folder(folder.path, found, folder)
        found.keeper = folder
    elif _add(path, found, path.name) == dicom_directory.KIND:
        _add_directory(path, found)
    return found


def _add_directory(path: Path, found: Scan) -> None:
    """The files that a DICOMDIR lists; its folder, where it lists none or none of them is there."""
    listed = dicom_directory.read_references(path)
    there = [file for _, file in listed if file is not None]
    if not there:
        found.skipped.clear()
        _add_folder(path.absolute().parent, found)
    for name, file in listed:
        if file is None:
            found.skip(NOT_LISTED, name)
            found.damaged.add(NOT_LISTED)
    for file in dict.fromkeys(there):
        _add(file, found, file.relative_to(path.absolute().parent).as_posix())


def _add_folder(folder: Path, found: Scan, packed: TemporaryFolder | None = None) -> None:
    """Every file below a folder, named as it is there or as it was called in its zip file."""
    for file, reason in list_files(folder):
        name = file.relative_to(folder).as_posix()
        found.names.append(name)
        name = name if packed is None else packed.names.get(name, name)
        if reason:
            found.skip(reason, name)
            found.damaged |= {reason} - {NO_FILE}
        else:
            _add(file, found, name)


def list_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every entry below a folder in sorted order, links followed, no folder entered twice; with why it is no file.

    Raises:
        UnreadableError: the folder itself cannot be listed.
    """
    closed: list[OSError] = []
    for root, names in walk_folders(folder, lambda path, name: not is_ours(name), closed.append):
        yield from ((Path(root, name), explain_unusable(Path(root, name))) for name in names)
    for error in closed:
        if Path(error.filename) == folder:
            raise UnreadableError(f"{folder}: cannot be listed ({error.strerror})") from None
        yield Path(error.filename), f"folder that cannot be listed, {(error.strerror or 'error').lower()}"


def _add(path: Path, found: Scan, name: str) -> str | None:
    """Add the slices of a file to ``found``; returns the reason if it was skipped."""
    found.count += 1
    found.on_progress(found.count)
    try:
        slices = read_headers(path)
    except Skipped as skipped:
        reason, is_named = str(skipped), skipped.is_named
        if reason == NOT_DICOM and _is_archive(path):
            reason, is_named = ARCHIVE, True
        elif reason == NOT_DICOM:
            found.others.append(path)
        found.skip(reason, name if is_named else None)
        if skipped.is_damage:
            found.damaged.add(reason)
        return reason
    kept = [one for one in slices if "LOCALIZER" not in one.image_type]  # of frames: files were skipped above
    found.slices.extend(kept)
    found.skipped += Counter({"localizer frame": len(slices) - len(kept)})
    return None


def _is_archive(path: Path) -> bool:
    try:
        return is_archive(read_head(path))
    except UnreadableError:
        return False
