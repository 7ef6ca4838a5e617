"""One received series: which of its stacks the rules upsample, and the jobs that do so."""

import errno
import shutil
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from saint_cli import errors, io
from saint_cli.errors import OutputError, SaintError
from saint_cli.errors.parameter_names import to_rule_options
from saint_cli.io import Description, StackInfo
from saint_cli.io.read_options import pick_stack_options
from saint_cli.jobs import Job, run_job
from saint_cli.node.rules import OPTIONS, Rule, Rules
from saint_cli.options.values import ALL_VOLUMES
from saint_cli.progress import ProgressCallback

PERMANENT = (errors.UsageError, errors.UnreadableError, errors.GeometryError, errors.NonFiniteError)

TRANSIENT = (*errors.PASSING_ERRORS, errors.WeightsError, errors.OutputError)
"""Failures that another try may mend, though they are of one of the permanent kinds."""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

MAX_REASON = 400
"""Characters of a reason that are kept."""


class Ending(Enum):
    """How the work on a series ended. FAILED: trying again would not help; BROKEN_OFF: it might.

    NO_ROOM: the disk is full.
    """

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    BROKEN_OFF = "broken off"
    NO_ROOM = "no room"


@dataclass(frozen=True)
class Outcome:
    """How the work on a series ended, and why, in one line without patient text.

    size: bytes of the derived files. summary: of what was made, and by which rule, for the log.
    """

    ending: Ending
    reason: str = ""
    error_class: str = ""
    size: int = 0
    summary: str = ""


@dataclass(frozen=True)
class _Plan:
    """A stack of a series, and the rule that reads and upsamples it, alone or as the first volume of the whole series.

    files: those with its slices.
    """

    stack: StackInfo
    rule: Rule
    files: frozenset[Path]
    is_whole_series: bool = False


def derive_series(source: Path, target: Path, rules: Rules, on_progress: ProgressCallback) -> Outcome:
    """Upsample the stacks of a series that rules match; a problem of any of them is one of the series.

    source: folder of the instances of one series. target: a new folder, which gets one folder of a derived series for
    each stack. Whatever is wrong is in the outcome, and nothing is raised.
    """
    try:
        plans = _plan(source, rules)
        if isinstance(plans, str):
            return Outcome(Ending.SKIPPED, plans)
        target.mkdir(mode=0o700)
        summaries = [_run(source, target / f"{n}", plan, on_progress) for n, plan in enumerate(plans, 1)]
    except Exception as error:
        shutil.rmtree(target, ignore_errors=True)
        return _explain(error, source, target)
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    rule = ", ".join(dict.fromkeys(plan.rule.name for plan in plans))
    return Outcome(Ending.DONE, size=size, summary=f'by rule "{rule}": {"; ".join(summaries)}')


def _plan(source: Path, rules: Rules) -> list[_Plan] | str:
    """What to upsample; a text why nothing is.

    Raises:
        SaintError: a series that is damaged, or a stack that a rule matches but that cannot be upsampled.
    """
    try:
        description = io.describe(source, only_dicom=True)
    except SaintError as error:
        if _is_damaged(source):
            raise
        return _shorten(error, source)
    if description.named:
        damaged = "; ".join(f"{reason}: {', '.join(names)}" for reason, names in description.named.items())
        raise errors.UnreadableError(f"{source}: holds files that cannot be used: {damaged}")
    plans, reasons = list[_Plan](), list[str]()
    for reading, own_rules in _group_by_reading(rules):
        read = io.describe(source, only_dicom=True, **reading) if any(reading.values()) else description
        own_plans, own_reasons = _match(read, own_rules)
        plans, reasons = plans + own_plans, reasons + own_reasons
    plans = _leave_to_first_rule(plans, rules)
    for plan in plans:
        if plan.stack.problem is not None:
            raise errors.GeometryError(f"{source}: {plan.stack.problem}")
    return plans or "; ".join(dict.fromkeys(reasons))


def _group_by_reading(rules: Rules) -> list[tuple[dict[str, Any], Rules]]:
    """The rules that read slices alike, and the options by which they do; rules that skip are of every group."""
    readings = [pick_stack_options(rule.settings) for rule in rules.rules if not rule.skip] or [{}]
    distinct = [reading for index, reading in enumerate(readings) if reading not in readings[:index]]

    def has_reading(rule: Rule, reading: dict[str, Any]) -> bool:
        return rule.skip or pick_stack_options(rule.settings) == reading

    return [(one, Rules(tuple(rule for rule in rules.rules if has_reading(rule, one)))) for one in distinct]


def _match(description: Description, rules: Rules) -> tuple[list[_Plan], list[str]]:
    """The stacks that rules match, and why others match none; the volumes of a 4-D series go together."""
    plans, reasons = [], []
    for stack, files in zip(description.stacks, description.files, strict=True):
        rule = rules.match(stack)
        if isinstance(rule, Rule):
            plans.append(_Plan(stack, rule, frozenset(files)))
        else:
            reasons.append(rule)
    if len(plans) > 1 and all(plan.stack.series_volumes == len(description.stacks) == len(plans) for plan in plans):
        together = frozenset[Path]().union(*(plan.files for plan in plans))
        return [replace(plans[0], files=together, is_whole_series=True)], reasons
    return plans, reasons


def _leave_to_first_rule(plans: list[_Plan], rules: Rules) -> list[_Plan]:
    """The plans without those of slices that an earlier rule, which reads them otherwise, matches too."""
    kept = list[_Plan]()
    for plan in sorted(plans, key=lambda plan: rules.rules.index(plan.rule)):
        reading = pick_stack_options(plan.rule.settings)
        others = (other for other in kept if pick_stack_options(other.rule.settings) != reading)
        if all(plan.files.isdisjoint(other.files) for other in others):
            kept.append(plan)
    return [plan for plan in plans if plan in kept]


def _is_damaged(source: Path) -> bool:
    """Whether a folder without slices has files that should be some."""
    from saint_cli.io.dicom import read

    try:
        return bool(read.list_stacks(source, may_be_empty=True).scan.damaged)
    except Exception:
        return True


def _run(source: Path, target: Path, plan: _Plan, on_progress: ProgressCallback) -> str:
    """Upsample one stack, or all volumes of a series; shapes before and after."""
    choice: dict[str, Any] = {"volume": ALL_VOLUMES} if plan.is_whole_series else {"series": str(plan.stack.number)}
    result = run_job(Job(source, target, replace(plan.rule.settings, **choice)), on_progress)
    slices = [shape["xyz".index(result.axis)] for shape in (result.shape_before, result.shape_after)]
    return f"{slices[0]} -> {slices[1]} slices, model {result.model}, {result.seconds:.1f} s"


def _explain(error: Exception, source: Path, target: Path) -> Outcome:
    """The outcome of work that failed."""
    has_no_room = _is_disk_full(error)
    if isinstance(error, OSError):
        error = OutputError.from_os_error(error)
    elif isinstance(error, MemoryError):
        error = SaintError("not enough memory")
    elif not isinstance(error, SaintError):
        error = errors.wrap_unexpected(error)
    is_permanent = isinstance(error, PERMANENT) and not isinstance(error, TRANSIENT)
    ending = Ending.NO_ROOM if has_no_room else Ending.FAILED if is_permanent else Ending.BROKEN_OFF
    return Outcome(ending, _shorten(error, source, target), type(error).__name__)


def _is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or what it was made of, says that the disk is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def _shorten(error: Exception, *folders: Path) -> str:
    """The message of an error without folders, in the words of rules, on one line, cut to what is kept."""
    text = to_rule_options(str(error), OPTIONS)
    for folder in folders:
        text = text.replace(f"{folder}: ", "").replace(f"{folder}/", "").replace(str(folder), folder.name)
    return " ".join(text.split())[:MAX_REASON]
