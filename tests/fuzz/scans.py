"""DICOM: series in every transfer syntax that is read, enhanced images, media with a DICOMDIR, zips; sound and bent."""

import base64
import io
import random
import struct
import warnings
import zipfile
from functools import cache

import fabricate
import numpy as np
from fuzz import elements, mutate
from fuzz.elements import PIXELS, Element
from fuzz.sample import CANARY, PIPE, Sample, Special
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

NATIVE = (
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)

SIDE = 8
"""Rows and columns of the code streams below."""

STREAMS = {
    uid.JPEGLSLossless: (
        "/9j/6AAgU1BJRkYAAgAAAQAAAAgAAAAIChAGAQAAASwAAAEs/+gACAAAAAH/2P/3AAsQAAgACAEBEQD/+AANAf//ABIAQwEUAED/2gAI"
        "AQEAAAAAPnwNgXBMDwWCwOKEEoIQdBkKhsEooQ6GRcZBWAkFInR0AQaiYWgFFJMkoWFkIWLAJKqQYMGDBglIhQoUKFCg1GjRIlGNEij/"
        "2Q=="
    ),
    uid.JPEGLosslessSV1: (
        "/9j/xAAYAAEBAQEBAAAAAAAAAAAAAAAFBAYDD//DAAsQAAgACAEAEQD/2gAIAQAABgAA8D5+/fv379++oWXYZaQX1Cy9qiqy+oWseuVW"
        "X1Cy9r961moWXYuVWX1FaSaiqy+oWXYuVWXA/9k="
    ),
    uid.JPEG2000Lossless: (
        "/0//UQApAAAAAAAIAAAACAAAAAAAAAAAAAAACAAAAAgAAAAAAAAAAAABDwEB/1IADAAAAAEAAAQEAAH/XAAEQID/ZAAlAAFDcmVhdGVk"
        "IGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAABsAAH/k8/8MWgRUFSvhRFYCKGgUGMhCSTjgpWSS+6fxp7+1R9u3SZUI8vg"
        "zGlvblpov6HGpyete9jOxOtUTNvEyCVv4G8eZ6Pj2wI+C2a/HY8pDLzRJV5IDy+vkV+Wu/ieC1b/2Q=="
    ),
    uid.UID("1.2.840.10008.1.2.4.201"): (
        "/0//UQApQAAAAAAIAAAACAAAAAAAAAAAAAAACAAAAAgAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQ"
        "kJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAHcAAf+TwAAmT/cFB3QAAADAABLAABKAxgCHdAByAYd0"
        "AMAAEsAAFRAABKAgiGKzAACYgOsAhrQApPwTkwDAACsgABaEAAKsLM5oTAAKQOVOUFYAyIEEx9EARvpAEIAsdIS4AESIFJH6AtxcTFYA"
        "/9k="
    ),
    uid.JPEGBaseline8Bit: (
        "/9j/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoKCgoKBggLDAsKDAkKCgr/wAALCAAI"
        "AAgBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJx"
        "FDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJ"
        "ipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/APR9"
        "O+EXT/RR/wB81//Z"
    ),
}
"""One picture of 8 x 8 pixels of 16 bits (the last of 8), compressed by CharLS, libjpeg, OpenJPEG and OpenJPH."""

SIZE_MARKERS = (b"\xff\xc0", b"\xff\xc3", b"\xff\xf7", b"\xff\x51", b"\xff\xe8")
"""Behind them code streams say how large they are."""


@cache
def _series(modality: str, count: int) -> tuple[tuple[Element, ...], ...]:
    """The elements of each slice of a sound series of 8 x 8 pixels."""
    return tuple(tuple(elements.elements_of(data)) for data in _datasets(modality, count))


def _datasets(modality: str, count: int) -> list[Dataset]:
    series = fabricate.slices(count, shape=(SIDE, SIDE), modality=modality)
    for data in series:
        for name in ("PatientName", "PatientID", "AccessionNumber", "InstitutionName", "PatientComments"):
            setattr(data, name, CANARY)
        data.SeriesDescription = "plain"
    return series


def series(rng: random.Random) -> Sample:
    """A folder of slices in a syntax that is not compressed; elements of one, some or all slices are bent."""
    syntax = rng.choice(NATIVE)
    slices = [list(one) for one in _series(rng.choice(("CT", "CT", "MR")), rng.choice((3, 4, 5)))]
    return _folder(rng, slices, syntax)


def packed_series(rng: random.Random) -> Sample:
    """A folder of slices compressed by RLE, JPEG, JPEG-LS, JPEG 2000 or HTJ2K; streams, fragments and headers bent."""
    syntax = rng.choice((uid.RLELossless, *STREAMS))
    bits = 8 if syntax == uid.JPEGBaseline8Bit else 16
    slices = []
    hurt = rng.random() < 0.6
    for one in _series("CT", 3):
        stream = _rle() if syntax == uid.RLELossless else base64.b64decode(STREAMS[syntax])
        stream = _bent_stream(rng, stream) if hurt and rng.random() < 0.7 else stream
        pixels = Element(PIXELS, "OB", _encapsulated(rng, stream), is_open=rng.random() < 0.95)
        words = [
            elements.short(0x00280100, bits),
            elements.short(0x00280101, bits),
            elements.short(0x00280102, bits - 1),
            pixels,
        ]
        slices.append(elements.with_others(list(one), words))
    sample = _folder(rng, slices, syntax, sound=hurt and rng.random() < 0.7)
    return Sample(sample.entry, sample.files, [uid.UID(syntax).name, *sample.changes])


def _rle() -> bytes:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    fabricate.set_pixels(data, np.arange(SIDE * SIDE, dtype="u2").reshape(SIDE, SIDE) * 37)
    data.compress(uid.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    return bytes(data.PixelData)[16:]


def _bent_stream(rng: random.Random, stream: bytes) -> bytes:
    """The stream damaged, most often where it says how large the picture is."""
    places = [at for mark in SIZE_MARKERS if (at := stream.find(mark)) >= 0]
    if places and rng.random() < 0.6:
        at = rng.choice(places) + 2 + rng.randrange(36)
        size = rng.choice((1, 2, 4))
        value = rng.choice((*mutate.INTEGERS, 40000)) % (1 << (8 * size))
        return stream[:at] + value.to_bytes(size, "big") + stream[at + size :]
    return mutate.damaged_bytes(rng, stream, header=64)


def _encapsulated(rng: random.Random, stream: bytes) -> bytes:
    """One frame in one fragment or several, with a table of offsets that may lie."""
    choice = rng.random()
    if choice < 0.8 and len(stream) < 2:  # which pydicom would not write
        choice = 1.0
    if choice < 0.7:
        return encapsulate([stream], has_bot=rng.random() < 0.5)
    if choice < 0.8:
        return encapsulate([stream, stream])
    table = rng.choice((b"", struct.pack("<I", 2**31), struct.pack("<I", 0), bytes(400), b"\1\2\3"))
    parts = [stream[: len(stream) // 2], stream[len(stream) // 2 :]] if choice < 0.9 else [stream, b""]
    items = [table, *parts]
    lies = [len(item) for item in items]
    if rng.random() < 0.5:
        lies[rng.randrange(len(lies))] = rng.choice((0, 1, 2**31, 2**32 - 1, 10**6))
    return b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, n) + item for n, item in zip(lies, items, strict=True))


def _folder(rng: random.Random, slices: list[list[Element]], syntax: str, *, sound: bool = False) -> Sample:
    """Slices as the files of a folder (or the first alone), bent in some of them or all alike."""
    changes: list[str] = []
    if not sound:
        for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
            seed = rng.getrandbits(32)
            alike = rng.random() < 0.5
            for index in range(len(slices)) if alike else [rng.randrange(len(slices))]:
                slices[index], change = elements.bend(random.Random(seed), slices[index])
            changes.append(f"{change} {'in all' if alike else 'in one'}")
    declared = None
    if rng.random() < 0.04:
        declared = rng.choice(("", "1.2", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2", "\0", "9" * 70, mutate.word(rng)))
        changes.append(f"declared {ascii(declared)[:20]}")
    files = {f"{i:03d}.dcm": elements.file_of(one, syntax, declared=declared) for i, one in enumerate(slices)}
    if rng.random() < 0.1:
        name = rng.choice(list(files))
        files[name] = mutate.damaged_bytes(rng, files[name], header=200)
        changes.append("bytes")
    if rng.random() < 0.05:
        files = {f"{name}.gz": mutate.packed(rng, data) for name, data in files.items()}
    alone = rng.random() < 0.05
    return Sample(next(iter(files)) if alone else "", dict(files), changes)


@cache
def _frames() -> tuple[tuple[Element, ...], ...]:
    """The elements of sound enhanced images: CT and MR."""
    made = []
    for modality in ("CT", "MR"):
        image = fabricate.multiframe(_datasets(modality, 4))
        image.SOPInstanceUID = uid.generate_uid(entropy_srcs=["enhanced", modality])
        image.PatientName = CANARY
        made.append(tuple(elements.elements_of(image)))
    return tuple(made)


def multiframe(rng: random.Random) -> Sample:
    """An enhanced image, its functional groups bent."""
    image = list(rng.choice(_frames()))
    changes = []
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        image, change = elements.bend(rng, image)
        changes.append(change)
    data = elements.file_of(image, rng.choice(NATIVE[:2]))
    if rng.random() < 0.1:
        data = mutate.damaged_bytes(rng, data, header=400)
    return Sample("a.dcm", {"a.dcm": data}, changes)


@cache
def _directory() -> tuple[Element, ...]:
    """A DICOMDIR of four images, its records one after another; offsets are those of nobody."""
    records = []
    for index in range(4):
        records.append(
            [
                Element(0x00041400, "UL", struct.pack("<I", 0)),
                Element(0x00041410, "US", struct.pack("<H", 0xFFFF)),
                Element(0x00041420, "UL", struct.pack("<I", 0)),
                Element(0x00041430, "CS", b"IMAGE "),
                Element(0x00041500, "CS", f"IMG\\I{index:03d}".encode()),
                Element(0x00041510, "UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
                Element(0x00100010, "PN", CANARY.encode()),
            ]
        )
    return (
        Element(0x00041130, "CS", b"MEDIUM"),
        Element(0x00041200, "UL", struct.pack("<I", 0)),
        Element(0x00041202, "UL", struct.pack("<I", 0)),
        Element(0x00041212, "US", struct.pack("<H", 0)),
        Element(0x00041220, "SQ", records),
    )


def directory(rng: random.Random) -> Sample:
    """A medium: a DICOMDIR, bent, and the images that it lists."""
    listing, changes = list(_directory()), []
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        listing, change = elements.bend(rng, listing)
        changes.append(change)
    if rng.random() < 0.3:
        records = [list(one) for one in listing[-1].value] if isinstance(listing[-1].value, list) else []
        name = rng.choice(
            (b"..\\..\\etc\\passwd", b"PIPE", b"/etc/passwd ", b"DICOMDIR", b"IMG", b"X" * 500, b"\xff\xfe")
        )
        records.append([Element(0x00041430, "CS", b"IMAGE "), Element(0x00041500, "CS", name)])
        listing[-1] = Element(0x00041220, "SQ", records)
        changes.append("lists " + ascii(name)[:20])
    head = [Element(0x00020002, "UI", b"1.2.840.10008.1.3.10"), *listing]
    data = elements.file_of(head, uid.ExplicitVRLittleEndian)
    files = {f"IMG/I{i:03d}": elements.file_of(list(one), NATIVE[0]) for i, one in enumerate(_series("CT", 4))}
    return Sample(rng.choice(("DICOMDIR", "")), {"DICOMDIR": data, **files, "PIPE": Special(PIPE)}, changes)


def zipped(rng: random.Random) -> Sample:
    """A zip of a series, with hostile names, nested zips, bombs; bent as bytes or in its directory."""
    buffer, changes = io.BytesIO(), []
    names = [
        "../x.dcm",
        "/etc/x",
        "a/" * 200 + "x",
        "\udcff.dcm",
        "x" * 300,
        "a\0b",
        "b\\c",
        "",
        ".",
        "c\x1b[31m",
        "i/",
    ]
    with zipfile.ZipFile(buffer, "w", rng.choice((0, 8, 8, 12, 14))) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # doubled names
        for index, one in enumerate(_series("CT", 4)):
            name = rng.choice(names) if rng.random() < 0.15 else f"s/{index}.dcm"
            file.writestr(
                zipfile.ZipInfo(name.encode("utf-8", "replace").decode()), elements.file_of(list(one), NATIVE[0])
            )
        if rng.random() < 0.2:
            file.writestr("more.zip", buffer.getvalue())
            file.writestr("zeros", bytes(1 << 22), compress_type=8)
            changes.append("bomb")
    data = buffer.getvalue()
    choice = rng.random()
    if choice < 0.4:
        at = data.rfind(b"PK\x01\x02") if rng.random() < 0.5 else data.rfind(b"PK\x05\x06")
        data, changes = data[:at] + mutate.damaged_bytes(rng, data[at:], header=46), [*changes, "directory"]
    elif choice < 0.8:
        data, changes = mutate.damaged_bytes(rng, data, header=60), [*changes, "bytes"]
    return Sample("a.zip", {"a.zip": data}, changes)
