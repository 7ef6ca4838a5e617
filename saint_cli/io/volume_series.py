"""The volumes of a 4-D scan, read one after another: a NIfTI file is opened once, DICOM headers are read once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from saint_cli.errors import SaintError, UnreadableError, UsageError
from saint_cli.io import size_limits, voxel_stream
from saint_cli.io.error_conversion import convert_exceptions
from saint_cli.io.file_stamps import check_stamps, take_stamp
from saint_cli.io.formats import Format, require_format
from saint_cli.io.read import check_volume, make_volume, read_volume, refuse_dicom_options
from saint_cli.io.read_options import ReadOptions, explain_one_volume, parse_request
from saint_cli.io.volume_header import VolumeHeader
from saint_cli.runtime import memory
from saint_cli.volume import Volume
from saint_cli.volume.fourth_axis import FourthAxis, VolumeMark, name_volume


@dataclass(frozen=True)
class VolumeSeries:
    """The volumes of a scan, of one shape and place; a 3-D scan has one.

    marks: what distinguishes each. axis: how they follow each other.
    read: reads them in order, each as ``read_volume`` with ``volume=k`` reads it, one in memory at a time; it may be
    called again. Errors name the volume.
    """

    path: Path
    marks: tuple[VolumeMark, ...]
    axis: FourthAxis
    read: Callable[[], Iterator[Volume]]

    @property
    def count(self) -> int:
        """Number of volumes."""
        return len(self.marks)

    def name(self, index: int) -> str:
        """A volume (from 0) in messages, such as ``volume 2 (EchoTime 30)``."""
        return _name_volume(index, self.marks[index].label)


def _name_volume(index: int, label: str) -> str:
    """A volume (from 0) in messages, with what distinguishes it."""
    return f"volume {index + 1} ({label})" if label else f"volume {index + 1}"


def list_volumes(path: str | Path, options: ReadOptions = ReadOptions()) -> VolumeSeries:  # noqa: B008 - frozen
    """The volumes of a NIfTI file or of a DICOM series, from headers; of another format its one volume.

    options: as for :func:`~saint_cli.io.read.read_volume`, whose ``volume`` counts here for nothing.

    Raises:
        UsageError: ``split_runs`` or ``irregular``, several series and no ``series``, or stacks that are not volumes of
            one scan; one that takes more memory than there is.
        GeometryError: volumes of another size or place than the first, or that cannot be upsampled; named.
        UnreadableError, SourceChangedError: as ``read_volume``.
    """
    path, options = parse_request(path, options, {"volume": None}, "list_volumes")
    if refusal := explain_one_volume(split_runs=options.split_runs, irregular=options.irregular):
        raise UsageError(f"{path}: {refusal}")
    with convert_exceptions(path):
        file_format = require_format(path)
        if file_format is Format.DICOM:
            return _list_dicom(path, options)
        if file_format is Format.NIFTI:
            refuse_dicom_options(path, file_format, options)
            return _list_nifti(path, options)

    def read() -> Iterator[Volume]:
        yield read_volume(path, options)

    return VolumeSeries(path, (VolumeMark(),), FourthAxis(), read)


def _list_nifti(path: Path, options: ReadOptions) -> VolumeSeries:
    from saint_cli.io.nifti import header as nifti

    header = nifti.read_header(path, 1, outside_data=options.outside_data)
    count, payload = header.volumes, header.payload
    voxel_stream.check_length(nifti.read_header(path, count, outside_data=options.outside_data).payload)
    size_limits.check_image_ratio(path, payload.start + count * payload.size, voxel_stream.packed_size(payload))
    memory.check_voxels_fit(path, payload.size, options.max_memory)
    stamps = [(file, take_stamp(file)) for file in {path, *payload.files}]

    def read() -> Iterator[Volume]:
        with convert_exceptions(path):
            try:
                for index, volume in enumerate(_stream_nifti(header)):
                    with _name_volume_in_errors(path, _name_volume(index, "")):
                        checked = check_volume(path, volume, options.modality)
                    del volume
                    yield checked
                    del checked
            except UnreadableError:
                check_stamps(stamps)
                raise
            check_stamps(stamps)

    return VolumeSeries(path, (VolumeMark(),) * count, header.fourth_axis, read)


def _stream_nifti(header: VolumeHeader) -> Iterator[Volume]:
    volumes = voxel_stream.read_volumes(header.payload, header.volumes)
    for number, (stored, warnings) in enumerate(volumes, 1):
        yield make_volume(replace(header, payload=replace(header.payload, volume=number)), stored, warnings)
        del stored


def _list_dicom(path: Path, options: ReadOptions) -> VolumeSeries:
    from saint_cli.io.dicom import read as dicom
    from saint_cli.io.dicom import volume_marks
    from saint_cli.io.dicom.selection import choose_volumes

    inventory = dicom.list_stacks(path, merge=options.merge)
    stacks, notes = choose_volumes(path, inventory.stacks, options)
    if len(stacks) == 1:
        dicom.check_usable(path, stacks[0], inventory.scan, options.offered)
    marks, axis = volume_marks.make_marks(stacks), volume_marks.find_fourth_axis(stacks)

    def read() -> Iterator[Volume]:
        for index, stack in enumerate(stacks):
            name = _name_volume(index, marks[index].label)
            with convert_exceptions(path), _name_volume_in_errors(path, name):
                own_name = name_volume(index + 1, len(stacks), marks[index].label)
                volume = dicom.read_stack(path, stack, inventory, options, notes, own_name)
                volume = check_volume(path, volume, options.modality)
            yield volume
            del volume

    return VolumeSeries(path, marks, axis, read)


@contextmanager
def _name_volume_in_errors(path: Path, name: str) -> Iterator[None]:
    """Errors about the path say which of its volumes they are of."""
    try:
        yield
    except SaintError as error:
        text = str(error)
        if not text.startswith(f"{path}: "):
            raise
        raise type(error)(f"{path}: {name}: {text.removeprefix(f'{path}: ')}") from None
