"""Which stacks lie at URLs, from listings and headers.

What a file is, is judged by its name here, since its content is far away: names of DICOM files end in .dcm, .dicom or
.ima, or have no ending but digits, as scanners and archives write them.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import PurePosixPath

from saint_cli.batch.find import Findings, Rules, Scan, count_skipped, is_wanted, make_jobs, sort_in, without_ending
from saint_cli.batch.inputs import Root
from saint_cli.batch.seen import Seen
from saint_cli.errors import SaintError, UsageError
from saint_cli.io import Description, StackInfo
from saint_cli.io.exceptions import convert_exceptions
from saint_cli.io.remote import ALONE_ENDINGS, Item, Origin
from saint_cli.io.sniff import DICOM_ENDINGS, ENDINGS
from saint_cli.io.targets import FILE_ENDING
from saint_cli.jobs import Job

VOXELS = (".img", ".img.gz")


def find_remote(roots: Sequence[Root], rules: Rules, found: Findings, tell: Callable[[int], None]) -> None:
    """Add every stack below the URLs to what was found; ``tell`` is called with their number now and then.

    Raises:
        UsageError: a root lies where results go; options that do not fit.
    """
    seen = found.seen = Seen(rules.out)
    for root, job in zip(roots, make_jobs(roots, rules), strict=True):
        assert root.origin is not None
        if rules.holds(root.origin.shown):
            raise UsageError(f"{root.origin.shown} lies in the output {rules.results}; results are never inputs")
        if root.error is not None:
            found.scans.append(_broken(root.origin, job, root, root.error))
        for unit in _units(root.origin, rules, found.ignored):
            _add(unit, job, root, (rules, seen), found)
            tell(len(found.scans))


def _units(origin: Origin, rules: Rules, ignored: Counter[str]) -> Iterator[Origin]:
    """Files of other formats, and of DICOM the topmost folder that holds any with all below it."""
    if origin.is_file:
        yield origin
        return
    visible = [item for item in origin.items if _is_visible(item.name, origin, rules)]
    units: list[tuple[str, list[Item]]] = []
    owner, series = "", list[Item]()
    for folder, group in groupby(sorted(visible, key=lambda item: _parts(item.name)), lambda item: _folder(item.name)):
        beside = list(group)
        names = {item.name for item in beside}
        for item in beside:
            kind = _kind(item.name, names)
            if kind == "DICOM" and owner and f"{folder}/".startswith(f"{owner}/"):
                series.append(item)
            elif kind == "DICOM":
                owner, series = folder, [item]
                units.append((folder, series))
            elif kind == "file":
                units.append((item.name, _with_parts(item, beside)))
            elif kind != "part":
                ignored[kind] += 1
    yield from (origin.part(main, items) for main, items in units)


def _parts(name: str) -> tuple[tuple[str, ...], str]:
    """Sorts folders before what lies in them, and files by name."""
    *folders, own = name.split("/")
    return tuple(folders), own


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _is_visible(name: str, origin: Origin, rules: Rules) -> bool:
    below = name.removeprefix(f"{origin.main}/")
    return not any(part.startswith(".") for part in below.split("/")) and not rules.holds(f"{origin.above}/{name}")


def _kind(name: str, beside: set[str]) -> str:
    """``DICOM``, ``file`` for one to describe, ``part`` of another file, or why it is passed over."""
    if _is_dicom(name):
        return "DICOM"
    lower = name.lower()
    if lower.endswith(VOXELS) and {without_ending(name) + e for e in (".hdr", ".hdr.gz", ".HDR")} & beside:
        return "part"
    return "file" if lower.endswith(ENDINGS) else "not an image"


def _is_dicom(name: str) -> bool:
    own = name.rpartition("/")[2]
    if own.lower().endswith(DICOM_ENDINGS) or own == "DICOMDIR":
        return True
    return not FILE_ENDING.search(own) and not own.lower().endswith(ENDINGS) and bool(re.search(r"\d", own))


def _with_parts(item: Item, beside: Sequence[Item]) -> list[Item]:
    """A file with those of the same folder that have its name up to the first dot, where it may need them."""
    if item.name.lower().endswith(ALONE_ENDINGS):
        return [item]
    folder, _, own = item.name.rpartition("/")
    start = f"{folder}/{own.split('.')[0]}."
    return [other for other in beside if other.name.startswith(start)]


def _add(unit: Origin, job: Job, root: Root, looked: tuple[Rules, Seen], found: Findings) -> None:
    """The stacks of one unit, each as a scan or with the reason why it is left out."""
    rules, seen = looked
    try:
        with convert_exceptions(unit.shown):
            told = seen.describe(unit, split_runs=job.split_runs, merge=job.merge)
    except UsageError as error:
        found.skipped.append((_mirrored(unit, root), str(error).removeprefix(f"{unit.shown}: ")))
        return
    except SaintError as error:
        found.scans.append(_broken(unit, job, root, error))
        return
    count_skipped(told, found)
    for number, stack in enumerate(told.stacks):
        if is_wanted(stack, job):
            sort_in(_placed(unit, told, number, job, root), stack, rules, found)


def _broken(unit: Origin, job: Job, root: Root, error: SaintError) -> Scan:
    return Scan(_mirrored(unit, root), unit.main, replace(job, origin=unit), (), error=error)


def _placed(unit: Origin, told: Description, number: int, job: Job, root: Root) -> Scan:
    """A stack under the name of its file or folder, with what must be fetched to read it."""
    stack = told.stacks[number]
    if stack.format != "DICOM":
        job = replace(job, origin=unit, split_runs=False, merge=False)  # of DICOM alone
        return Scan(_mirrored(unit, root), unit.main, job, (), stack.shape, stack.spacing_mm)
    files = [file.as_posix() for file in told.files[number]]
    own = files[0] if len(files) == 1 else posixpath.commonpath([_folder(file) for file in files])
    source = unit
    if not unit.is_file:  # stacks of one series are counted together, so all of them are fetched
        series = _names_of_series(told, stack)
        main = unit.main if "#" in stack.label else own
        source = unit.part(main, (item for item in unit.items if item.name in series))
    path = _mirrored(unit if unit.is_file else unit.part(own, source.items), root)
    job = replace(job, origin=source, series=stack.label, volume=None)
    return Scan(path, f"{source.main} {stack.label}", job, (), stack.shape, stack.spacing_mm)


def _names_of_series(told: Description, stack: StackInfo) -> set[str]:
    """The files of all stacks of the same series."""
    series = stack.label.partition("#")[0]
    same = (files for other, files in zip(told.stacks, told.files, strict=True) if other.label.split("#")[0] == series)
    return {file.as_posix() for files in same for file in files}


def _mirrored(unit: Origin, root: Root) -> str:
    """Where a result goes: the path below the root without its ending; the root's own name where they are one."""
    assert root.origin is not None
    whole = unit.main == root.origin.main
    if root.name is not None and whole:
        return root.name
    below = PurePosixPath(unit.main if whole else unit.main.removeprefix(f"{root.origin.main}/"))
    if unit.is_file or root.error is not None:
        below = below.with_name(without_ending(below.name))
    return (PurePosixPath(root.name or root.prefix) / below).as_posix()
