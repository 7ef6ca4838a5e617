"""Volumes of one series come in the order of InstanceNumber, or else of time and echo; never in that of file names."""

from collections.abc import Callable, Sequence
from pathlib import Path

import fabricate
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from scan_passes import SAME, put, scan_pass, shuffled_numbers, without_numbers

from saint_cli.io import describe, read_volume

COUNT = 4
VALUES: dict[str, Sequence[object]] = {
    "TemporalPositionIdentifier": [1, 2, 3, 4],
    "TriggerTime": ["0", "90", "180", "1000"],
    "EchoTime": ["5", "10", "20", "100"],
    "EchoNumbers": [1, 2, 3, 10],
    "NominalPercentageOfCardiacPhase": [0.0, 25.0, 50.0, 75.0],
    "AcquisitionTime": ["235800", "235930", "000100", "000230"],
    "ContentTime": ["095900", "100000", "100100", "100200"],
}


def order_of_volumes(folder: Path) -> list[int]:
    """The number that was added to the voxels of each volume, in the order of the list."""
    numbers = [str(stack.number) for stack in describe(folder).stacks]
    lowest = [int(read_volume(folder, series=number).voxels.min()) for number in numbers]
    return [round((value - min(lowest)) / 100) for value in lowest]


def in_volumes(name: str, values: Sequence[object]) -> list[Dataset]:
    """Volumes at the same places, brighter by 100 from one to the next, each with its value."""
    made = []
    for number, value in enumerate(values):
        made += scan_pass(SAME, 100 * (number + 1), put(**{name: value}), modality="MR")
    return made


@pytest.mark.parametrize("shuffle", [1, 2])
@pytest.mark.parametrize("numbers", [without_numbers, shuffled_numbers])
@pytest.mark.parametrize("name", VALUES)
def test_without_numbers_in_order_the_values_decide(
    name: str, numbers: Callable[[list[Dataset]], list[Dataset]], shuffle: int, tmp_path: Path
) -> None:
    series = numbers(in_volumes(name, VALUES[name]))
    assert order_of_volumes(fabricate.save(series, tmp_path / "s", shuffle=shuffle)) == list(range(COUNT))


def test_values_that_differ_from_slice_to_slice_decide_nothing(tmp_path: Path) -> None:
    """As the time between heartbeats does, by which slices were acquired."""
    series = in_volumes("AcquisitionTime", VALUES["AcquisitionTime"])
    for index, data in enumerate(series):
        data.RepetitionTime = 900 + index % 3 - index
    assert order_of_volumes(fabricate.save(shuffled_numbers(series), tmp_path / "s")) == list(range(COUNT))


@pytest.mark.parametrize("turns", [False, True])
def test_numbers_in_order_decide(turns: bool, tmp_path: Path) -> None:
    """Volume after volume, or position after position."""
    series = in_volumes("DiffusionBValue", [0.0, 1000.0, 500.0, 2000.0])
    for index, data in enumerate(series):
        volume, place = divmod(index, len(SAME))
        data.InstanceNumber = 1 + (place * COUNT + volume if turns else index)
    assert order_of_volumes(fabricate.save(series, tmp_path / "s", shuffle=1)) == list(range(COUNT))


@pytest.mark.parametrize("reverse", [False, True])
def test_image_types_without_numbers_come_in_one_order_whatever_their_uids(reverse: bool, tmp_path: Path) -> None:
    kinds = [["ORIGINAL", "PRIMARY", kind] for kind in ("F", "IP", "OP", "W")]
    series = without_numbers(in_volumes("ImageType", kinds))
    for index, data in enumerate(series):
        data.SOPInstanceUID = f"2.25.{1000 - index if reverse else 1000 + index}"
    assert order_of_volumes(fabricate.save(series, tmp_path / "s", shuffle=1)) == list(range(COUNT))


def multiframe_files(edit: Callable[[int, Dataset], None]) -> list[Dataset]:
    """Enhanced images of one series at the same places, brighter by 100 from one to the next."""
    files: list[Dataset] = []
    for number in range(COUNT):
        image = fabricate.multiframe(scan_pass(SAME, 100 * (number + 1), modality="MR"))
        image.SeriesInstanceUID = files[0].SeriesInstanceUID if files else image.SeriesInstanceUID
        edit(number, image)
        files.append(image)
    return files


def number_file(number: int, image: Dataset) -> None:
    image.InstanceNumber = number + 1


def number_file_of_a_b_value(number: int, image: Dataset) -> None:
    number_file(number, image)
    for group in image.PerFrameFunctionalGroupsSequence:
        diffusion = Dataset()
        diffusion.DiffusionBValue = [0.0, 1000.0, 500.0, 2000.0][number]
        group.MRDiffusionSequence = DicomSequence([diffusion])


def time_frames(number: int, image: Dataset) -> None:
    for group in image.PerFrameFunctionalGroupsSequence:
        content = Dataset()
        content.FrameAcquisitionDateTime = f"2022022316432{number}.715"
        group.FrameContentSequence = DicomSequence([content])


@pytest.mark.parametrize("shuffle", [1, 2])
@pytest.mark.parametrize("edit", [number_file, number_file_of_a_b_value, time_frames])
def test_multiframe_files_come_by_number_or_time(
    edit: Callable[[int, Dataset], None], shuffle: int, tmp_path: Path
) -> None:
    assert order_of_volumes(fabricate.save(multiframe_files(edit), tmp_path / "s", shuffle=shuffle)) == list(
        range(COUNT)
    )
