"""A derived series of an enhanced file, whose frames are slices."""

from collections import Counter
from pathlib import Path

import fabricate
import pydicom
import pytest
from fabricate import interpolated
from pydicom.dataset import Dataset

from saint_cli.io import describe, read_volume, write_volume
from saint_cli.io.dicom import template

FACTOR = 2


def test_an_enhanced_file_is_parsed_a_fixed_number_of_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: Counter[int] = Counter()
    read = pydicom.dcmread

    for count in (4, 12):
        source = fabricate.save([fabricate.multiframe(fabricate.slices(count))], tmp_path / f"s{count}")
        dense = interpolated(read_volume(source), FACTOR)

        def counted(*args: object, count: int = count, **options: object) -> Dataset:
            parsed[count] += 1
            return read(*args, **options)

        monkeypatch.setattr(pydicom, "dcmread", counted)
        write_volume(dense, tmp_path / f"out{count}")
        monkeypatch.setattr(pydicom, "dcmread", read)
    assert parsed[4] == parsed[12]


def test_values_of_one_frame_do_not_reach_the_next(tmp_path: Path) -> None:
    image = fabricate.multiframe(fabricate.slices())
    image.AcquisitionNumber = 7
    content = Dataset()
    content.FrameAcquisitionNumber = 3
    image.PerFrameFunctionalGroupsSequence[0].FrameContentSequence = [content]
    data = template.read_full_header(fabricate.save([image], tmp_path / "s") / "0000.dcm")
    data.AcquisitionNumber  # noqa: B018  (parsed, so that frames could share it)
    numbers = [template.flatten_frame(data, frame).AcquisitionNumber for frame in (0, 1)]
    assert numbers == [3, 7]


def test_localizer_frames_are_skipped_and_counted(tmp_path: Path) -> None:
    image = fabricate.multiframe(fabricate.slices())
    for index, frame in enumerate(image.PerFrameFunctionalGroupsSequence):
        kind = Dataset()
        kind.FrameType = ["ORIGINAL", "PRIMARY", "AXIAL" if index else "LOCALIZER", "NONE"]
        frame.CTImageFrameTypeSequence = [kind]
    source = fabricate.save([image], tmp_path / "s")
    assert read_volume(source).shape == (16, 12, 5)
    assert describe(source).skipped == {"localizer frame": 1}
    write_volume(interpolated(read_volume(source), FACTOR), tmp_path / "out")
    assert read_volume(tmp_path / "out").shape == (16, 12, 9)
