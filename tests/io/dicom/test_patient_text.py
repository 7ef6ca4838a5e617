"""Text of the source comes back byte for byte, whatever its character set claims and however it is nested."""

from collections.abc import Sequence
from pathlib import Path

import fabricate
import pydicom
import pytest
from fabricate import interpolated
from pydicom import uid
from pydicom.dataset import Dataset

from saint_cli.io import read_volume, write_volume

pytestmark = pytest.mark.filterwarnings("ignore:(?i).*(encoding|character set):UserWarning")  # pydicom, in the tests

TOP = ("PatientName", "InstitutionName", "StationName", "AdditionalPatientHistory", "InstitutionAddress", "TextValue")
"""A name and text of the value representations PN, LO, SH, LT, ST and UT."""

JAPANESE = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"

CHARACTERS: dict[str, tuple[str | list[str] | None, bytes]] = {
    "Latin-1 called UTF-8": ("ISO_IR 192", "Müller^Jörg".encode("latin-1")),
    "Cyrillic called UTF-8": ("ISO_IR 192", "Иванов^Пётр".encode("cp1251")),
    "Latin-1 called Cyrillic": ("ISO_IR 144", "Müller^Jörg".encode("latin-1")),
    "UTF-8 called Latin-1": ("ISO_IR 100", "Müller^Jörg".encode()),
    "Latin-1 without a claim": (None, "Müller^Jörg".encode("latin-1")),
    "an empty claim": ("", "Müller^Jörg".encode("latin-1")),
    "an unknown claim": ("ISO_IR 999", "Müller^Jörg".encode("latin-1")),
    "a misspelt claim": ("ISO IR 100", "Müller^Jörg".encode("latin-1")),
    "a name of Python": ("UTF-8", "Müller^Jörg".encode("latin-1")),
    "escapes": (["", "ISO 2022 IR 87"], JAPANESE),
    "escapes without a claim": (None, JAPANESE),
    "an escape cut off": (["", "ISO 2022 IR 87"], b"Yamada^Tarou=\x1b$B;3"),
    "a claim that may not be extended": (["ISO_IR 192", "ISO 2022 IR 87"], JAPANESE),
    "Shift JIS, whose second bytes are backslashes": ("ISO_IR 13", "ソ能^表".encode("shift_jis")),
    "GBK": ("GB18030", "王^小东".encode("gbk")),
    "Korean": (["", "ISO 2022 IR 149"], b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7"),
    "spaces and backslashes": ("ISO_IR 100", b"  \xfc ^ \\ a\\\\b \\ "),
    "names of too many parts": (None, b"a^b^c^d^e^f=g=h=i===^^^"),
    "NUL at the end": (None, b"Doe^Jane\0\0"),
}


def holder(series: Sequence[Dataset], claim: str | list[str] | None, length: int) -> list[bytes]:
    """Put stand-ins of ``length`` into text at the top, in an item and in an item's item; the stand-ins."""
    stand_ins = [bytes([65 + i]) * length for i in range(len(TOP) + 3)]
    for data in series:
        if claim is not None:
            data.SpecificCharacterSet = claim
        for name, stand_in in zip(TOP, stand_ins, strict=False):
            setattr(data, name, stand_in.decode())
        item, inner = Dataset(), Dataset()
        item.RequestingPhysician, item.RequestedProcedureDescription, inner.LongCodeValue = (
            s.decode() for s in stand_ins[-3:]
        )
        item.RequestedProcedureCodeSequence = [inner]
        data.RequestAttributesSequence = [item]
    return stand_ins


def save(series: Sequence[Dataset], folder: Path, claim: str | list[str] | None, text: bytes) -> Path:
    """The series with these bytes in every kind of text."""
    stand_ins = holder(series, claim, len(text))
    fabricate.save(series, folder)
    for file in folder.iterdir():
        content = file.read_bytes()
        for stand_in in stand_ins:
            assert content.count(stand_in) == 1
            content = content.replace(stand_in, text)
        file.write_bytes(content)
    return folder


def stored_texts(file: Path) -> list[bytes]:
    """The bytes of every text that ``holder`` put into a file."""
    data = pydicom.dcmread(file, stop_before_pixels=True)
    found = [data.get_item(name).value for name in TOP]
    (item,) = data.RequestAttributesSequence
    found += [item.get_item(name).value for name in ("RequestingPhysician", "RequestedProcedureDescription")]
    return [*found, item.RequestedProcedureCodeSequence[0].get_item("LongCodeValue").value]


@pytest.mark.parametrize("name", CHARACTERS)
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_every_text_keeps_its_bytes_whatever_its_character_set_claims(
    name: str, syntax: uid.UID, tmp_path: Path
) -> None:
    claim, text = CHARACTERS[name]
    text += b" " * (len(text) % 2)
    series = fabricate.slices(3)
    for data in series:
        data.file_meta.TransferSyntaxUID = syntax
    source = save(series, tmp_path / "source", claim, text)
    write_volume(interpolated(read_volume(source), 2), tmp_path / "out")
    for file in (tmp_path / "out").iterdir():
        assert stored_texts(file) == [text] * (len(TOP) + 3)
        before, after = (pydicom.dcmread(f, stop_before_pixels=True) for f in (source / "0000.dcm", file))
        claims = [data.get_item("SpecificCharacterSet") for data in (before, after)]
        assert claims[0] is None or not claims[0].value or claims[0].value == claims[1].value


@pytest.mark.parametrize("name", ["Latin-1 called UTF-8", "escapes", "an unknown claim"])
def test_text_of_an_enhanced_image_keeps_its_bytes_too(name: str, tmp_path: Path) -> None:
    claim, text = CHARACTERS[name]
    text += b" " * (len(text) % 2)
    kernel = b"K" * 16
    image = fabricate.multiframe(fabricate.slices(3))
    reconstruction = Dataset()
    reconstruction.ConvolutionKernel = kernel.decode()
    image.SharedFunctionalGroupsSequence[0].CTReconstructionSequence = [reconstruction]
    stand_ins = [bytes([65 + i]) * len(text) for i in range(2)]
    image.PatientName, image.InstitutionName = (s.decode() for s in stand_ins)
    image.SpecificCharacterSet = claim
    (file,) = fabricate.save([image], tmp_path / "source").iterdir()
    content = file.read_bytes()
    for stand_in, bytes_of in zip((*stand_ins, kernel), (text, text, b"Sch\xe4rfe \x1b$B;3 \\x"), strict=True):
        assert content.count(stand_in) == 1
        content = content.replace(stand_in, bytes_of)
    file.write_bytes(content)
    write_volume(interpolated(read_volume(tmp_path / "source"), 2), tmp_path / "out")
    for written in (tmp_path / "out").iterdir():
        data = pydicom.dcmread(written, stop_before_pixels=True)
        assert data.get_item("PatientName").value == data.get_item("InstitutionName").value == text
        assert data.get_item("ConvolutionKernel").value == b"Sch\xe4rfe \x1b$B;3 \\x"


def test_text_longer_than_a_short_length_can_say_survives_the_way_from_implicit_to_explicit(tmp_path: Path) -> None:
    series = fabricate.slices(3)
    long = "ü" * 40_000
    for data in series:
        data.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian
        data.SpecificCharacterSet, data.AdditionalPatientHistory = "ISO_IR 192", long
    write_volume(interpolated(read_volume(fabricate.save(series, tmp_path / "source")), 2), tmp_path / "out")
    assert all(long.encode() in file.read_bytes() for file in (tmp_path / "out").iterdir())
