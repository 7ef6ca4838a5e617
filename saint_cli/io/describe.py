"""What a path holds, from headers alone."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saint_cli import geometry
from saint_cli.errors import GeometryError, LabelMapError, SaintError, UnreadableError
from saint_cli.io import label_maps, size_limits, voxel_stream
from saint_cli.io.description import (
    LABEL_MAP,
    DescribeOptions,
    Description,
    StackInfo,
    find_placement_warnings,
    isotropic_fields,
    make_refused,
    placement_fields,
    remove_path,
)
from saint_cli.io.error_conversion import convert_exceptions
from saint_cli.io.formats import (
    VOLUME_ENDINGS,
    Format,
    detect_format,
    is_analyze,
    is_part_of_pair,
    read_head,
    require_format,
)
from saint_cli.io.read_options import pick_stack_options
from saint_cli.io.skipped_files import NOT_DICOM
from saint_cli.io.volume_header import Payload, VolumeHeader
from saint_cli.volume.warning_words import MADE_BY_SAINT

if TYPE_CHECKING:
    from saint_cli.io.dicom.read import StackInventory

# The readers are imported where they are used: each brings a library that takes a tenth of a second and more.

_Described = tuple[StackInfo, tuple[Path, ...]]
"""The description of a file that is not DICOM, and the files that it consists of."""


def describe(
    path: Path,
    options: DescribeOptions = DescribeOptions(),  # noqa: B008 - frozen
    *,
    on_progress: Callable[[int], None] = lambda count: None,
    **changes: Any,
) -> Description:
    """Describe a file or folder from its headers.

    A folder stands for its DICOM stacks and, after these, the NIfTI, NRRD and MetaImage files below it, hidden ones
    apart, by name. A volume that could not be upsampled is described with its ``problem``. ``on_progress`` is called
    with the number of files read. changes: fields of ``options`` by name, such as ``phi=True``.

    Raises:
        UsageError: a folder without any of these.
        UnreadableError: missing, damaged, colour, complex, or of an unknown format; of a file in a folder that is its
            ``problem``. Nothing that a file holds raises anything but a ``SaintError``.
    """
    with convert_exceptions(path):
        return _describe(path, replace(options, **changes), on_progress)


def _describe(path: Path, options: DescribeOptions, on_progress: Callable[[int], None]) -> Description:
    file_format = require_format(path)
    if file_format is not Format.DICOM:
        info, files = _describe_file(path, file_format, options)
        return Description(path, (info,), files=(files,))
    from saint_cli.io.dicom.validation import ignore_invalid_values

    with ignore_invalid_values():
        return _describe_dicom(path, options, on_progress)


def _describe_dicom(path: Path, options: DescribeOptions, on_progress: Callable[[int], None]) -> Description:
    """The stacks of a folder, a zip file or a DICOM file; of a folder its other volumes too."""
    from saint_cli.io.dicom import read
    from saint_cli.io.dicom.describe import describe_stacks
    from saint_cli.io.dicom.describe_labels import describe_label_file

    inventory = read.list_stacks(path, **pick_stack_options(options), may_be_empty=True, on_progress=on_progress)
    volumes: list[_Described] = []
    if path.is_dir() and not options.only_dicom:
        volumes = _describe_volume_files(path, inventory, options, on_progress)
    if not inventory.stacks and path.is_file() and (labels := describe_label_file(path)):
        return Description(path, (labels,), files=((path,),))
    if not inventory.stacks and not volumes:
        raise read.no_slices_error(path, inventory.scan)
    infos = describe_stacks(inventory.stacks, options)
    if inventory.scan.keep_alive is None:
        stack_files = [tuple(sorted({one.path for one in stack.slices})) for stack in inventory.stacks]
        top = path if path.is_dir() else path.parent
        infos = [replace(info, folder=_find_folder(files, top)) for info, files in zip(infos, stack_files, strict=True)]
    else:
        stack_files = [(path,)] * len(infos)
    return Description(
        path,
        (*infos, *(info for info, _ in volumes)),
        _count_skipped(inventory, {file for _, files in volumes for file in files}),
        (*stack_files, *(files for _, files in volumes)),
        inventory.scan.named,
    )


def _find_folder(files: tuple[Path, ...], top: Path) -> str:
    """The innermost folder that holds all files, as a path from ``top``."""
    folder = os.path.commonpath([one.absolute() for one in {file.parent for file in files}])
    return Path(os.path.relpath(folder, top)).as_posix()


def _describe_volume_files(
    folder: Path, inventory: "StackInventory", options: DescribeOptions, on_progress: Callable[[int], None]
) -> list[_Described]:
    """The volumes of a folder that are not DICOM."""
    done = sum(inventory.scan.skipped.values())
    done += len({one.path for stack in inventory.stacks for one in stack.slices})
    volumes = []
    for file, file_format in _find_volume_files(folder, inventory):
        volumes.append(_describe_file_in(folder, file, file_format, options))
        on_progress(done + len(volumes))
    return volumes


def _count_skipped(inventory: "StackInventory", described: set[Path]) -> Counter[str]:
    """The counts of skipped files without those that were described as volumes of another format."""
    return inventory.scan.skipped - Counter({NOT_DICOM: len(set(inventory.scan.others) & described)})


def _find_volume_files(folder: Path, inventory: "StackInventory") -> Iterator[tuple[Path, Format]]:
    """The files below a folder that are, or by their names should be, a NIfTI, NRRD or MetaImage volume."""
    for path in sorted(inventory.scan.others):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        is_promised = path.name.lower().endswith(VOLUME_ENDINGS)
        try:
            with convert_exceptions(path):
                file_format = detect_format(path)
                is_promised = is_promised or (file_format is Format.UNKNOWN and is_analyze(read_head(path)))
        except SaintError:  # gone or closed since the folder was listed, as its description will say
            file_format = Format.UNKNOWN
        if file_format is Format.UNKNOWN:
            if is_promised and not is_part_of_pair(path):
                yield path, file_format
        elif file_format is not Format.ZIP:
            yield path, file_format


def _describe_file_in(folder: Path, path: Path, file_format: Format, options: DescribeOptions) -> _Described:
    """A file of a folder under its path there, whatever is wrong with it."""
    try:
        with convert_exceptions(path):
            file_format = require_format(path) if file_format is Format.UNKNOWN else file_format
            info, files = _describe_file(path, file_format, options)
    except SaintError as error:
        info, files = make_refused(path, file_format.value, error), (path,)
    return replace(info, label=path.relative_to(folder).as_posix()), files


def _describe_file(path: Path, file_format: Format, options: DescribeOptions) -> _Described:
    """A volume file, with what is wrong with its geometry; raises as :func:`describe`."""
    try:
        header = _read_header(path, file_format, options)
    except GeometryError as error:
        return make_refused(path, file_format.value, error), (path,)
    labels = _label_fields(header, options)
    fields = labels or _size_fields(path, header.payload)
    if header.volumes > 1 and file_format is not Format.NIFTI:
        shape = geometry.format_shape((*header.payload.shape, header.volumes))
        split = f"not one volume; split its {header.volumes} volumes first"
        problem = f"4-D image ({shape}), {label_maps.format_layers(header.volumes) if header.is_labels else split}"
        fields |= {"problem": problem, "exit_code": GeometryError.exit_code}
    placement = placement_fields(header.affine_lps)
    info = StackInfo(
        1,
        path.name,
        file_format.value,
        shape=header.payload.shape,
        volumes=header.volumes,
        dtype=header.storage.dtype.newbyteorder("=").name,
        slope=header.storage.slope,
        intercept=header.storage.intercept,
        warnings=(*_select_warnings(header, is_labels=bool(labels)), *find_placement_warnings(header.affine_lps)),
        **placement,
        **(fields or isotropic_fields(header.payload.shape, header.affine_lps)),
    )
    return info, tuple(dict.fromkeys((path, *header.payload.files)))


def _read_header(path: Path, file_format: Format, options: DescribeOptions) -> VolumeHeader:
    """The header of a file, its length checked; of several volumes that of the first."""
    if file_format is not Format.NIFTI:
        from saint_cli.io.itk import read as itk

        return itk.read_header(path, file_format, allow_several=True, outside_data=options.outside_data)
    from saint_cli.io.nifti import header as nifti

    header = nifti.read_header(path, 1, outside_data=options.outside_data)
    voxel_stream.check_length(header.payload)
    if header.volumes > 1:
        try:
            last = nifti.read_header(path, header.volumes, outside_data=options.outside_data)
            voxel_stream.check_length(last.payload)
        except UnreadableError as error:
            warning = f"not all of its {header.volumes} volumes can be read: {remove_path(error, path)}"
            return replace(header, warnings=(*header.warnings, warning))
    return header


def _select_warnings(header: VolumeHeader, *, is_labels: bool) -> tuple[str, ...]:
    """Those of a header; labels that were drawn on a result of saint, whose header they took over, are not a result."""
    return tuple(text for text in header.warnings if not (is_labels and text == MADE_BY_SAINT))


def _label_fields(header: VolumeHeader, options: DescribeOptions) -> dict[str, Any]:
    """The fields of ``StackInfo`` of a label map, by its header or its values; none of an image."""
    labels = voxel_stream.count_labels(header) if options.check_labels else 0
    if not labels and not header.is_labels:
        return {}
    return {"secondary": LABEL_MAP, "problem": label_maps.format_refusal(labels), "exit_code": LabelMapError.exit_code}


def _size_fields(path: Path, payload: Payload) -> dict[str, Any]:
    """The fields of ``StackInfo`` of voxels that unpack to more than any image does; none of others."""
    try:
        size_limits.check_image_ratio(path, payload.start + payload.size, voxel_stream.packed_size(payload))
    except UnreadableError as error:
        return {"problem": remove_path(error, path), "exit_code": error.exit_code}
    return {}
