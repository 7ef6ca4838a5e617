"""Which stacks lie in files and folders, from their headers alone."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from saint_cli import io
from saint_cli.batch.inputs import Root
from saint_cli.batch.seen import Seen
from saint_cli.batch.tables import list_problems
from saint_cli.batch.units import find_units
from saint_cli.errors import GeometryError, LabelMapError, SaintError, UnreadableError, UsageError
from saint_cli.io import Description, StackInfo, urls
from saint_cli.io.entries import identity, is_file, is_link, real_path
from saint_cli.io.exceptions import convert_exceptions
from saint_cli.io.places import lies_in
from saint_cli.io.skipped import ARCHIVE, format_reason
from saint_cli.io.sniff import ENDINGS
from saint_cli.jobs import Job
from saint_cli.volume import Header, Volume

Template = Callable[[Mapping[str, str]], Job]
"""Makes a job without source and target of the options in which a scan differs from the command line."""


@dataclass(frozen=True)
class Scan:
    """A stack to upsample, or one (``error``) that should be but cannot.

    path: where it lies, below what the user named, without ending; its result is named after it. tag: what tells it
    from all others, for the case that two have one path. job: source, series and options; the target is still open.
    files: what the result depends on, where that lies on this machine. shape, spacing_mm: of the stack (x, y, z);
    None where unknown. finer: output slices over acquired slices.
    """

    path: str
    tag: str
    job: Job
    files: tuple[Path, ...]
    shape: tuple[int, int, int] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    finer: float = 1.0
    error: SaintError | None = None

    @property
    def source(self) -> str:
        """Path or URL of what is read."""
        return str(self.job.source) if self.job.origin is None else self.job.origin.shown


@dataclass
class Findings:
    """Scans; stacks that were left out and why; how many files were passed over for which reason; what URLs held."""

    scans: list[Scan] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    seen: Seen | None = None


@dataclass(frozen=True)
class Rules:
    """What to look for: options of a scan, the folder of results (never input), and kinds to include nevertheless.

    results: URL of the results, if they go to one; ``out`` has the books alone then.
    """

    template: Template
    out: Path
    include: frozenset[str] = frozenset()
    results: str | None = None

    def holds(self, source: str | Path) -> bool:
        """Whether a path or URL lies where results or books go, however the two are named."""
        if not urls.is_url(str(source)) and lies_in(Path(source), self.out):
            return True
        homes = [str(self.out)] if self.results is None else [str(self.out), self.results]
        return any(f"{urls.place(str(source))}/".startswith(f"{urls.place(home)}/") for home in homes)

    def holds_entry(self, path: str, name: str) -> bool:
        """Whether a folder that a walk meets below one that holds no results is theirs.

        As ``holds``, which looks at every folder above, for those alone that can be.
        """
        could = name in self._names or is_link(path) or identity(path) == identity(self.out)
        return could and self.holds(path)

    @cached_property
    def _names(self) -> frozenset[str]:
        homes = [str(self.out)] if self.results is None else [str(self.out), self.results]
        return frozenset(urls.place(home).rpartition("/")[2] for home in homes)


def find(roots: Sequence[Root], rules: Rules, tell: Callable[[int], None]) -> Findings:
    """Every stack below the roots, in sorted order; ``tell`` is called with their number now and then.

    Raises:
        UsageError: a root lies in the folder of results; options that do not fit.
    """
    found = Findings()
    for root, job in zip(roots, make_jobs(roots, rules), strict=True):
        if rules.holds(root.path):
            raise UsageError(f"{root.path} lies in the output folder {rules.out}; results are never inputs")
        try:
            with convert_exceptions(root.path):
                for unit in find_units(root.path, rules.holds_entry, found.ignored):
                    _add(unit, replace(job, source=unit), root, rules, found)
                    tell(len(found.scans))
        except SaintError as error:  # what each unit holds is a scan by itself; this is of the folder
            found.scans.append(_broken(root.path, job, root, error))
    return found


def make_jobs(roots: Sequence[Root], rules: Rules) -> list[Job]:
    """The job of each root by the options of its row, still without source and target.

    Raises:
        UsageError: options that do not fit; of a table with the first rows that have them, and how many do.
    """
    jobs, problems = [], list[str]()
    for root in roots:
        try:
            jobs.append(rules.template(root.options))
        except UsageError as error:
            if root.row is None:
                raise
            problems.append(f"{root.row}: {error}")
    if problems:
        raise UsageError(list_problems(problems))
    return jobs


def _add(unit: Path, job: Job, root: Root, rules: Rules, found: Findings) -> None:
    """The stacks of one unit, each as a scan or with the reason why it is left out."""
    name = _mirrored(unit, root)
    try:
        told = io.describe(
            unit, split_runs=job.split_runs, merge=job.merge, only_dicom=True, outside_data=job.outside_data
        )
    except UsageError as error:
        found.skipped.append((name, _without(unit, error)))
        return
    except SaintError as error:
        found.scans.append(_broken(unit, job, root, error))
        return
    count_skipped(told, found)
    for stack, files in zip(told.stacks, told.files, strict=True):
        if is_wanted(stack, job):
            sort_in(_placed(told, stack, files, job, root), stack, rules, found)


def _broken(unit: Path, job: Job, root: Root, error: SaintError) -> Scan:
    return Scan(_mirrored(unit, root), _tag(unit, root), replace(job, source=unit), (unit,), error=error)


def count_skipped(told: Description, found: Findings) -> None:
    """Count the files of a DICOM unit that were skipped, but for those that the search for units counts."""
    for reason, count in told.skipped.items():
        if reason not in ("not DICOM", ARCHIVE):
            found.ignored[format_reason(reason, count, told.named)] += count


def sort_in(one: Scan, stack: StackInfo, rules: Rules, found: Findings) -> None:
    """Add a stack as a scan, or to what is left out with the reason."""
    if stack.secondary == io.LABEL_MAP and ("label" in rules.include or not one.job.refuse_labels):
        stack = replace(stack, secondary="")
        if stack.exit_code == LabelMapError.exit_code:  # others, such as a file of several volumes, stay
            stack = replace(stack, problem=None, exit_code=0)
    try:
        with convert_exceptions(one.source):
            reason = _left_out(stack, one.job, rules)
            judged = one if reason else _judged(one, stack)
    except SaintError as error:  # of a geometry that no grid can be laid on
        reason, judged = "", replace(one, error=error)
    if reason:
        found.skipped.append((one.path, reason))
    else:
        found.scans.append(judged)


def is_wanted(stack: StackInfo, job: Job) -> bool:
    """Whether a table's ``series`` and ``volume``, if it has them, name this stack (``io.read_volume``)."""
    if stack.format != "DICOM":
        return True
    series, _, place = stack.label.partition("#")
    if job.volume is not None and place not in ("", str(job.volume)):
        return False
    names = (str(stack.number), stack.label, series)
    return job.series is None or job.series in names or series.endswith(f".{job.series}")


def _placed(told: Description, stack: StackInfo, files: tuple[Path, ...], job: Job, root: Root) -> Scan:
    """A stack under the name of its file or folder, read from the smallest folder that holds it."""
    source = told.path
    if stack.format != "DICOM":
        job = replace(job, split_runs=False, merge=False)  # of DICOM alone
        return Scan(_mirrored(source, root), _tag(source, root), job, files, stack.shape, stack.spacing_mm)
    own = files[0] if len(files) == 1 else Path(os.path.commonpath([file.parent for file in files]))
    if source.is_dir() and "#" not in stack.label:  # stacks of one series are counted below the same folder only
        source = own
    path = _mirrored(own if told.path.is_dir() else told.path, root)
    tag = f"{_tag(source, root)} {stack.label}"
    job = replace(job, source=source, series=stack.label, volume=None)
    return Scan(path, tag, job, files, stack.shape, stack.spacing_mm)


def _left_out(stack: StackInfo, job: Job, rules: Rules) -> str:
    """Why a stack is no scan to upsample; "" if it is one."""
    if stack.format == "DICOM" and stack.shape is not None and stack.shape[2] == 1:
        return "a single slice"
    if stack.problem and stack.problem.startswith("phase map"):
        return stack.problem
    if stack.secondary and stack.secondary.split()[1] not in rules.include:
        return f"{stack.secondary} (--include {stack.secondary.split()[1]} takes it)"
    if stack.problem or stack.shape is None or stack.spacing_mm is None or _is_undecided(stack, job):
        return ""
    try:
        job.grid.on(_outline(stack.shape, stack.spacing_mm, stack.format))
    except SaintError as error:
        return str(error)
    return ""


def _is_undecided(stack: StackInfo, job: Job) -> bool:
    """Whether the stack is a file of several volumes, of which the job names none."""
    return stack.volumes > 1 and job.volume is None


def _judged(one: Scan, stack: StackInfo) -> Scan:
    """The scan with its problem, or with how many times as many slices it will have."""
    if stack.problem:
        kind = GeometryError if stack.exit_code == GeometryError.exit_code else UnreadableError
        return replace(one, error=kind(f"{one.source}: {stack.problem}"))
    if _is_undecided(stack, one.job):
        shown = " x ".join(map(str, (*(stack.shape or ()), stack.volumes)))
        asked = f"choose one of its {stack.volumes} volumes with --volume, or with column volume of a table"
        return replace(one, error=GeometryError(f"{one.source}: 4-D image ({shown}); {asked}"))
    if one.shape is None or one.spacing_mm is None:
        return one
    grid = one.job.grid.on(_outline(one.shape, one.spacing_mm, stack.format))
    return replace(one, finer=grid.count / grid.acquired)


def _outline(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], form: str) -> Volume:
    """A volume of this geometry without voxels of its own."""
    empty = np.broadcast_to(np.int16(0), shape)
    return Volume(empty, np.diag([*spacing_mm, 1.0]), Header(source_format=form))


def _mirrored(path: Path, root: Root) -> str:
    """Where a result goes: the path below the root without its ending; the root's own name where they are one."""
    if root.name is not None and path == root.path:
        return root.name
    below = path.relative_to(root.path) if path != root.path else Path(real_path(path).name)
    if is_file(path):
        below = below.with_name(without_ending(below.name))
    return (Path(root.name or root.prefix) / below).as_posix()


def without_ending(name: str) -> str:
    """A file's name without the ending of an image."""
    ending = next((e for e in ENDINGS if name.lower().endswith(e) and name.lower() != e), "")
    return name[: len(name) - len(ending)]


def _tag(path: Path, root: Root) -> str:
    return (Path(real_path(root.path).name) / path.relative_to(root.path)).as_posix()


def _without(path: Path, error: SaintError) -> str:
    return str(error).removeprefix(f"{path}: ")
