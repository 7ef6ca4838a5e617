"""What a path holds, from headers alone."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saint_cli import geometry
from saint_cli.errors import GeometryError, LabelMapError, SaintError, UnreadableError
from saint_cli.io import labels, limits
from saint_cli.io.description import LABEL_MAP, LONGEST_TEXT, Description, StackInfo
from saint_cli.io.exceptions import convert_exceptions
from saint_cli.io.inspect_place import isotropic_fields, place_fields, place_warnings
from saint_cli.io.read import find_format
from saint_cli.io.sniff import VOLUME_ENDINGS, Format, is_analyze, is_part_of_pair, read_head, sniff

if TYPE_CHECKING:
    from saint_cli.io.dicom import Inventory
    from saint_cli.io.dicom_stacks import Stack

# The readers are imported where they are used: each brings a library that takes a tenth of a second and more.


_Described = tuple[StackInfo, tuple[Path, ...]]
"""What is told of a file that is not DICOM, and the files that it consists of."""


def describe(
    path: Path,
    *,
    phi: bool = False,
    split_runs: bool = False,
    merge: bool = False,
    only_dicom: bool = False,
    values: bool = True,
    outside_data: bool = False,
    on_progress: Callable[[int], None] = lambda count: None,
) -> Description:
    """Describe a file or folder without reading voxels; ``split_runs`` lists the regular runs of irregular stacks.

    A folder stands for the DICOM stacks and, after these, the NIfTI, NRRD and MetaImage files below it, hidden ones
    apart, by name; with ``only_dicom`` for the stacks alone. ``merge`` takes DICOM slices as one scan whose
    identifiers differ, as ``read_volume`` does; ``outside_data`` as there. ``on_progress`` is called with the number of
    files read.
    A volume that could not be upsampled is described with its ``problem``. With ``phi`` the stacks of a DICOM folder
    come with patient and study text. Of files other than DICOM as many voxels are read as tell images from label maps
    (of an image the first ones), unless ``values`` is False.

    Raises:
        UsageError: a folder without any of these.
        UnreadableError: missing, damaged, colour, complex, or of an unknown format; of a file in a folder that is its
            ``problem``. Nothing that a file holds raises anything but a ``SaintError``.
    """
    wanted = _Wanted(phi, split_runs, merge, only_dicom, values, outside_data)
    with convert_exceptions(path):
        return _describe(path, wanted, on_progress)


@dataclass(frozen=True)
class _Wanted:
    """What :func:`describe` was asked for."""

    phi: bool
    split_runs: bool
    merge: bool
    only_dicom: bool
    values: bool
    outside_data: bool


def _describe(path: Path, wanted: _Wanted, on_progress: Callable[[int], None]) -> Description:
    form = find_format(path)
    if form is not Format.DICOM:
        info, files = _of_file(path, form, values=wanted.values, outside_data=wanted.outside_data)
        return Description(path, (info,), files=(files,))
    from saint_cli.io import dicom

    in_runs, merge = wanted.split_runs, wanted.merge
    inventory = dicom.list_stacks(path, in_runs=in_runs, merge=merge, may_be_empty=True, on_progress=on_progress)
    volumes: list[_Described] = []
    if path.is_dir() and not wanted.only_dicom:
        among = {"values": wanted.values, "outside_data": wanted.outside_data}
        volumes = _of_folder(path, inventory, on_progress, **among)
    if not inventory.stacks and not volumes:
        raise dicom.nothing_found(path, inventory.scan)
    packed = None if inventory.keeper is None else (path,)
    of_stacks = [packed or tuple(sorted({one.path for one in stack.slices})) for stack in inventory.stacks]
    return Description(
        path,
        (*_of_stacks(inventory, phi=wanted.phi), *(info for info, _ in volumes)),
        _skipped(inventory, [file for _, several in volumes for file in several]),
        (*of_stacks, *(several for _, several in volumes)),
        inventory.named,
    )


def _of_folder(
    path: Path, inventory: "Inventory", on_progress: Callable[[int], None], *, values: bool, outside_data: bool
) -> list[_Described]:
    """The volumes of a folder that are not DICOM."""
    done = sum(inventory.skipped.values()) + len({one.path for stack in inventory.stacks for one in stack.slices})
    found = []
    for file, form in _volume_files(path, inventory):
        found.append(_in_folder(file, form, path, values=values, outside_data=outside_data))
        on_progress(done + len(found))
    return found


def _skipped(inventory: "Inventory", described: list[Path]) -> Counter[str]:
    """The counts of skipped files without those that were described as volumes of another format."""
    from saint_cli.io.dicom_headers import NOT_DICOM

    return inventory.skipped - Counter({NOT_DICOM: len(set(inventory.others) & set(described))})


def _volume_files(folder: Path, inventory: "Inventory") -> Iterator[tuple[Path, Format]]:
    """The files below a folder that are, or by their names should be, a NIfTI, NRRD or MetaImage volume."""
    for path in sorted(inventory.others):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        promised = path.name.lower().endswith(VOLUME_ENDINGS)
        try:
            with convert_exceptions(path):
                form = sniff(path)
                promised = promised or (form is Format.UNKNOWN and is_analyze(read_head(path)))
        except SaintError:  # gone or closed since the folder was listed, which its description tells
            form = Format.UNKNOWN
        if form is Format.UNKNOWN:
            if promised and not is_part_of_pair(path):
                yield path, form
        elif form is not Format.ZIP:
            yield path, form


def _in_folder(path: Path, form: Format, folder: Path, *, values: bool, outside_data: bool) -> _Described:
    """A file of a folder under its path there, whatever is wrong with it."""
    try:
        with convert_exceptions(path):
            form = find_format(path) if form is Format.UNKNOWN else form
            info, files = _of_file(path, form, values=values, outside_data=outside_data)
    except SaintError as error:
        info, files = _refused(path, form, error), (path,)
    return replace(info, label=path.relative_to(folder).as_posix()), files


def _of_file(path: Path, form: Format, *, values: bool, outside_data: bool) -> _Described:
    """A volume file, with what is wrong with its geometry.

    Raises:
        UnreadableError: as for :func:`describe`.
    """
    try:
        if form is Format.NIFTI:
            return _of_nifti(path, values=values, outside_data=outside_data)
        return _of_itk(path, form, values=values, outside_data=outside_data)
    except GeometryError as error:
        return _refused(path, form, error), (path,)


def _refused(path: Path, form: Format, error: SaintError) -> StackInfo:
    return StackInfo(1, path.name, form.value, problem=_without(path, error), exit_code=error.exit_code)


def _without(path: Path, error: SaintError) -> str:
    return str(error).removeprefix(f"{path}: ")


def _label_fields(declared: bool, count: Callable[[], int] | None) -> dict[str, Any]:
    """The fields of ``StackInfo`` of a label map, by its header or its values; none of an image."""
    found = count() if count is not None else 0
    if not found and not declared:
        return {}
    return {"secondary": LABEL_MAP, "problem": labels.refusal(found), "exit_code": LabelMapError.exit_code}


def _size_fields(path: Path, size: int, packed: int | None) -> dict[str, Any]:
    """The fields of ``StackInfo`` of voxels that unpack to more than any image does; none of others."""
    try:
        limits.check_packed(path, size, packed)
    except UnreadableError as error:
        return {"problem": _without(path, error), "exit_code": error.exit_code}
    return {}


def _of_nifti(path: Path, *, values: bool, outside_data: bool) -> _Described:
    from saint_cli.io import nifti, nifti_header

    header = nifti_header.read_header(path, 1, outside_data=outside_data)
    nifti.check_length(header)
    told = header.warnings
    if header.volumes > 1:
        try:
            nifti.check_length(nifti_header.read_header(path, header.volumes, outside_data=outside_data))
        except UnreadableError as error:
            told = (*told, f"not all of its {header.volumes} volumes can be read: {_without(path, error)}")
    judged = _label_fields(header.is_labels, partial(nifti.count_labels, header) if values else None)
    judged = judged or _size_fields(path, nifti.size(header), nifti.packed_size(header))
    place = place_fields(header.affine_lps)
    info = StackInfo(
        1,
        path.name,
        Format.NIFTI.value,
        shape=header.shape,
        volumes=header.volumes,
        dtype=header.storage.dtype.newbyteorder("=").name,
        slope=header.storage.slope,
        intercept=header.storage.intercept,
        warnings=(*told, *place_warnings(place)),
        **place,
        **(judged or isotropic_fields(header.shape, header.affine_lps)),
    )
    return info, tuple(dict.fromkeys((path, header.data)))


def _of_itk(path: Path, form: Format, *, values: bool, outside_data: bool) -> _Described:
    from saint_cli.io import itk, payload

    header = itk.read_header(path, form, any_volumes=True, outside_data=outside_data)
    place = place_fields(header.affine_lps)
    judged = _label_fields(header.is_labels, partial(itk.count_labels, header) if values else None)
    judged = judged or _size_fields(path, payload.stored_size(header), payload.packed_size(header))
    if header.volumes > 1:
        shown = " x ".join(map(str, (*header.shape, header.volumes)))
        problem = f"4-D image ({shown}), not one volume; split its {header.volumes} volumes first"
        judged |= {"problem": problem, "exit_code": GeometryError.exit_code}
    info = StackInfo(
        1,
        path.name,
        form.value,
        shape=header.shape,
        volumes=header.volumes,
        dtype=header.dtype.name,
        slope=1.0,
        intercept=0.0,
        warnings=(*header.warnings, *place_warnings(place)),
        **place,
        **(judged or isotropic_fields(header.shape, header.affine_lps)),
    )
    return info, tuple(dict.fromkeys((path, *header.payload.files)))


def _of_stacks(inventory: "Inventory", *, phi: bool) -> list[StackInfo]:
    """The DICOM stacks; texts of a series are read once."""
    from saint_cli.io import dicom_choice
    from saint_cli.io.dicom_texts import patient_text, series_text

    texts: dict[str, dict[str, Any]] = {}
    found = []
    for number, (label, stack) in enumerate(
        zip(dicom_choice.labels(inventory.stacks), inventory.stacks, strict=True), 1
    ):
        first = stack.slices[0].path
        if stack.series_uid not in texts:
            own = {name: _on_one_line(text) for name, text in series_text(first).items()}
            texts[stack.series_uid] = {
                "series_description": own.get("SeriesDescription"),
                "protocol_name": own.get("ProtocolName"),
                "patient": patient_text(first) if phi else None,
            }
        try:
            with convert_exceptions(first):
                info = _of_stack(number, label, stack)
        except SaintError as error:
            info = replace(_refused(first, Format.DICOM, error), number=number, label=label)
        found.append(replace(info, **texts[stack.series_uid]))
    return found


def _on_one_line(text: str) -> str:
    """The text without characters that would move a terminal's cursor or turn its direction of writing."""
    plain = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text).strip()
    return plain if len(plain) <= LONGEST_TEXT else plain[: LONGEST_TEXT - 1] + "…"


def _of_stack(number: int, label: str, stack: "Stack") -> StackInfo:
    from saint_cli.io.dicom_pixels import stored_dtype
    from saint_cli.io.dicom_runs import hint

    first = stack.slices[0]
    rows, columns = first.shape
    scalings = {(s.slope, s.intercept) for s in stack.slices}
    slope, intercept = scalings.pop() if len(scalings) == 1 else (None, None)
    placed, shape = stack.geometry, (columns, rows, len(stack.slices))
    placement: dict[str, Any] = {"uniform": None if shape[2] == 1 else False, "problem": None, "exit_code": 0}
    if stack.problem is not None:
        placement |= {"problem": f"{stack.problem}{hint(stack)}", "exit_code": stack.problem.exit_code}
    if placed is not None:
        placement |= place_fields(placed.affine_lps, placed.tilt_degrees, 2)
        placement |= _between(stack, geometry.slice_distance_mm(placed.affine_lps, 2))
        if stack.problem is None:
            placement |= isotropic_fields(shape, placed.affine_lps, 2)
    return StackInfo(
        number,
        label,
        Format.DICOM.value,
        modality=first.modality or None,
        shape=shape,
        dtype=stored_dtype(first.pixel).name,
        slope=slope,
        intercept=intercept,
        slice_thickness_mm=first.slice_thickness,
        spacing_between_slices_mm=first.spacing_between_slices,
        split_by=stack.split_by,
        series_number=first.series_number or None,
        secondary="a derived image" if any(one.is_derived for one in stack.slices) else "",
        warnings=stack.warnings,
        **placement,
    )


def _between(stack: "Stack", distance: float) -> dict[str, Any]:
    """The fields of ``StackInfo`` about gaps between slices and the order in which they are counted."""
    thickness = stack.slices[0].slice_thickness
    steps = np.sign(np.diff([one.instance_number for one in stack.slices]))
    order = {(True, False): "ascending", (False, True): "descending"}.get(
        (bool((steps > 0).all()), bool((steps < 0).all())), "mixed"
    )
    return {"gap_mm": None if thickness is None else round(distance - thickness, 4), "order": order}
