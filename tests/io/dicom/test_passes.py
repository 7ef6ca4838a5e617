"""Passes over the body that overlap, alternate or follow each other, and whether they are one volume or several."""

from collections.abc import Callable
from pathlib import Path

import fabricate
import pytest
from pydicom.dataset import Dataset
from scan_passes import FIRST, SAME, SECOND, Edit, put, rising, scan_pass, without_numbers
from split_volumes import LONG, values, volumes

from saint_cli.errors import GeometryError, SaintError
from saint_cli.io import describe, read_volume


def test_arterial_and_venous_passes_of_different_length_are_two_volumes(tmp_path: Path) -> None:
    long = [5.0 * k - 10 for k in range(14)]
    for name, (first, second) in {
        "number": (put(AcquisitionNumber=3), put(AcquisitionNumber=4)),
        "time": (rising("AcquisitionTime", 36000, 0.5), rising("AcquisitionTime", 36035, 0.5)),
        "order": (put(), put()),
    }.items():
        series = [*scan_pass(SAME, FIRST, first), *scan_pass(long[::-1], SECOND, second)]
        folder = fabricate.save(series, tmp_path / name, shuffle=5)
        assert volumes(folder) == [values(FIRST, 8), values(SECOND, 14)[::-1]], name


OVERLAP = [17.5 + 5 * k for k in range(12)]


THIRDS = [16 + 2 / 3 + 5 * k for k in range(12)]


@pytest.mark.parametrize("heights", [OVERLAP, THIRDS], ids=["half", "third"])
@pytest.mark.parametrize("name", ["number", "time", "order"])
def test_overlapping_passes_between_each_other_are_two_volumes(heights: list[float], name: str, tmp_path: Path) -> None:
    first, second = {
        "number": (put(AcquisitionNumber=1), put(AcquisitionNumber=2)),
        "time": (rising("AcquisitionTime", 36000), rising("AcquisitionTime", 36100)),
        "order": (put(), put()),
    }[name]
    folder = fabricate.save(
        [*scan_pass(LONG, FIRST, first), *scan_pass(heights, SECOND, second)], tmp_path / "s", shuffle=1
    )
    for split in (False, True):
        assert volumes(folder, split_runs=split) == [values(FIRST, 12), values(SECOND, 12)]


@pytest.mark.parametrize("heights", [OVERLAP, THIRDS], ids=["half", "third"])
def test_passes_that_nothing_distinguishes_name_both_possibilities(heights: list[float], tmp_path: Path) -> None:
    series = without_numbers([*scan_pass(LONG, FIRST), *scan_pass(heights, SECOND)])
    folder = fabricate.save(series, tmp_path / "s", shuffle=1)
    with pytest.raises(GeometryError, match=r"either two scans of 12 and 12 slices.*or one scan"):
        read_volume(folder)
    runs = describe(folder, split_runs=True).stacks
    for run in runs:
        kept = [int(v) + 1024 for v in read_volume(folder, series=str(run.number), split_runs=True).voxels[0, 0]]
        mixed = min(kept) < SECOND <= max(kept)
        assert not mixed or any("alternate between two scans" in warning for warning in run.warnings)
    assert {values(FIRST, 12)[0], SECOND} <= {v for one in volumes(folder, split_runs=True) for v in one}
    if heights is OVERLAP:
        with pytest.raises(SaintError, match="either one scan whose spacing changes, or two"):
            read_volume(folder, split_runs=True)


def test_passes_interleaved_throughout_by_a_third_are_never_one_volume(tmp_path: Path) -> None:
    series = without_numbers([*scan_pass(LONG, FIRST), *scan_pass([5 / 3 + z for z in LONG], SECOND)])
    folder = fabricate.save(series, tmp_path / "s", shuffle=1)
    with pytest.raises(GeometryError, match="either two scans of 12 and 12 slices, both 5 mm apart"):
        read_volume(folder)
    assert volumes(folder, split_runs=True) == [values(FIRST, 12), values(SECOND, 12)]


@pytest.mark.parametrize("name", ["KVP", "AcquisitionNumber"])
def test_ct_passes_that_alternate_evenly_are_two_volumes_unless_merged(name: str, tmp_path: Path) -> None:
    series = [
        *scan_pass(LONG, FIRST, put(**{name: 80})),
        *scan_pass([2.5 + z for z in LONG], SECOND, put(**{name: 90})),
    ]
    folder = fabricate.save(series, tmp_path / "s", shuffle=1)
    assert volumes(folder) == [values(FIRST, 12), values(SECOND, 12)]
    merged = read_volume(folder, merge=True)
    assert merged.shape[2] == 24
    assert not any(warning.startswith("slices alternate") for warning in merged.header.warnings)


@pytest.mark.parametrize("name", ["ContentTime", "InstanceNumber"])
def test_ct_slices_that_alternate_in_time_or_number_alone_are_reported_with_both_possibilities(
    name: str, tmp_path: Path
) -> None:
    edits = (rising(name, 36000), rising(name, 36100)) if name == "ContentTime" else (put(), put())
    series = [*scan_pass(LONG, FIRST, edits[0]), *scan_pass([2.5 + z for z in LONG], SECOND, edits[1])]
    volume = read_volume(fabricate.save(series, tmp_path / "s", shuffle=1))
    assert volume.shape[2] == 24
    assert f"{name} differs between neighbouring slices" in " ".join(volume.header.warnings) or name != "ContentTime"
    assert "one scan of 24 slices 2.5 mm apart, but it may be 2 scans of 12 and 12" in " ".join(volume.header.warnings)
    assert not any(warning.startswith("slices alternate") for warning in volume.header.warnings)


def test_acquisitions_that_go_on_from_each_other_are_one_scan_though_slices_at_the_seam_are_swapped(
    tmp_path: Path,
) -> None:
    series = fabricate.slices(16)
    for k, data in enumerate(series):
        data.AcquisitionNumber = 1 if k < 7 or k == 8 else 2
    assert read_volume(fabricate.save(series, tmp_path / "s")).shape[2] == 16


def test_mr_that_acquires_every_second_slice_first_is_one_volume(tmp_path: Path) -> None:
    series = [
        *scan_pass(LONG, FIRST, rising("AcquisitionTime", 36000), modality="MR"),
        *scan_pass([2.5 + z for z in LONG], FIRST, rising("AcquisitionTime", 36100), modality="MR"),
    ]
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    assert volume.shape[2] == 24
    assert not any("scans" in warning or "alternate" in warning for warning in volume.header.warnings)


def test_a_pass_that_lacks_a_slice_is_still_separated_from_the_pass_between_its_slices(tmp_path: Path) -> None:
    series = [
        *scan_pass([z for z in LONG if z != 30], FIRST, put(AcquisitionNumber=1)),
        *scan_pass([z + 2.5 for z in LONG], SECOND, put(AcquisitionNumber=2)),
    ]
    folder = fabricate.save(without_numbers(series), tmp_path / "s", shuffle=1)
    lacking, whole = describe(folder).stacks if describe(folder).stacks[0].problem else describe(folder).stacks[::-1]
    assert lacking.problem is not None
    assert "10 mm between 25 and 35, expected 5 mm: 1 slice missing" in lacking.problem
    assert (whole.problem, whole.shape) == (None, (16, 12, 12))


@pytest.mark.parametrize("name", ["AcquisitionTime", "ContentTime", "AcquisitionDateTime"])
@pytest.mark.parametrize("first_end", ["20200101", "20200131"])
def test_passes_are_separated_across_midnight_and_the_end_of_a_month(name: str, first_end: str, tmp_path: Path) -> None:
    def at(start: int) -> Edit:
        def edit(k: int, data: Dataset) -> None:
            second = start + k  # from midnight
            clock = f"2359{60 + second:02d}" if second < 0 else f"0000{second:02d}"
            day = first_end if second < 0 else {"20200101": "20200102", "20200131": "20200201"}[first_end]
            setattr(data, name, day + clock if name.endswith("DateTime") else clock)

        return edit

    series = without_numbers([*scan_pass(SAME, FIRST, at(-4)), *scan_pass(SAME, SECOND, at(12))])
    folder = fabricate.save(series, tmp_path / "s", shuffle=2)
    assert volumes(folder) == [values(FIRST, 8), values(SECOND, 8)]


@pytest.mark.parametrize("numbers", [without_numbers, list])
def test_passes_that_share_their_instance_uids_are_never_mixed(
    numbers: Callable[[list[Dataset]], list[Dataset]], tmp_path: Path
) -> None:
    first, second = scan_pass(SAME, FIRST), scan_pass(SAME, SECOND)
    for one, other in zip(first, second, strict=True):
        other.SOPInstanceUID = one.SOPInstanceUID
    folder = fabricate.save(numbers([*first, *second]), tmp_path / "s", shuffle=2)
    if numbers is list:
        assert volumes(folder) == [values(FIRST, 8), values(SECOND, 8)]
    else:
        with pytest.raises(GeometryError, match="2 different images at each of 8 positions"):
            read_volume(folder)
