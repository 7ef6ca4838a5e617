"""The cost of decoding compressed DICOM in a process of its own, and the least bytes of a constant frame.

    python benchmarks/decoder.py [--slices 100] [--side 512]

Noisy and constant slices are compressed by GDCM. *here* is the same decoder within the calling process. The bounds in
``saint_cli.io.dicom.compressed_frames`` and ``saint_cli.io.dicom.decoder`` come from this table.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from arguments import make_parser
from pydicom import encaps, uid
from tables import format_table

from saint_cli.io.dicom.decoder import Decoder
from saint_cli.io.dicom.headers import read_headers
from saint_cli.io.dicom.pixels import make_frame_file
from saint_cli.io.dicom.slice_header import SliceHeader

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import fabricate

KINDS = ("JPEG", "JPEG2000")
"""Those that GDCM writes through SimpleITK."""

LARGE = 4096
"""Pixels along each side of the frame by which memory is measured."""

ROUNDS = 3
"""Turns of the two ways; the least time of each counts."""


def compress_slice(values: np.ndarray, kind: str, folder: Path) -> tuple[bytes, uid.UID, SliceHeader]:
    """The stream of a slice [row, column], its transfer syntax, and its header as saint reads it."""
    (data, *_) = fabricate.slices(1)
    fabricate.set_pixels(data, values)
    fabricate.compress_gdcm(data, folder, kind)
    path = folder / f"{kind}.dcm"
    data.save_as(path, enforce_file_format=True)
    (header,) = read_headers(path)
    return next(encaps.generate_frames(data.PixelData, number_of_frames=1)), data.file_meta.TransferSyntaxUID, header


def decode_here(files: list[bytes], folder: Path) -> Iterator[np.ndarray]:
    """The frames, decoded by GDCM in this process."""
    reader, path = sitk.ImageFileReader(), folder / "here.dcm"
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    for file in files:
        path.write_bytes(file)
        yield sitk.GetArrayFromImage(reader.Execute())[0]


def measure_bytes_per_pixel(kind: str, folder: Path) -> float:
    """Memory that decoding a large noisy frame takes in the decoder's process, in bytes a pixel (Linux)."""
    peaks = []
    with Decoder() as decoder:
        for side in (64, LARGE):
            values = np.random.default_rng(1).normal(1000, 20, (side, side)).astype(np.uint16)
            stream, syntax, header = compress_slice(values, kind, folder)
            decoder.decode(make_frame_file(stream, syntax, header), header.shape)
            assert decoder._worker is not None
            lines = Path(f"/proc/{decoder._worker.process.pid}/status").read_text(encoding="ascii").splitlines()
            peaks.append(1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]))
    return (peaks[1] - peaks[0]) / LARGE**2


def measure_row(kind: str, slices: int, side: int, folder: Path) -> str:
    """One row: of noisy slices the seconds of both ways; the bytes of a constant one."""
    values = np.random.default_rng(1).normal(1000, 20, (side, side)).astype(np.uint16)
    stream, syntax, header = compress_slice(values, kind, folder)
    files = [make_frame_file(stream, syntax, header)] * slices
    own, here, first = [], [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        with Decoder() as decoder:
            words, _ = decoder.decode(files[0], header.shape)
            first.append(time.perf_counter() - began)
            for file in files[1:]:
                decoder.decode(file, header.shape)
        own.append(time.perf_counter() - began)
        began = time.perf_counter()
        plain, *_ = decode_here(files, folder)
        here.append(time.perf_counter() - began)
    assert np.array_equal(words, plain)
    constant, *_ = compress_slice(np.full((side, side), 1000, np.uint16), kind, folder)
    speed = slices * side * side / min(here) / 1e6
    name = pydicom.uid.UID(syntax).name.split(" (")[0][:34]
    return (
        f"| {name} | {min(here):.2f} | {min(own):.2f} | {min(own) / min(here):.2f} | {min(first):.2f} "
        f"| {speed:.0f} | {len(stream)} | {len(constant)} | {measure_bytes_per_pixel(kind, folder):.0f} |"
    )


def main() -> None:
    """One row a transfer syntax."""
    parser = make_parser(__doc__)
    parser.add_argument("--slices", type=int, default=100)
    parser.add_argument("--side", type=int, default=512)
    options = parser.parse_args()
    header = ["syntax", "here, s", "own process, s", "times", "until the first frame, s", "Mpx/s"]
    print(format_table([*header, "bytes, noisy", "bytes, constant", "memory, B/px"], []))
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            print(measure_row(kind, options.slices, options.side, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
