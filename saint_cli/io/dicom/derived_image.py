"""One slice of a derived series as a file: header, pixels as its acquired neighbours store them, and the encoding."""

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import dcmwrite, uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.valuerep import format_number_as_ds

from saint_cli.errors import OutputError, SaintError
from saint_cli.io.dicom.derived_header import derive_header
from saint_cli.io.dicom.derived_series import DerivedSlice
from saint_cli.io.dicom.pixel_format import PADDING_TAGS
from saint_cli.io.dicom.pixels import PixelReader
from saint_cli.io.dicom.slice_header import SliceHeader
from saint_cli.io.dicom.template import load_template, read_full_header
from saint_cli.io.file_stamps import source_changed_error
from saint_cli.runtime.version import __version__
from saint_cli.volume import SliceSource
from saint_cli.volume.stored_values import choose_coding

IMPLEMENTATION_VERSION = f"SAINT_{__version__}"[:16]
"""ImplementationVersionName of every file written here; by it, ``--overwrite`` recognises its own files."""

MAPPING_TAGS = ("RealWorldValueMappingSequence",)
"""What turns stored values into others beside rescale (PS3.3 C.7.6.16.2.11)."""


class SourceFiles:
    """The source's files as they are needed, each read once as long as neighbouring slices need it.

    touched: those that were written to since the volume was read, though their headers are the same.
    """

    def __init__(self, reader: PixelReader, touched: frozenset[Path] = frozenset()) -> None:
        self._reader, self.touched = reader, touched
        load = partial(load_template, read=lru_cache(maxsize=2)(read_full_header))
        self._load_template = lru_cache(maxsize=2)(load)
        self._path: Path | None = None
        self._frames: dict[int, np.ndarray] = {}

    def template(self, source: SliceHeader) -> Dataset:
        """The header of an acquired slice, see :func:`load_template`; not to be modified."""
        return self._load_template(SliceSource(source.path, source.frame))

    def stored(self, source: SliceHeader, acquired: Sequence[SliceHeader]) -> np.ndarray:
        """Stored values [row, column] of one of the acquired slices; of its file all of these are decoded at once."""
        if source.path != self._path or source.frame not in self._frames:
            beside = [one for one in acquired if one.path == source.path] if source.is_multiframe else [source]
            self._path = source.path
            self._frames = {beside[index].frame: stored for index, stored in self._reader.read_slices(beside)}
        return self._frames[source.frame]


@dataclass(frozen=True)
class SlicePixels:
    """Stored values [row, column] of an output slice, and the acquired slice ``source`` whose coding they have.

    is_acquired: they are the stored values of ``source`` itself.
    """

    stored: np.ndarray
    source: SliceHeader
    is_acquired: bool


def choose_pixels(output: DerivedSlice, files: SourceFiles) -> SlicePixels:
    """The stored values of the acquired slice at this place if its values are still those; else coded like a neighbour.

    Raises:
        SourceChangedError: a file that was written to holds other values, though its slice was to be kept.
    """
    values = output.values
    if output.offset == 0 and not output.is_moved:
        source = output.nearest
        stored = files.stored(source, output.series.acquired)
        with np.errstate(over="ignore"):
            acquired = (stored.astype(np.float64) * source.slope + source.intercept).astype(values.dtype)
        if np.array_equal(acquired, values):
            return SlicePixels(stored, source, is_acquired=True)
        if source.path in files.touched and output.series.derivation.keeps_acquired:
            raise source_changed_error(source.path)
        # else the slice was changed on purpose
    coding = choose_coding((header.coding for header in output.neighbours), values)
    source = next(header for header in output.neighbours if header.coding == coding)
    return SlicePixels(coding.encode(values), source, is_acquired=False)


def build_slice(output: DerivedSlice, files: SourceFiles, pixels: SlicePixels) -> Dataset:
    """The data set of an output slice, with the header of the nearest acquired one."""
    nearest = output.nearest
    data = copy_dataset(files.template(nearest))
    derive_header(data, output, is_acquired=pixels.is_acquired)
    _set_pixels(data, pixels)
    padded = nearest if pixels.is_acquired else _choose_padding_slice(output, pixels.source)
    if padded is not nearest:
        _copy_elements(data, files.template(padded), PADDING_TAGS)
    if pixels.source is not nearest:
        _copy_elements(data, files.template(pixels.source), MAPPING_TAGS)
    if padded.pixel_format.shift and padded.padding is not None:
        _set_padding(data, padded.padding, is_signed=padded.pixel_format.is_signed)
    return data


def copy_dataset(template: Dataset) -> Dataset:
    """A data set with elements of its own, so that setting one leaves the template as it was; items are shared."""
    data = Dataset()
    for element in template:
        data.add(copy.copy(element))
    return data


def _set_pixels(data: Dataset, pixels: SlicePixels) -> None:
    """Stored values and the elements that describe them (PS3.3 C.7.6.3, C.11.1)."""
    source, layout = pixels.source, pixels.source.pixel_format
    data.Rows, data.Columns = pixels.stored.shape
    data.BitsAllocated, data.BitsStored = layout.bits_allocated, layout.bits_stored
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation, data.SamplesPerPixel = int(layout.is_signed), 1
    if data.SOPClassUID == uid.CTImageStorage or "RescaleSlope" in data or source.rescale != (1, 0):
        if float(data.get("RescaleSlope") or 1) != source.slope or "RescaleSlope" not in data:
            data.RescaleSlope = format_number_as_ds(source.slope)
        if float(data.get("RescaleIntercept") or 0) != source.intercept or "RescaleIntercept" not in data:
            data.RescaleIntercept = format_number_as_ds(source.intercept)
    data.PixelData = pixels.stored.astype(layout.dtype.newbyteorder("<")).tobytes()
    data["PixelData"].VR = "OW" if layout.bits_allocated > 8 else "OB"


def _choose_padding_slice(output: DerivedSlice, source: SliceHeader) -> SliceHeader:
    """The slice whose padding values a synthesised slice has: ``source``, or a neighbour coded like it that names any.

    Padding that one slice names holds for the whole series (``declared_padding.find_padding``), so that a slice between
    two may hold it though the nearer one does not name it.
    """
    for header in (source, *output.neighbours):
        if header.padding and (header.rescale, header.pixel_format) == (source.rescale, source.pixel_format):
            return header
    return source


def _copy_elements(data: Dataset, other: Dataset, names: Sequence[str]) -> None:
    """Elements that speak of stored values, as they are in the slice whose coding these have."""
    for name in names:
        data.pop(name, None)
        if name in other:
            data.add(copy.copy(other[name]))


def _set_padding(data: Dataset, padding: tuple[int, int], *, is_signed: bool) -> None:
    """Name the padding values of left-justified pixels, which come out right-justified, as the values that they are."""
    for name, value in zip(PADDING_TAGS, padding, strict=True):
        data.pop(name, None)
        if name == PADDING_TAGS[0] or value != padding[0]:
            data.add(DataElement(name, "SS" if is_signed else "US", value))


@contextmanager
def convert_encoding_errors(path: Path) -> Iterator[None]:
    """Whatever odd values of the source lead to, in this code or in pydicom, becomes one line.

    Raises:
        OutputError: the slice cannot be encoded.
    """
    try:
        yield
    except (MemoryError, SaintError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # pydicom raises OSError over odd values too
            raise
        raise OutputError(f"{path.parent}: slice {path.name} cannot be encoded ({type(error).__name__})") from None


def encode_file(data: Dataset) -> bytes:
    """The bytes of a DICOM file, little endian and uncompressed."""
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcmwrite(buffer, data, enforce_file_format=True)
    return buffer.getvalue()


def encode_writable(data: Dataset) -> bytes:
    """The bytes of a DICOM file without those elements of the source that cannot be written."""
    try:
        return encode_file(data)
    except Exception:  # odd values make pydicom raise whatever its writer stumbles over
        for element in list(data):
            if not _is_writable(element):
                del data[element.tag]
        return encode_file(data)


def _is_writable(element: DataElement) -> bool:
    data = Dataset()
    data.add(element)
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write_dataset(buffer, data)
    except Exception:  # as in encode_writable
        return False
    return True
