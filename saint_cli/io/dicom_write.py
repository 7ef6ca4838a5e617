"""One derived DICOM series of a volume that was read from DICOM: slice by slice, whole or not at all."""

import copy
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import dcmwrite, uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

import saint_cli
from saint_cli.coding import choose
from saint_cli.errors import OutputError, SaintError, UsageError
from saint_cli.geometry import SliceGrid
from saint_cli.io.atomic import complete_or_absent_folder
from saint_cli.io.dicom_bits import settle_bits
from saint_cli.io.dicom_classic import CLASSIC
from saint_cli.io.dicom_decoder import Decoder
from saint_cli.io.dicom_derived import DerivedSeries, decimals, derive
from saint_cli.io.dicom_headers import PADDING, reread
from saint_cli.io.dicom_pixels import read_frames
from saint_cli.io.dicom_slice import SliceHeader
from saint_cli.io.dicom_sources import changed, check_complete, check_unchanged
from saint_cli.io.dicom_template import load_template, read_header
from saint_cli.io.dicom_values import many
from saint_cli.io.places import lies_in
from saint_cli.volume import Derivation, SliceSource, Volume

IMPLEMENTATION = f"SAINT_{saint_cli.__version__}"[:16]
"""ImplementationVersionName of every file written here; by it, ``--overwrite`` knows its own files."""

WRITABLE = (uid.CTImageStorage, uid.MRImageStorage, uid.PositronEmissionTomographyImageStorage)


def write_series(volume: Volume, folder: Path, *, overwrite: bool = False, keep_slice_thickness: bool = True) -> None:
    """Write a volume as one derived series of single-frame images into a new folder.

    Each slice takes the header of the nearest acquired one. Slices whose voxels are still the acquired ones get
    their stored values and position back bit for bit. The folder appears under its name only when it is complete;
    while it is written, memory beyond the volume itself does not grow with the number of slices.

    Raises:
        UsageError: the volume was not read from DICOM, or its slices are not those of the source.
        SourceChangedError: the source's files are gone or changed, or more slices of the series came.
        OutputError: the folder exists and is not empty, holds source files, or cannot be written.
    """
    check_source(volume, folder)
    assert volume.header.origin is not None
    check_complete(volume)
    touched = check_unchanged(volume.header.origin.slices)
    with Decoder() as decoder:
        acquired, _ = settle_bits(reread(volume.header.origin.slices), decoder)
    if volume.header.derivation is None:
        grid = SliceGrid(2, len(acquired), 1.0, len(acquired))
        derivation = Derivation(grid, "none", "")
    else:
        derivation = volume.header.derivation
    series = DerivedSeries(volume, derivation, acquired, keep_slice_thickness, datetime.now(UTC).astimezone())
    with Decoder() as decoder, complete_or_absent_folder(folder, overwrite=overwrite) as partial:
        files = _Files(decoder, touched)
        for index in range(volume.shape[2]):
            _write_slice(series, files, index, partial / f"IM{index + 1:05d}.dcm")
        check_unchanged(volume.header.origin.slices)


def check_source(volume: Volume, folder: Path, grid: SliceGrid | None = None) -> None:
    """Find out whether a volume, once on ``grid``, could be written as DICOM into ``folder``.

    Raises:
        UsageError: not read from DICOM, interpolated along another axis, or a class that cannot be written back.
        OutputError: ``folder`` holds source files or lies among them.
    """
    origin, derivation = volume.header.origin, volume.header.derivation
    if origin is None:
        raise UsageError(
            f"{folder}: only DICOM input can be written as DICOM; name a file ending in .nii, .nii.gz, .nrrd or .mha"
        )
    grid = grid or (derivation.grid if derivation else None)
    slices = volume.shape[2] if grid is None else grid.acquired
    if (grid is not None and grid.axis != 2) or slices != len(origin.slices):
        raise UsageError(
            f"{folder}: DICOM output keeps the planes of the source's slices, the z axis; leave --axis out, or name "
            "a file ending in .nii.gz"
        )
    paths = {source.path for source in origin.slices}
    homes = {home for path in paths for home in (path.parent, Path(os.path.realpath(path)).parent)}
    if any(lies_in(folder, home) for home in homes):
        raise OutputError(f"{folder}: holds the source files or lies among them; name a folder elsewhere")
    data = load_template(origin.slices[0])
    _check_class(data, folder)
    if volume.shape[:2] != (data.Columns, data.Rows):
        raise UsageError(
            f"{folder}: slices of {volume.shape[0]}x{volume.shape[1]} voxels cannot be written as DICOM, those of the "
            f"source have {data.Columns}x{data.Rows}; name a file ending in .nii.gz"
        )


def check_headers(volume: Volume, folder: Path, grid: SliceGrid) -> None:
    """Encode an acquired and a synthesised slice of a volume on ``grid``, without their pixels, and write neither.

    Raises:
        OutputError: the headers of the source are such that no slice could be written.
        UnreadableError: the source's files are gone or changed.
    """
    assert volume.header.origin is not None
    first = SliceGrid(2, 2, grid.step, 2)
    empty = np.broadcast_to(volume.voxels.dtype.type(0), (*volume.shape[:2], first.count))
    virtual = Volume(empty, grid.refine(volume.affine_lps), volume.header)
    stored = np.zeros((volume.shape[1], volume.shape[0]), np.int64)
    with Decoder() as decoder:
        acquired, _ = settle_bits(reread(volume.header.origin.slices[:2]), decoder)
        series = DerivedSeries(virtual, Derivation(first, "none", ""), acquired, True, datetime.now(UTC).astimezone())
        files = _Files(decoder)
        for index in range(first.count):
            with _told_as_output_error(folder / f"IM{index + 1:05d}.dcm"):
                _encode(_derived(series, files, index, (acquired[0], stored), kept=index == 0))


def _check_class(data: Dataset, folder: Path) -> None:
    name = uid.UID(str(data.SOPClassUID)).name.removesuffix(" Storage")
    if data.SOPClassUID not in (*WRITABLE, *CLASSIC):
        raise UsageError(f"{folder}: {name} cannot be written back as DICOM; name a file ending in .nii.gz")
    kind = "".join(str(v) for v in many(data.get("SeriesType"))[:1])
    if kind in ("DYNAMIC", "GATED"):
        raise UsageError(
            f"{folder}: a {kind} PET series cannot be written back as DICOM, since one of its volumes is no such "
            "series; name a file ending in .nii.gz"
        )


class _Files:
    """The source's files as they are needed, each read once as long as neighbouring slices need it.

    touched: those that were written to since the volume was read, though their headers are the same.
    """

    def __init__(self, decoder: Decoder, touched: frozenset[Path] = frozenset()) -> None:
        self._decoder, self.touched = decoder, touched
        read = lru_cache(maxsize=2)(read_header)
        self.template = lru_cache(maxsize=2)(lambda path, frame: load_template(SliceSource(path, frame), read))
        self._path: Path | None = None
        self._frames: np.ndarray | None = None

    def stored(self, source: SliceHeader) -> np.ndarray:
        """Stored values [row, column] of an acquired slice."""
        if self._frames is None or source.path != self._path:
            self._path, self._frames = source.path, read_frames(source, self._decoder)
        return np.asarray(self._frames[source.frame])


def _write_slice(series: DerivedSeries, files: _Files, index: int, path: Path) -> None:
    values = series.volume.voxels[:, :, index].T  # [row, column]
    template = series.acquired[series.nearest(index)]
    stored = _acquired_values(series, files, index, values)
    kept, source = stored is not None, template
    if stored is None:
        source = _coded_like(series, index, values)
        stored = source.coding.encode(values)
    with _told_as_output_error(path):
        _save(_derived(series, files, index, (source, stored), kept=kept), path)


def _derived(
    series: DerivedSeries, files: _Files, index: int, pixels: tuple[SliceHeader, np.ndarray], *, kept: bool
) -> Dataset:
    """The data set of an output slice; pixels: the slice whose coding they have, and stored values [row, column]."""
    template = series.acquired[series.nearest(index)]
    data = _copied(files.template(template.path, template.frame))
    derive(data, series, index, kept=kept)
    _put_pixels(data, pixels[1], pixels[0])
    named = template if kept else _naming_padding(series, index, pixels[0])
    if named is not template:
        _take_padding(data, files.template(named.path, named.frame))
    return data


@contextmanager
def _told_as_output_error(path: Path) -> Iterator[None]:
    """Whatever odd values of the source make the code or the writer stumble is told in one line."""
    try:
        yield
    except (MemoryError, SaintError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # pydicom raises OSError over odd values too
            raise
        raise OutputError(f"{path.parent}: slice {path.name} cannot be encoded ({type(error).__name__})") from None


def _acquired_values(series: DerivedSeries, files: _Files, index: int, values: np.ndarray) -> np.ndarray | None:
    """Stored values of the acquired slice whose place and values this slice has; None where it has others."""
    if series.located[1][index] != 0:
        return None
    source = series.acquired[int(series.located[0][index])]
    stored = files.stored(source)
    with np.errstate(over="ignore"):
        acquired = (stored.astype(np.float64) * source.slope + source.intercept).astype(values.dtype)
    if np.array_equal(acquired, values):
        return stored
    if source.path in files.touched:
        raise changed(source.path)
    return None  # the volume was changed on purpose


def _coded_like(series: DerivedSeries, index: int, values: np.ndarray) -> SliceHeader:
    """The neighbour whose coding a slice has; for a result of the pipeline that to which its values were rounded."""
    around = [series.acquired[i] for i in series.neighbours(index)]
    chosen = choose((one.coding for one in around), values)
    return next(one for one in around if one.coding == chosen)


def _put_pixels(data: Dataset, stored: np.ndarray, source: SliceHeader) -> None:
    """Stored values [row, column] and the elements that describe them (PS3.3 C.7.6.3, C.11.1)."""
    pixel = source.pixel
    data.BitsAllocated, data.BitsStored, data.HighBit = pixel.allocated, pixel.stored, pixel.stored - 1
    data.PixelRepresentation, data.SamplesPerPixel = int(pixel.signed), 1
    if data.SOPClassUID == uid.CTImageStorage or "RescaleSlope" in data or (source.slope, source.intercept) != (1, 0):
        if float(data.get("RescaleSlope") or 1) != source.slope or "RescaleSlope" not in data:
            data.RescaleSlope = decimals([source.slope])[0]
        if float(data.get("RescaleIntercept") or 0) != source.intercept or "RescaleIntercept" not in data:
            data.RescaleIntercept = decimals([source.intercept])[0]
    words = stored.astype(f"<{'i' if pixel.signed else 'u'}{pixel.allocated // 8}").tobytes()
    data.PixelData = words + bytes(len(words) % 2)
    data["PixelData"].VR = "OW" if pixel.allocated > 8 else "OB"


def _naming_padding(series: DerivedSeries, index: int, source: SliceHeader) -> SliceHeader:
    """The slice whose padding values a synthesised slice has: ``source``, or a neighbour coded like it that names any.

    Padding that one slice names holds for the whole series (``dicom._padding``), so that a slice made between two may
    hold it though the nearer one does not name it.
    """
    coded = (source.slope, source.intercept, source.pixel)
    around = [source, *(series.acquired[i] for i in series.neighbours(index))]
    naming = (one for one in around if one.padding and (one.slope, one.intercept, one.pixel) == coded)
    return next(naming, source)


def _take_padding(data: Dataset, other: Dataset) -> None:
    """The padding values of the slice whose coding the stored values have: they are stored values themselves."""
    for name in PADDING:
        data.pop(name, None)
        if name in other:
            data.add(copy.copy(other[name]))


def _save(data: Dataset, path: Path) -> None:
    encoded = _encoded(data)
    with path.open("xb") as file:
        file.write(encoded)
        file.flush()
        os.fsync(file.fileno())


def _encoded(data: Dataset) -> bytes:
    """The bytes of a file. Elements of the source that cannot be written are left out, as those that cannot be read."""
    try:
        return _encode(data)
    except Exception:  # odd values make pydicom raise whatever its writer stumbles over
        for element in list(data):
            if not _is_writable(element):
                del data[element.tag]
        return _encode(data)


def _is_writable(element: DataElement) -> bool:
    one = Dataset()
    one.add(element)
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write_dataset(buffer, one)
    except Exception:  # as in _encoded
        return False
    return True


def _encode(data: Dataset) -> bytes:
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.ImplementationVersionName = IMPLEMENTATION
    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcmwrite(buffer, data, enforce_file_format=True)
    return buffer.getvalue()


def _copied(template: Dataset) -> Dataset:
    """A data set with elements of its own, so that setting one leaves the template as it was; items are shared."""
    data = Dataset()
    for element in template:
        data.add(copy.copy(element))
    return data
