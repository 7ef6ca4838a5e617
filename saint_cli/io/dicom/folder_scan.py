"""Which files of a folder, a zip file or a DICOMDIR are slices, and which are skipped for what reason."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from saint_cli.errors import UnreadableError
from saint_cli.io.dicom import dicomdir
from saint_cli.io.dicom.headers import read_headers
from saint_cli.io.dicom.slice_header import SliceHeader
from saint_cli.io.dicom.values import SkippedFileError
from saint_cli.io.folder_walk import explain_absence, explain_unusable, is_folder, is_there, walk_folders
from saint_cli.io.formats import Format, detect_format, read_head
from saint_cli.io.partial_names import is_partial_name
from saint_cli.io.regular_files import SPECIAL_FILE
from saint_cli.io.skipped_files import ARCHIVE, MAX_NAMES_SHOWN, NOT_DICOM, is_archive
from saint_cli.io.unzip import extract_zip
from saint_cli.runtime.temporary import TemporaryFolder

NOT_LISTED = "listed in DICOMDIR but missing"


@dataclass
class HeaderScan:
    """The headers of the slices in a folder, and what else it holds.

    skipped: how many other files for which reason. named: the first of them for each reason that is a problem, as
    paths below the folder. damaged: the reasons for which files are skipped that should be slices.
    others: the files that are not DICOM, archives apart. folder: what was searched, if it was a folder; names: of all
    files below it. keep_alive: holds the unpacked files of a zip.
    on_progress: called with the number of files read, which is ``count``.
    """

    slices: list[SliceHeader] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    named: dict[str, list[str]] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    others: list[Path] = field(default_factory=list)
    folder: Path | None = None
    names: list[str] = field(default_factory=list)
    keep_alive: object = None
    on_progress: Callable[[int], None] = lambda count: None
    count: int = 0

    def skip(self, reason: str, name: str | None = None, *, is_damaged: bool = False) -> None:
        """Count a file that is skipped; with ``name`` as one of those that are named."""
        self.skipped[reason] += 1
        if name is not None:
            names = self.named.setdefault(reason, [])
            if len(names) < MAX_NAMES_SHOWN:
                names.append(name)
        if is_damaged:
            self.damaged.add(reason)

    def add_file(self, path: Path, name: str) -> str | None:
        """Read the slices of a file; returns the reason if it was skipped."""
        self.count += 1
        self.on_progress(self.count)
        try:
            slices = read_headers(path)
        except SkippedFileError as error:
            reason, is_named = str(error), error.is_named
            if reason == NOT_DICOM and _is_archive(path):
                reason, is_named = ARCHIVE, True
            elif reason == NOT_DICOM:
                self.others.append(path)
            self.skip(reason, name if is_named else None, is_damaged=error.is_damaged)
            return reason
        images = [header for header in slices if "LOCALIZER" not in header.image_type]  # only frames are left to check
        self.slices.extend(images)
        self.skipped += Counter({"localizer frame": len(slices) - len(images)})
        return None

    def add_folder(self, folder: Path, packed: TemporaryFolder | None = None) -> None:
        """Read every file below a folder, named as it is there, or as in the zip file that was unpacked there."""
        for file, reason in list_files(folder):
            name = file.relative_to(folder).as_posix()
            self.names.append(name)
            name = name if packed is None else packed.names.get(name, name)
            if reason:
                self.skip(reason, name, is_damaged=reason != SPECIAL_FILE)
            else:
                self.add_file(file, name)

    def add_dicomdir(self, path: Path) -> None:
        """Read the files that a DICOMDIR lists; its folder, where it lists none or none of them is there."""
        folder = path.absolute().parent
        listed = dicomdir.read_dicomdir(path)
        present = [file for _, file in listed if file is not None]
        if not present:
            self.skipped.clear()
            self.add_folder(folder)
        for name, file in listed:
            if file is None:
                self.skip(NOT_LISTED, name, is_damaged=True)
        for file in dict.fromkeys(present):
            self.add_file(file, file.relative_to(folder).as_posix())


def scan_headers(path: Path, on_progress: Callable[[int], None]) -> HeaderScan:
    """Read the headers of every file below a folder, in a zip file, that a DICOMDIR lists, or of one file.

    ``on_progress`` is called with the number of files read.

    Raises:
        UnreadableError: ``path`` is missing or cannot be listed.
    """
    if not is_there(path):
        raise UnreadableError(f"{path}: {explain_absence(path)}")
    scan = HeaderScan(on_progress=on_progress)
    if is_folder(path):
        scan.folder = path
        scan.add_folder(path)
    elif detect_format(path) is Format.ZIP:
        packed = extract_zip(path)
        scan.add_folder(packed.path, packed)
        scan.keep_alive = packed
    elif scan.add_file(path, path.name) == dicomdir.SKIP_REASON:
        scan.add_dicomdir(path)
    return scan


def list_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every entry below a folder in sorted order, links followed, no folder entered twice; with why it is no file.

    Raises:
        UnreadableError: the folder itself cannot be listed.
    """
    errors: list[OSError] = []
    for root, names in walk_folders(folder, lambda path, name: not is_partial_name(name), errors.append):
        yield from ((Path(root, name), explain_unusable(Path(root, name))) for name in names)
    for error in errors:
        if Path(error.filename) == folder:
            raise UnreadableError(f"{folder}: cannot be listed ({error.strerror})") from None
        yield Path(error.filename), f"folder that cannot be listed, {(error.strerror or 'error').lower()}"


def _is_archive(path: Path) -> bool:
    try:
        return is_archive(read_head(path))
    except UnreadableError:
        return False
