"""Compressed streams of other encoders, whole and damaged, as GDCM decodes them in its own process."""

import base64
import contextlib
import random
from io import BytesIO
from pathlib import Path

import fabricate
import numpy as np
import pytest
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

from saint_cli.io import read_volume
from saint_cli.io.dicom.compressed_frames import StreamError, check_frame
from saint_cli.io.dicom.decoder import Decoder, DecoderError
from saint_cli.io.dicom.headers import read_headers
from saint_cli.io.dicom.pixels import make_frame_file

STREAMS = {
    uid.JPEGLSLossless: (
        "/9j/9wALEAAMABABAREA//gADQH//wASAEMBFABA/9oACAEBAAAAAEAYTwphLD8J4UxHDsfkMZi8bkYU6AhRCSJImkEejUcikxLR0hHQ"
        "q0FFSEZHQ0yRKmRJEqRGhVn6NClQpEiFKhRpEKJFEmepJJopJpIoqIpopIgT1JJFDJJDJJBFJBJIE7RSSQzSlKNKQhSOJ2tKEITlCNJ0"
        "jGQJ2lCco0jKEIQuI4nKomIq6qaiJjSbqmMiLyLjImUTdVXGRdSXXSj//9k="
    ),
    uid.JPEGLSNearLossless: (
        "/9j/9wALDAAMABABAREA/9oACAEBAAIAAK973vf93d274BDGEd3d2YiZMAEMmyabbabBA02MTSVKQQKVKUqUh+lKqlVIfqOfGE0YfqEe"
        "4/u0P0/u8+s/Z3/nePn/f58//3D/2Q=="
    ),
    uid.JPEGExtended12Bit: (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUV"
        "DA8XGBYUGBIUFRT/wQALDAAMABABAREA/8QAFgABAQEAAAAAAAAAAAAAAAAACQwN/8QAJxAAAAMFBwUAAAAAAAAAAAAAAAQICQsMKFEB"
        "AgYRRNTiITE0RlL/2gAIAQEAAD8AnD0kwk54UmlO+GuAapJMJOdCWaNKet8BqaySXbcwjzJSq01JXahq0kO29hHesJSq/OpK7Uf/2Q=="
    ),
}
"""Streams of 12 x 16 pixels of 12 bits, by dcmtk's dcmcjpls and dcmcjpeg: 20 a pixel, and noise of 0 to 2."""


def frames(folder: Path) -> dict[uid.UID, bytes]:
    """A compressed frame of 12 x 16 pixels in every syntax that there is a writer of here."""
    found = {syntax: base64.b64decode(text) for syntax, text in STREAMS.items()}
    for kind in ("JPEG", "JPEG2000"):
        (data,) = fabricate.slices(1)
        fabricate.compress_gdcm(data, folder, kind)
        found[data.file_meta.TransferSyntaxUID] = next(generate_frames(data.PixelData, number_of_frames=1))
    file = BytesIO()
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(12, 16)).save(file, "JPEG", quality=95)
    return {**found, uid.JPEGBaseline8Bit: file.getvalue()}


def packed(frame: bytes, syntax: uid.UID, count: int = 1) -> list[Dataset]:
    """Slices whose pixels are this frame."""
    series = fabricate.slices(count)
    for data in series:
        fabricate.set_pixels(data, fabricate.pixels(data), bits=12)
        data.file_meta.TransferSyntaxUID, data.PixelData = syntax, encapsulate([frame])
        data["PixelData"].is_undefined_length = True
    return series


@pytest.mark.parametrize("syntax", STREAMS, ids=lambda syntax: syntax.name)
def test_streams_of_other_encoders_give_their_pixels(syntax: uid.UID, tmp_path: Path) -> None:
    series = packed(base64.b64decode(STREAMS[syntax]), syntax, 3)
    stored = read_volume(fabricate.save(series, tmp_path / "s")).voxels[:, :, 1].T + 1024
    wrong = stored - np.arange(192).reshape(12, 16) * 20
    assert -2 <= wrong.min() <= wrong.max() <= 4


def mutated(frame: bytes, dice: random.Random) -> bytes:
    """A frame with some bytes other than they were, cut, doubled or lost."""
    made = bytearray(frame)
    for _ in range(dice.choice((1, 1, 2, 5, 20))):
        place = dice.randrange(len(made)) if dice.random() < 0.5 else dice.randrange(min(64, len(made)))
        kind = dice.randrange(5)
        if kind == 0:
            made[place] ^= 1 << dice.randrange(8)
        elif kind == 1:
            made[place] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            made[place : place + dice.randrange(1, 9)] = b""
        elif kind == 3:
            made[place:place] = made[dice.randrange(len(made)) :][: dice.randrange(1, 40)]
        else:
            del made[max(place, 4) :]
        made = made or bytearray(1)
    return bytes(made)


def test_no_damage_to_a_stream_is_more_than_a_refused_frame(tmp_path: Path, temporary: Path) -> None:
    dice, shape = random.Random(15), (12, 16)
    with contextlib.closing(Decoder()) as decoder:
        for syntax, whole in frames(tmp_path).items():
            (header,) = read_headers(next(fabricate.save(packed(whole, syntax), tmp_path / syntax).iterdir()))
            for _ in range(60):
                frame = mutated(whole, dice)
                with contextlib.suppress(StreamError, DecoderError):
                    check_frame(frame, syntax, shape, 16)
                    words, _ = decoder.decode(make_frame_file(frame, syntax, header), shape)
                    assert words.shape == shape
    assert list(temporary.iterdir()) == []
