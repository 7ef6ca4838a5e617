"""Which scans lie in files and folders, on this machine and at URLs, from their headers alone."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from saint_cli.batch.inputs import Root
from saint_cli.batch.label_files import check_labels, locate_labels
from saint_cli.batch.local_scans import LocalUnit
from saint_cli.batch.remote_cache import RemoteCache
from saint_cli.batch.remote_scans import RemoteUnit
from saint_cli.batch.search import Findings, Scan, SearchRules, Unit
from saint_cli.errors import GeometryError, LabelMapError, SaintError, UnreadableError, UsageError
from saint_cli.io import LABEL_MAP, Description, ReadOptions, StackInfo
from saint_cli.io.error_conversion import convert_exceptions
from saint_cli.io.formats import Format
from saint_cli.io.read import refuse_dicom_options
from saint_cli.io.read_options import STACK_OPTIONS, pick_stack_options
from saint_cli.io.skipped_files import ARCHIVE, NOT_DICOM, format_reason
from saint_cli.jobs.location import format_location
from saint_cli.options.job import JobSettings
from saint_cli.options.values import ALL_VOLUMES
from saint_cli.volume import DicomSource, Header, Volume


def find_scans(roots: Sequence[Root], rules: SearchRules, on_progress: Callable[[int], None]) -> Findings:
    """Every stack below the roots, in sorted order; ``on_progress`` is called with their number now and then.

    Raises:
        UsageError: a root lies in the output folder; options that do not fit.
    """
    findings = Findings(RemoteCache(rules.state_dir))
    for root, settings in [(root, rules.make_settings(root.options)) for root in roots]:
        name = format_location(root.location)
        if rules.is_output(name):
            output = rules.results if root.is_remote and rules.results else rules.state_dir
            raise UsageError(f"{name} lies in the output folder {output}; results are never inputs")
        unit_of_root, has_chosen = _make_unit(root, findings.remote_cache), False
        try:
            with convert_exceptions(name):
                for unit in unit_of_root.split(rules, findings.ignored):
                    has_chosen |= _add_unit(unit, settings, rules, findings)
                    on_progress(len(findings.scans))
                if not has_chosen and (choice := _name_choice(settings)):
                    raise UsageError(f"{name}: no {choice}; saint info lists what there is")
        except SaintError as error:  # of the whole root; what is wrong with a unit is a failure of that unit
            findings.scans.append(_make_failed(unit_of_root, settings, error))
    return findings


def _make_unit(root: Root, remote_cache: RemoteCache) -> Unit:
    if isinstance(root.location, Path):
        return LocalUnit.from_root(root, root.location)
    return RemoteUnit.from_root(root, root.location, remote_cache)


def _name_choice(settings: JobSettings) -> str:
    """The stack that a table's ``series`` and ``volume`` name, as in ``series 2, volume 3``; "" without any."""
    volume = settings.volume if isinstance(settings.volume, int) else None
    named = {"series": settings.series, "volume": volume}
    return ", ".join(f"{column} {value}" for column, value in named.items() if value is not None)


def _add_unit(unit: Unit, settings: JobSettings, rules: SearchRules, findings: Findings) -> bool:
    """Add the stacks of one unit, each as a scan or with the reason why it is skipped.

    Returns whether there are any that a table's ``series`` and ``volume`` name, or may be, in what cannot be described.
    """
    location = format_location(unit.location)
    try:
        with convert_exceptions(location):
            description = unit.describe(settings)
    except UsageError as error:
        findings.skipped.append((unit.name, str(error).removeprefix(f"{location}: ")))
        return False
    except SaintError as error:
        findings.scans.append(_make_failed(unit, settings, error))
        return True
    for reason, count in description.skipped.items():
        if reason not in (NOT_DICOM, ARCHIVE):  # which ``split`` has counted
            findings.ignored[format_reason(reason, count, description.named)] += count
    chosen = [
        index
        for index, (stack, files) in enumerate(zip(description.stacks, description.files, strict=True))
        if _is_chosen(stack, settings) and not unit.holds_as_results(files, rules)
    ]
    if unmerged := _find_unmerged([description.stacks[index] for index in chosen], unit, settings):
        findings.scans.append(_make_failed(unit, settings, UsageError(f"{location}: {unmerged}")))
        return True
    for index in chosen:
        if index == _find_members(description, index, settings)[0]:
            scan = replace(_make_scan(unit, description, index, settings), place=unit.root.place)
            _add_stack(scan, description.stacks[index], rules, findings)
    return bool(chosen)


def _make_failed(unit: Unit, settings: JobSettings, error: SaintError) -> Scan:
    files = (unit.location,) if isinstance(unit.location, Path) else ()
    return Scan(unit.name, unit.tag, unit.location, settings, files, error=error, place=unit.root.place)


def _is_chosen(stack: StackInfo, settings: JobSettings) -> bool:
    """Whether a table's ``series`` and ``volume``, if it has them, name this stack (``io.read_volume``)."""
    if stack.format != "DICOM":
        return True
    series, _, place = stack.label.partition("#")
    if isinstance(settings.volume, int) and str(settings.volume) != (place or "1"):
        return False
    names = (str(stack.number), stack.label, series)
    return settings.series is None or settings.series in names or series.endswith(f".{settings.series}")


def _find_unmerged(stacks: Sequence[StackInfo], unit: Unit, settings: JobSettings) -> str:
    """Why a row's ``merge`` cannot be done, where slices of one series form several stacks all the same; "" if it can.

    Single slices, volumes at one place and parts of uneven stacks are stacks of their own with ``merge`` too.
    """
    if not settings.merge or "merge" not in unit.root.own_options or settings.split_runs:
        return ""
    shapes = defaultdict[str, list[str]](list)
    for stack in stacks:
        if stack.format == Format.DICOM.value and stack.series_volumes < 2 and stack.shape and stack.shape[2] > 1:
            shapes[stack.series_uid].append(" x ".join(map(str, stack.shape)))
    several = next((found for found in shapes.values() if len(found) > 1), None)
    if several is None:
        return ""
    return (
        f"`merge=True`: slices of one series form {len(several)} stacks ({', '.join(several)}), not a single even one; "
        "leave `merge` out of this row, or choose one of them in its column volume"
    )


def _find_members(description: Description, index: int, settings: JobSettings) -> list[int]:
    """The stacks that are one scan with this one: itself, or with ``volume="all"`` all volumes of its series.

    The first is one that can be upsampled, as far as headers show, if there is any.
    """
    stack = description.stacks[index]
    if settings.volume != ALL_VOLUMES or stack.series_volumes < 2:
        return [index]
    stacks = enumerate(description.stacks)
    members = [i for i, one in stacks if one.series_volumes > 1 and one.series_uid == stack.series_uid]
    return sorted(members, key=lambda i: description.stacks[i].problem is not None)


def _make_scan(unit: Unit, description: Description, index: int, settings: JobSettings) -> Scan:
    """A stack under the name of its file or folder, read from the smallest folder that holds it.

    With ``volume="all"`` it stands for all volumes of its file or series.
    """
    stack, members = description.stacks[index], _find_members(description, index, settings)
    if len(members) > 1:
        together = tuple(dict.fromkeys(file for i in members for file in description.files[i]))
        description = replace(description, files=(together,) * len(description.files))
    files = description.files[index] if isinstance(unit.location, Path) else ()
    if stack.format != "DICOM":
        named = unit.root.own_options if unit.is_file and unit.tag == unit.root.base_name else ()
        # other files found in a folder do without; for one that a row of a table names they are refused
        others: dict[str, Any] = {name: False for name in STACK_OPTIONS if name not in named}
        settings = replace(settings, **others)
        volumes = stack.volumes if settings.volume == ALL_VOLUMES else 1
        settings = replace(settings, volume=None) if volumes == 1 and settings.volume == ALL_VOLUMES else settings
        return Scan(unit.name, unit.tag, unit.location, settings, files, stack.shape, stack.spacing_mm, volumes=volumes)
    source, naming_unit = unit.find_stack(description, index)
    if len(members) > 1:
        settings = replace(settings, series=stack.series_uid)
    else:
        settings = replace(settings, series=stack.label, volume=None)
    tag = f"{source.tag} {settings.series}"
    place = (naming_unit.name, tag, source.location, settings, files)
    return Scan(*place, stack.shape, stack.spacing_mm, volumes=len(members))


def _add_stack(scan: Scan, stack: StackInfo, rules: SearchRules, findings: Findings) -> None:
    """Add a stack as a scan, or to what is skipped with the reason."""
    if stack.secondary == LABEL_MAP and ("label" in rules.include or not scan.settings.refuse_labels):
        stack = replace(stack, secondary="")
        if stack.exit_code == LabelMapError.exit_code:  # other problems, such as several volumes in a file, stay
            stack = replace(stack, problem=None, exit_code=0)
    try:
        with convert_exceptions(scan.source_name):
            reason = _find_reason_to_skip(stack, scan.settings, rules)
            if not reason:
                scan = _add_labels(scan)  # whatever is wrong with the scan, its record then says which these are
                scan = _check(scan, stack)
    except SaintError as error:  # of a geometry that no grid fits, or of labels that are missing
        reason, scan = "", replace(scan, error=error)
    if reason:
        findings.skipped.append((scan.path, reason))
    else:
        findings.scans.append(scan)


def _add_labels(scan: Scan) -> Scan:
    """The scan with the path of its label map, if it should have one."""
    chosen = scan.settings.label_settings
    if chosen.labels is None:
        return scan
    chosen = replace(chosen, labels=str(locate_labels(chosen.labels, scan.path)))
    return replace(scan, settings=replace(scan.settings, label_settings=chosen))


def _find_reason_to_skip(stack: StackInfo, settings: JobSettings, rules: SearchRules) -> str:
    """Why a stack is not a scan to upsample; "" if it is one."""
    if stack.format == "DICOM" and stack.shape is not None and stack.shape[2] == 1:
        return "a single slice"
    if stack.problem and stack.problem.startswith("phase map"):
        return stack.problem
    if stack.secondary and stack.secondary.split()[1] not in rules.include:
        return f"{stack.secondary} (--include {stack.secondary.split()[1]} takes it)"
    if stack.problem or stack.shape is None or stack.spacing_mm is None or _is_undecided(stack, settings):
        return ""
    try:
        settings.grid.make_grid(_make_empty_volume(stack.shape, stack.spacing_mm, stack))
    except SaintError as error:  # any other is a failure of this scan
        return str(error) if error.nothing_to_do else ""
    return ""


def _is_undecided(stack: StackInfo, settings: JobSettings) -> bool:
    """Whether the stack is a file of several volumes, of which the settings name none."""
    return stack.volumes > 1 and settings.volume is None


def _check(scan: Scan, stack: StackInfo) -> Scan:
    """The scan with its problem, or with how many times as many slices it will have."""
    if scan.settings.label_settings.labels is not None:
        check_labels(Path(scan.settings.label_settings.labels), scan.path)
    if stack.problem:
        error_class = GeometryError if stack.exit_code == GeometryError.exit_code else UnreadableError
        return replace(scan, error=error_class(f"{scan.source_name}: {stack.problem}"))
    if stack.format != Format.DICOM.value:
        options = ReadOptions(**pick_stack_options(scan.settings))
        refuse_dicom_options(scan.source_name, Format(stack.format), options)
    if _is_undecided(stack, scan.settings):
        shape = " x ".join(map(str, (*(stack.shape or ()), stack.volumes)))
        advice = f"take all of its {stack.volumes} volumes with --volume all, or one with column volume of a table"
        return replace(scan, error=GeometryError(f"{scan.source_name}: 4-D image ({shape}); {advice}"))
    if scan.shape is None or scan.spacing_mm is None:
        return scan
    grid = scan.settings.grid.make_grid(_make_empty_volume(scan.shape, scan.spacing_mm, stack))
    return replace(scan, slice_ratio=grid.count / grid.acquired)


def _make_empty_volume(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], stack: StackInfo) -> Volume:
    """A volume of this geometry, and with slices as thick, without voxels of its own."""
    voxels, affine = np.broadcast_to(np.int16(0), shape), np.diag([*spacing_mm, 1.0])
    is_dicom = stack.format == Format.DICOM.value
    if stack.slice_distance_mm and stack.tilt_degrees and (stack.through_plane or is_dicom):
        axis = "xyz".index(stack.through_plane or "z")
        beside = math.sqrt(max(0.0, spacing_mm[axis] ** 2 - stack.slice_distance_mm**2))
        affine[axis, axis], affine[(axis + 1) % 3, axis] = stack.slice_distance_mm, beside
    source = DicomSource((), slice_thickness_mm=stack.slice_thickness_mm) if is_dicom else None
    header = Header(source_format=stack.format, slice_positions=stack.slice_positions, dicom_source=source)
    return Volume(voxels, affine, header)
