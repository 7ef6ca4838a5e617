"""Which stacks lie in files and folders, from their headers alone."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from saint_cli import io
from saint_cli.batch.inputs import Root
from saint_cli.batch.seen import Seen
from saint_cli.errors import GeometryError, LabelMapError, SaintError, UnreadableError, UsageError
from saint_cli.io import Description, StackInfo, urls
from saint_cli.io.entries import explain_unusable, identity
from saint_cli.io.skipped import ARCHIVE, NAMES_SHOWN, format_reason, is_archive
from saint_cli.io.sniff import DICOM_ENDINGS, ENDINGS, Format, is_part_of_pair, read_head, sniff
from saint_cli.jobs import Job
from saint_cli.volume import Header, Volume

Template = Callable[[Mapping[str, str]], Job]
"""Makes a job without source and target of the options in which a scan differs from the command line."""

NO_IMAGE = "not an image"
"""Why most files are passed over."""


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
        homes = [str(self.out)] if self.results is None else [str(self.out), self.results]
        return any(f"{urls.place(str(source))}/".startswith(f"{urls.place(home)}/") for home in homes)


def find(roots: Sequence[Root], rules: Rules, tell: Callable[[int], None]) -> Findings:
    """Every stack below the roots, in sorted order; ``tell`` is called with their number now and then.

    Raises:
        UsageError: a root lies in the folder of results; options that do not fit.
    """
    found = Findings()
    for root in roots:
        if rules.holds(root.path):
            raise UsageError(f"{root.path} lies in the output folder {rules.out}; results are never inputs")
        job = rules.template(root.options)
        for unit in _units(root.path, rules, found.ignored):
            _add(unit, replace(job, source=unit), root, rules, found)
            tell(len(found.scans))
    return found


def _units(root: Path, rules: Rules, ignored: Counter[str]) -> Iterator[Path]:
    """Files of other formats, and of DICOM the topmost folder that holds any (or a DICOMDIR) with all below it."""
    if not root.is_dir():
        yield root
        return
    owned: list[str] = []
    seen: set[tuple[int, int]] = set()
    problems: dict[str, list[str]] = defaultdict(list)  # of DICOM units, those who read their headers tell
    for folder, folders, names in os.walk(root, followlinks=True, onerror=lambda e: _note_closed(e, problems)):
        key = identity(Path(folder))
        if key is None or key in seen or rules.holds(folder):
            folders.clear()
            continue
        seen.add(key)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        kinds = {name: _kind(Path(folder, name)) for name in sorted(names) if not name.startswith(".")}
        dicom = any(folder.startswith(other) for other in owned)
        if not dicom and "DICOM" in kinds.values():
            dicom = True
            owned.append(os.path.join(folder, ""))  # noqa: PTH118 - with a separator at its end
            yield Path(folder)
        for name, kind in kinds.items():
            if kind == "file":
                yield Path(folder, name)
            elif kind in (NO_IMAGE, ARCHIVE):
                ignored[kind] += 1
            elif kind not in ("DICOM", "part") and not dicom:
                problems[kind].append(Path(folder, name).relative_to(root).as_posix())
    for reason, places in problems.items():
        ignored[format_reason(reason, len(places), {reason: places[:NAMES_SHOWN]})] += len(places)


def _note_closed(error: OSError, problems: dict[str, list[str]]) -> None:
    problems[f"folder that cannot be listed, {(error.strerror or 'error').lower()}"].append(Path(error.filename).name)


def _kind(path: Path) -> str:
    """``DICOM``, ``file`` for one to describe, ``part`` of another file, or why it is passed over.

    A name that promises an image is one to describe, even if it cannot be opened, so that it counts as a failure.
    """
    name = path.name.lower()
    reason, packed = explain_unusable(path), False
    try:
        form = Format.UNKNOWN if reason else sniff(path)
        packed = not reason and is_archive(read_head(path))
    except UnreadableError as error:
        form, reason = Format.UNKNOWN, f"that {str(error).removeprefix(f'{path}: ')}"
    if form is Format.DICOM or (reason and name.endswith(DICOM_ENDINGS)):
        return "DICOM"
    if form is Format.UNKNOWN and is_part_of_pair(path):
        return "part"
    if reason and not name.endswith(ENDINGS):
        return reason
    if name.endswith(ENDINGS) or form not in (Format.UNKNOWN, Format.ZIP):
        return "file"
    return ARCHIVE if packed else NO_IMAGE


def _add(unit: Path, job: Job, root: Root, rules: Rules, found: Findings) -> None:
    """The stacks of one unit, each as a scan or with the reason why it is left out."""
    name = _mirrored(unit, root)
    try:
        told = io.describe(unit, split_runs=job.split_runs, merge=job.merge, only_dicom=True)
    except UsageError as error:
        found.skipped.append((name, _without(unit, error)))
        return
    except SaintError as error:
        broken = Scan(name, _tag(unit, root), job, (unit,), error=error)
        found.scans.append(broken)
        return
    count_skipped(told, found)
    for stack, files in zip(told.stacks, told.files, strict=True):
        if is_wanted(stack, job):
            sort_in(_placed(told, stack, files, job, root), stack, rules, found)


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
    reason = _left_out(stack, one.job, rules)
    if reason:
        found.skipped.append((one.path, reason))
    else:
        found.scans.append(_judged(one, stack))


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
    below = path.relative_to(root.path) if path != root.path else Path(path.resolve().name)
    if path.is_file():
        below = below.with_name(without_ending(below.name))
    return (Path(root.name or root.prefix) / below).as_posix()


def without_ending(name: str) -> str:
    """A file's name without the ending of an image."""
    ending = next((e for e in ENDINGS if name.lower().endswith(e) and name.lower() != e), "")
    return name[: len(name) - len(ending)]


def _tag(path: Path, root: Root) -> str:
    return (Path(root.path.resolve().name) / path.relative_to(root.path)).as_posix()


def _without(path: Path, error: SaintError) -> str:
    return str(error).removeprefix(f"{path}: ")
