"""Units of a tree on this machine: files and folders that are described each by itself."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from saint_cli import io
from saint_cli.batch.inputs import Root
from saint_cli.batch.search import NO_DICOM, NO_IMAGE, OTHER_RESULTS, SearchRules, Unit
from saint_cli.batch.state_files import is_state_dir
from saint_cli.errors import SaintError, UnreadableError
from saint_cli.io.error_conversion import convert_exceptions
from saint_cli.io.folder_walk import explain_unusable, is_file, is_folder, walk_folders
from saint_cli.io.formats import DICOM_ENDINGS, IMAGE_ENDINGS, Format, detect_format, is_part_of_pair, read_head
from saint_cli.io.read_options import pick_stack_options
from saint_cli.io.skipped_files import ARCHIVE, MAX_NAMES_SHOWN, format_reason, is_archive
from saint_cli.options.job import JobSettings


@dataclass(frozen=True)
class LocalUnit(Unit):
    """A ``Unit`` on this machine."""

    location: Path

    @classmethod
    def from_root(cls, root: Root, path: Path) -> "LocalUnit":
        """The unit of a file or folder below a root."""
        return cls(root, path, (Path(root.base_name) / path.relative_to(root.path)).as_posix(), is_file(path))

    def split(self, rules: SearchRules, ignored: Counter[str]) -> "Iterator[LocalUnit]":
        if not is_folder(self.location):
            yield self
            return
        for path in _find_units(self.location, rules, ignored):
            yield LocalUnit.from_root(self.root, path)

    def describe(self, settings: JobSettings) -> io.Description:
        how = pick_stack_options(settings)
        return io.describe(self.location, **how, only_dicom=True, outside_data=settings.outside_data)

    def holds_as_results(self, files: Sequence[Path], rules: SearchRules) -> bool:
        """Whether all of these files of it lie in folders of results below it, which are read with all of its DICOM."""
        folders = {file.parent for file in files}
        return bool(folders) and all(self._is_in_results(folder, rules) for folder in folders)

    def _is_in_results(self, folder: Path, rules: SearchRules) -> bool:
        if not folder.is_relative_to(self.location):
            return False
        above = (folder, *folder.parents)[: len(folder.parts) - len(self.location.parts)]
        return any(rules.is_output_folder(str(one), one.name) or is_state_dir(one) for one in above)

    def find_stack(self, description: io.Description, index: int) -> "tuple[LocalUnit, LocalUnit]":
        files = description.files[index]
        if not self.location.is_dir():
            return self, self
        folder = files[0] if len(files) == 1 else Path(os.path.commonpath([file.parent for file in files]))
        smallest = LocalUnit.from_root(self.root, folder)
        # stacks of one series are counted below the same folder only
        return (self if "#" in description.stacks[index].label else smallest), smallest


def _find_units(root: Path, rules: SearchRules, ignored: Counter[str]) -> Iterator[Path]:
    """The paths of the units below a folder, in sorted order."""
    dicom_folder: str | None = None  # the last DICOM unit: all below it comes before anything else
    problems: dict[str, list[str]] = defaultdict(list)  # those in DICOM units are found with their headers
    root_error: OSError | None = None

    def is_in_dicom(path: str) -> bool:
        return dicom_folder is not None and f"{path}{os.sep}".startswith(dicom_folder)

    def enter(path: str, name: str) -> bool:
        is_left_out = name.startswith(".") or rules.is_output_folder(path, name)
        if not is_left_out and is_state_dir(Path(path)):
            problems[OTHER_RESULTS].append(Path(path).relative_to(root).as_posix())
            return False
        return not is_left_out

    def add_error(error: OSError) -> None:
        nonlocal root_error
        if error.filename == str(root):
            root_error = error
        elif not is_in_dicom(error.filename):
            reason = f"folder that cannot be listed, {(error.strerror or 'error').lower()}"
            problems[reason].append(Path(error.filename).name)

    for folder, names in walk_folders(root, enter, add_error):
        kinds = {name: _kind(Path(folder, name)) for name in names if not name.startswith(".")}
        if not is_in_dicom(folder) and "DICOM" in kinds.values():
            dicom_folder = os.path.join(folder, "")  # noqa: PTH118 - with a separator at its end
            yield Path(folder)
        for name, kind in kinds.items():
            if kind == "file":
                yield Path(folder, name)
            elif kind in (NO_IMAGE, ARCHIVE):
                ignored[kind] += 1
            elif kind == NO_DICOM or (kind not in ("DICOM", "part") and not is_in_dicom(folder)):
                problems[kind].append(Path(folder, name).relative_to(root).as_posix())
    for reason, names in problems.items():
        ignored[format_reason(reason, len(names), {reason: names[:MAX_NAMES_SHOWN]})] += len(names)
    if root_error is not None:
        raise UnreadableError(f"{root}: cannot be listed ({root_error.strerror})")


def _kind(path: Path) -> str:
    """``DICOM``, ``file`` for one to describe, ``part`` of another file, or why it is ignored.

    A name that promises a volume is one to describe, even if it cannot be opened, so that it counts as a failure.
    """
    name = path.name.lower()
    reason, packed = explain_unusable(path), False
    try:
        with convert_exceptions(path):
            file_format = Format.UNKNOWN if reason else detect_format(path)
            packed = not reason and is_archive(read_head(path))
    except SaintError as error:
        file_format, reason = Format.UNKNOWN, f"that {str(error).removeprefix(f'{path}: ')}"
    if file_format is Format.DICOM or (reason and name.endswith(DICOM_ENDINGS)):
        return "DICOM"
    if file_format is Format.UNKNOWN and is_part_of_pair(path):
        return "part"
    if reason and not name.endswith(IMAGE_ENDINGS):
        return reason
    if file_format is Format.UNKNOWN and name.endswith(DICOM_ENDINGS):
        return NO_DICOM
    if name.endswith(IMAGE_ENDINGS) or file_format not in (Format.UNKNOWN, Format.ZIP):
        return "file"
    return ARCHIVE if packed else NO_IMAGE
