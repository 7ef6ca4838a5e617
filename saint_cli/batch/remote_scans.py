"""Units of a tree at a URL: files and folders that are described each by itself.

What a file is, is judged by its name, since its content is far away: names of DICOM files end in .dcm, .dicom or .ima,
or have no ending but digits, as scanners and archives write them.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from saint_cli.batch.inputs import Root
from saint_cli.batch.remote_cache import RemoteCache
from saint_cli.batch.search import NO_IMAGE, OTHER_RESULTS, SearchRules, Unit
from saint_cli.batch.state_files import LOCK
from saint_cli.io import Description, StackInfo
from saint_cli.io.formats import DICOM_ENDINGS, IMAGE_ENDINGS, SINGLE_FILE_ENDINGS, is_pair_data, list_pair_headers
from saint_cli.io.output_checks import FILE_ENDING
from saint_cli.io.read_options import pick_stack_options
from saint_cli.io.remote.transfer import RemoteFile, RemoteSource
from saint_cli.io.skipped_files import MAX_NAMES_SHOWN, format_reason
from saint_cli.options.job import JobSettings


@dataclass(frozen=True)
class RemoteUnit(Unit):
    """A ``Unit`` at a URL."""

    location: RemoteSource
    cache: RemoteCache

    @classmethod
    def from_root(cls, root: Root, source: RemoteSource, cache: RemoteCache) -> "RemoteUnit":
        """The unit of a file or folder below a root."""
        return cls(root, source, source.main, source.is_file or root.error is not None, cache)

    def split(self, rules: SearchRules, ignored: Counter[str]) -> "Iterator[RemoteUnit]":
        if self.root.error is not None:
            raise self.root.error
        if self.location.is_file:
            yield self
            return
        results = self._list_other_results(rules)
        if results:
            named = [folder.removeprefix(f"{self.location.main}/") for folder in results[:MAX_NAMES_SHOWN]]
            ignored[format_reason(OTHER_RESULTS, len(results), {OTHER_RESULTS: named})] += len(results)
        inside = tuple(f"{folder}/" for folder in results)
        visible = [
            file
            for file in self.location.items
            if self._is_visible(file.name, rules) and not file.name.startswith(inside)
        ]
        units: list[tuple[str, list[RemoteFile]]] = []
        dicom_folder, series = "", list[RemoteFile]()
        for folder, group in groupby(sorted(visible, key=_sort_key), lambda file: _folder(file.name)):
            siblings = list(group)
            names = {file.name for file in siblings}
            for file in siblings:
                kind = _kind(file.name, names)
                if kind == "DICOM" and dicom_folder and f"{folder}/".startswith(f"{dicom_folder}/"):
                    series.append(file)
                elif kind == "DICOM":
                    dicom_folder, series = folder, [file]
                    units.append((folder, series))
                elif kind == "file":
                    units.append((file.name, _with_parts(file, siblings)))
                elif kind != "part":
                    ignored[kind] += 1
        yield from (self._part(main, files) for main, files in units)

    def describe(self, settings: JobSettings) -> Description:
        return self.cache.describe(self.location, **pick_stack_options(settings))

    def find_stack(self, description: Description, index: int) -> "tuple[RemoteUnit, RemoteUnit]":
        if self.location.is_file:
            return self, self
        stack, names = description.stacks[index], [file.as_posix() for file in description.files[index]]
        folder = names[0] if len(names) == 1 else posixpath.commonpath([_folder(name) for name in names])
        series = _list_series_files(description, stack)  # stacks of one series are counted together: all are fetched
        files = [file for file in self.location.items if file.name in series]
        source = self._part(self.location.main if "#" in stack.label else folder, files)
        return source, self._part(folder, files)

    def _list_other_results(self, rules: SearchRules) -> list[str]:
        """The topmost folders below it that hold the state of a batch, as a copied folder of results does."""
        states = (file.name.removesuffix(f"/{LOCK}") for file in self.location.items if file.name.endswith(f"/{LOCK}"))
        topmost = list[str]()
        for folder in sorted(states):
            is_below = folder != self.location.main and self._is_visible(folder, rules)
            if is_below and not any(folder.startswith(f"{one}/") for one in topmost):
                topmost.append(folder)
        return topmost

    def _is_visible(self, name: str, rules: SearchRules) -> bool:
        below = name.removeprefix(f"{self.location.main}/")
        is_hidden = any(part.startswith(".") for part in below.split("/"))
        return not is_hidden and not rules.is_output(f"{self.location.parent_url}/{name}")

    def _part(self, main: str, files: Sequence[RemoteFile]) -> "RemoteUnit":
        return RemoteUnit.from_root(self.root, self.location.part(main, files), self.cache)


def _sort_key(file: RemoteFile) -> tuple[tuple[str, ...], str]:
    """Sorts folders before what lies in them, and files by name."""
    *folders, name = file.name.split("/")
    return tuple(folders), name


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _kind(name: str, siblings: set[str]) -> str:
    """``DICOM``, ``file`` for one to describe, ``part`` of another file, or why it is ignored."""
    if _is_dicom(name):
        return "DICOM"
    if is_pair_data(Path(name)) and not siblings.isdisjoint(list_pair_headers(name)):
        return "part"
    return "file" if name.lower().endswith(IMAGE_ENDINGS) else NO_IMAGE


def _is_dicom(path: str) -> bool:
    name = path.rpartition("/")[2]
    if name.lower().endswith(DICOM_ENDINGS) or name == "DICOMDIR":
        return True
    return not FILE_ENDING.search(name) and not name.lower().endswith(IMAGE_ENDINGS) and bool(re.search(r"\d", name))


def _with_parts(file: RemoteFile, siblings: Sequence[RemoteFile]) -> list[RemoteFile]:
    """A file with those of the same folder that have its name up to the first dot, where it may need them."""
    if file.name.lower().endswith(SINGLE_FILE_ENDINGS):
        return [file]
    folder, _, name = file.name.rpartition("/")
    start = f"{folder}/{name.split('.')[0]}."
    return [other for other in siblings if other.name.startswith(start)]


def _list_series_files(description: Description, stack: StackInfo) -> set[str]:
    """The files of all stacks of the same series."""
    stacks = zip(description.stacks, description.files, strict=True)
    same = (files for other, files in stacks if other.series_uid == stack.series_uid)
    return {file.as_posix() for files in same for file in files}
