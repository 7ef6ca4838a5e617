"""DICOM data sets as lists of elements that may be bent in ways no library would write."""

import random
import struct
import zlib
from dataclasses import dataclass, replace

from fuzz import mutate
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

LONG = ("OB", "OW", "OF", "OD", "OL", "OV", "SQ", "UC", "UN", "UR", "UT", "SV", "UV")
"""Representations whose length has four bytes."""

WIDTHS = {"US": 2, "SS": 2, "OW": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "OF": 4, "OL": 4, "FD": 8, "OD": 8}
"""Bytes of a number, for those representations whose order of bytes matters."""

KNOWN = (*LONG, "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST")

UNDEFINED = 0xFFFFFFFF

PIXELS = 0x7FE00010


@dataclass(frozen=True)
class Element:
    """One element: its value is bytes (little endian) or, of a sequence, items of elements.

    length: what the file claims instead of the true one. is_open: of undefined length, with a delimiter.
    """

    tag: int
    vr: str
    value: "bytes | list[list[Element]]"
    length: int | None = None
    is_open: bool = False


def elements_of(data: Dataset) -> list[Element]:
    """The elements of a data set without its file meta information."""
    found = []
    for one in data:
        if one.VR == "SQ":
            found.append(Element(int(one.tag), "SQ", [elements_of(item) for item in one.value]))
            continue
        alone, buffer = Dataset(), DicomBytesIO()
        alone[one.tag] = one
        if int(one.tag) == PIXELS:
            found.append(Element(PIXELS, one.VR, bytes(one.value), is_open=one.is_undefined_length))
            continue
        buffer.is_little_endian, buffer.is_implicit_VR = True, True
        write_dataset(buffer, alone)
        found.append(Element(int(one.tag), one.VR, buffer.getvalue()[8:]))
    return found


def encode(elements: list[Element], *, implicit: bool = False, big: bool = False) -> bytes:
    """The bytes of a data set, in whatever order its elements come."""
    return b"".join(_encode_one(one, implicit=implicit, big=big) for one in elements)


def _encode_one(one: Element, *, implicit: bool, big: bool) -> bytes:
    order = ">" if big else "<"
    if isinstance(one.value, bytes):
        value = _swapped(one.value, WIDTHS.get(one.vr, 1)) if big else one.value
    else:
        items = [encode(item, implicit=implicit, big=big) for item in one.value]
        value = b"".join(struct.pack(f"{order}HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
    length = len(value) if one.length is None else one.length
    tail = b""
    if one.is_open:
        length, tail = UNDEFINED, struct.pack(f"{order}HHI", 0xFFFE, 0xE0DD, 0)
    head = struct.pack(f"{order}HH", one.tag >> 16, one.tag & 0xFFFF)
    if implicit:
        return head + struct.pack(f"{order}I", length & UNDEFINED) + value + tail
    vr = one.vr.encode("latin-1", "replace")[:2].ljust(2)
    if one.vr in LONG:
        return head + vr + struct.pack(f"{order}HI", 0, length & UNDEFINED) + value + tail
    return head + vr + struct.pack(f"{order}H", length & 0xFFFF) + value + tail


def _swapped(value: bytes, width: int) -> bytes:
    whole = len(value) // width * width
    return b"".join(value[i : i + width][::-1] for i in range(0, whole, width)) + value[whole:]


def with_others(one: list[Element], more: list[Element]) -> list[Element]:
    """The elements with others in their places, in the order of tags."""
    tags = {element.tag for element in more}
    return sorted([*(element for element in one if element.tag not in tags), *more], key=lambda element: element.tag)


def short(tag: int, value: int) -> Element:
    """An element of one number of two bytes."""
    return Element(tag, "US", struct.pack("<H", value))


def file_of(elements: list[Element], syntax: str, *, declared: str | None = None, preamble: bool = True) -> bytes:
    """A DICOM file in this transfer syntax, which may declare another."""
    body = encode(elements, implicit=syntax == ImplicitVRLittleEndian, big=syntax == ExplicitVRBigEndian)
    if syntax == DeflatedExplicitVRLittleEndian:
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = packer.compress(body) + packer.flush()
    name = (declared or syntax).encode("utf-8", "surrogateescape")
    meta = encode([Element(0x00020010, "UI", name + b"\0" * (len(name) % 2))])
    group = encode([Element(0x00020000, "UL", struct.pack("<I", len(meta)))])
    return (bytes(128) + b"DICM" if preamble else b"") + group + meta + body


def bend(rng: random.Random, elements: list[Element]) -> tuple[list[Element], str]:
    """The elements after one change somewhere among them, also inside sequences, and what it was."""
    elements = list(elements)
    index = rng.randrange(len(elements)) if elements else 0
    one = elements[index] if elements else Element(0x00080060, "CS", b"CT")
    if not isinstance(one.value, bytes) and one.value and rng.random() < 0.8:
        items = list(one.value)
        place = rng.randrange(len(items))
        items[place], change = bend(rng, items[place])
        elements[index : index + 1] = [replace(one, value=items)]
        return elements, f"{one.tag:08x}/{change}"
    choice = rng.random()
    if choice < 0.45:
        elements[index : index + 1] = [replace(one, value=_hostile(rng, one))]
    elif choice < 0.6:
        del elements[index : index + 1]
    elif choice < 0.68:
        elements.insert(index, replace(one, value=_hostile(rng, one)))
    elif choice < 0.76:
        elements[index : index + 1] = [replace(one, vr=rng.choice((*KNOWN, "XX", "\0\0", "??")))]
    elif choice < 0.84:
        length = rng.choice((0, 1, 2, 3, 7, 255, 65534, 65535, 1 << 20, 1 << 31, UNDEFINED - 1, UNDEFINED))
        elements[index : index + 1] = [replace(one, length=length)]
    elif choice < 0.9:
        elements.insert(index, nested(rng, one.tag))
    elif choice < 0.95:
        rng.shuffle(elements)
    else:
        elements.insert(index, Element(rng.getrandbits(32), rng.choice(KNOWN), rng.randbytes(rng.choice((0, 4, 90)))))
    return elements, f"{one.tag:08x}"


def nested(rng: random.Random, tag: int) -> Element:
    """A sequence in a sequence and so on, up to thousands deep, in place of nothing or of an element."""
    depth = rng.choice((1, 20, 300, 1200, 5000))
    opened = struct.pack("<HH2sHIHHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, UNDEFINED, 0xFFFE, 0xE000, UNDEFINED)
    closed = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    whole = opened * depth + (closed * depth if rng.random() < 0.7 else b"")
    return Element(rng.choice((tag, 0x00091001, 0x00081140)), "SQ" if rng.random() < 0.8 else "UN", whole[12:])


def _hostile(rng: random.Random, one: Element) -> "bytes | list[list[Element]]":
    """Another value for an element, as its representation writes it or not."""
    if not isinstance(one.value, bytes):
        return rng.choice(([], one.value * 2, [*one.value, []], [[]]))
    if one.tag == PIXELS:
        return rng.choice((b"", one.value[: len(one.value) // 2], one.value * 2, one.value[:-1], rng.randbytes(64)))
    width = WIDTHS.get(one.vr, 0)
    if width and rng.random() < 0.85:
        value = rng.choice((*mutate.INTEGERS, 12, 40000)) % (1 << (8 * width))
        return value.to_bytes(width, "little") * rng.choice((1, 1, 1, 1, 0, 2))
    if rng.random() < 0.8:
        words = one.value.decode("latin-1").split("\\")
        place = rng.randrange(len(words))
        words[place] = mutate.hostile_value(rng, words[place])
        if rng.random() < 0.2:
            words = rng.choice(([], words * 2, words[:-1], words * 400))
        value = "\\".join(words).encode("utf-8", "surrogateescape")[:60000]
        return value + b" " * (len(value) % 2)
    return mutate.damaged_bytes(rng, one.value)
