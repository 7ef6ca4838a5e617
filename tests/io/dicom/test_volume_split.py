"""Volumes of one series: never mixed, whatever distinguishes them; refused or reported as doubtful without that."""

from collections.abc import Callable
from pathlib import Path

import fabricate
import numpy as np
import pytest
from pydicom.dataset import Dataset
from scan_passes import FIRST, SAME, SECOND, TOLD_APART, Edit, put, rising, scan_pass, shuffled_numbers, without_numbers

from saint_cli.errors import GeometryError, SaintError
from saint_cli.io import describe, read_volume


def volumes(folder: Path, **options: object) -> list[list[int]]:
    """The stored values of every usable volume's slices, in order."""
    found = []
    for stack in describe(folder, **options).stacks:
        if stack.problem is None:
            voxels = read_volume(folder, series=str(stack.number), **options).voxels
            found.append([int(v) + 1024 for v in voxels[0, 0]])
    return sorted(found)


def values(start: int, count: int) -> list[int]:
    return list(range(start, start + count))


STATIC = ("energies", "kernels", "filters", "rescale types", "units", "scan options", "fields of view")
"""Those of one moment, which are no 4-D image."""


@pytest.mark.parametrize("numbers", [without_numbers, shuffled_numbers])
@pytest.mark.parametrize("name", TOLD_APART)
def test_volumes_at_the_same_positions_are_distinguished_without_instance_numbers(
    name: str, numbers: Callable[[list[Dataset]], list[Dataset]], tmp_path: Path
) -> None:
    first, second = TOLD_APART[name]
    series = numbers([*scan_pass(SAME, FIRST, first), *scan_pass(SAME, SECOND, second)])
    folder = fabricate.save(series, tmp_path / "s", shuffle=2)
    assert volumes(folder) == [values(FIRST, 8), values(SECOND, 8)]
    moments = "2 stacks at the same positions" if name in STATIC else "4-D image, 2 stacks"
    with pytest.raises(GeometryError, match=f"{moments}; choose one with `volume`") as caught:
        read_volume(folder)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("numbers", [without_numbers, shuffled_numbers])
def test_volumes_that_nothing_distinguishes_are_refused(
    numbers: Callable[[list[Dataset]], list[Dataset]], tmp_path: Path
) -> None:
    folder = fabricate.save(numbers([*scan_pass(SAME, FIRST), *scan_pass(SAME, SECOND)]), tmp_path / "s", shuffle=2)
    with pytest.raises(GeometryError, match=r"2 different images at each of 8 positions.*InstanceNumber"):
        read_volume(folder)
    with pytest.raises(GeometryError, match="2 different images"):
        read_volume(folder, split_runs=True)
    assert volumes(folder, split_runs=True) == []


@pytest.mark.parametrize("number", [lambda k, volume: 8 * volume + k, lambda k, volume: 2 * k + volume])
def test_a_consistent_instance_number_is_the_last_resort(number: Callable[[int, int], int], tmp_path: Path) -> None:
    series = [
        *scan_pass(SAME, FIRST, lambda k, data: put(InstanceNumber=number(k, 0))(k, data)),
        *scan_pass(SAME, SECOND, lambda k, data: put(InstanceNumber=number(k, 1))(k, data)),
    ]
    folder = fabricate.save(series, tmp_path / "s", shuffle=2)
    assert volumes(folder) == [values(FIRST, 8), values(SECOND, 8)]
    assert "the order of InstanceNumber only" in describe(folder).stacks[0].warnings[0]


def test_a_consistent_number_that_contradicts_the_energy_is_not_believed(tmp_path: Path) -> None:
    alternating = [*scan_pass(SAME, FIRST), *scan_pass(SAME, SECOND)]
    for k, data in enumerate(alternating[:-1]):
        data.KVP = "80" if k % 3 else "140"
    with pytest.raises(GeometryError, match="2 different images at each of 8 positions"):
        read_volume(fabricate.save(alternating, tmp_path / "s"))


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
LONG = [5.0 * k for k in range(12)]


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


def test_mr_that_acquires_every_second_slice_first_is_one_volume(tmp_path: Path) -> None:
    series = [
        *scan_pass(LONG, FIRST, rising("AcquisitionTime", 36000), modality="MR"),
        *scan_pass([2.5 + z for z in LONG], FIRST, rising("AcquisitionTime", 36100), modality="MR"),
    ]
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    assert volume.shape[2] == 24
    assert not any("scans" in warning or "alternate" in warning for warning in volume.header.warnings)


def test_cardiac_phases_are_volumes_by_percentage_or_trigger_time(tmp_path: Path) -> None:
    for name in ("NominalPercentageOfCardiacPhase", "TriggerTime"):
        series = []
        for phase in range(5):
            for data in scan_pass(SAME, 100 * (phase + 1)):
                jitter = 0 if name[0] == "N" else 3 * (data.InstanceNumber % 7)  # the heart is not a clock
                setattr(data, name, float(10 * phase + jitter / 10))
                series.append(data)
        folder = fabricate.save(shuffled_numbers(series), tmp_path / name, shuffle=1)
        assert volumes(folder) == [values(100 * (phase + 1), 8) for phase in range(5)]


def test_echoes_by_b_values_are_distinguished_by_both(tmp_path: Path) -> None:
    series = []
    for number in range(4):
        edit = put(EchoTime=10 * (1 + number % 2), DiffusionBValue=float(1000 * (number // 2)))
        series += scan_pass(SAME, 500 * (number + 1), edit, modality="MR")
    folder = fabricate.save(shuffled_numbers(series), tmp_path / "s", shuffle=1)
    found = describe(folder).stacks
    assert len({stack.split_by for stack in found}) == 4
    assert {stack.shape for stack in found} == {(16, 12, 8)}


def test_an_echo_that_lacks_slices_costs_the_others_nothing(tmp_path: Path) -> None:
    broken = [z for z in SAME if z != 15]
    series = [*scan_pass(SAME, FIRST, put(EchoTime=10)), *scan_pass(broken, SECOND, put(EchoTime=20))]
    folder = fabricate.save(without_numbers(series), tmp_path / "s", shuffle=1)
    whole, lacking = describe(folder).stacks
    assert (whole.split_by, whole.problem) == ("EchoTime 10.0", None)
    assert lacking.problem is not None
    assert "1 slice missing" in lacking.problem


def test_stations_that_meet_at_a_seam_are_two_volumes(tmp_path: Path) -> None:
    lower, upper = [4.0 * k for k in range(6)], [20 + 7.0 * k for k in range(6)]
    series = [
        *scan_pass(lower, FIRST, put(AcquisitionNumber=1)),
        *scan_pass(upper, SECOND, put(AcquisitionNumber=2)),
    ]
    folder = fabricate.save(without_numbers(series), tmp_path / "s", shuffle=1)
    assert volumes(folder) == [values(FIRST, 6), values(SECOND, 6)]


def test_a_seam_that_nothing_distinguishes_belongs_to_no_run(tmp_path: Path) -> None:
    series = without_numbers(
        [*scan_pass([4.0 * k for k in range(6)], FIRST), *scan_pass([20 + 7.0 * k for k in range(6)], SECOND)]
    )
    folder = fabricate.save(series, tmp_path / "s", shuffle=1)
    with pytest.raises(GeometryError, match="at 20 mm"):
        read_volume(folder)
    for one in volumes(folder, split_runs=True):
        assert max(one) - min(one) < 10
        assert not {FIRST + 5, SECOND} & set(one)


def test_axial_rotations_of_two_passes_are_two_volumes(tmp_path: Path) -> None:
    """AcquisitionNumber counts rotations of four slices; the second pass is longer."""
    series = [
        *scan_pass(LONG, FIRST, lambda k, data: put(AcquisitionNumber=1 + k // 4)(k, data)),
        *scan_pass([5.0 * k for k in range(16)], SECOND, lambda k, data: put(AcquisitionNumber=4 + k // 4)(k, data)),
    ]
    folder = fabricate.save(series, tmp_path / "s", shuffle=1)
    assert volumes(folder) == [values(FIRST, 12), values(SECOND, 16)]


def test_a_protocol_that_changes_its_kernel_on_the_way_is_reported(tmp_path: Path) -> None:
    series = scan_pass(SAME, FIRST, lambda k, data: put(ConvolutionKernel="B30f" if k < 4 else "B70f")(k, data))
    volume = read_volume(fabricate.save(series, tmp_path / "s"))
    assert volume.header.warnings == (
        "ConvolutionKernel differs between slices of this stack (B30f, B70f); they may be of different scans",
    )


@pytest.mark.parametrize(
    ("name", "values"),
    [("RescaleType", "HU, MGML"), ("Units", "BQML, GML"), ("PhotometricInterpretation", "MONOCHROME2, MONOCHROME1")],
)
def test_a_slice_in_other_units_is_reported(name: str, values: str, tmp_path: Path) -> None:
    usual, other = values.split(", ")
    series = fabricate.changed(fabricate.slices(), lambda k, data: setattr(data, name, other if k == 3 else usual))
    warnings = read_volume(fabricate.save(series, tmp_path / "s")).header.warnings
    assert warnings == (f"{name} differs between slices of this stack ({values}); they may be of different scans",)


def test_tube_current_and_times_of_one_helical_scan_split_nothing(tmp_path: Path) -> None:
    series = scan_pass(LONG, FIRST, rising("ContentTime", 36000, 0.37))
    for k, data in enumerate(series):
        data.XRayTubeCurrent, data.AcquisitionNumber = 100 + 7 * (k % 3), 1 + k // 2
    volume = read_volume(fabricate.save(series, tmp_path / "s", shuffle=1))
    assert (volume.shape[2], volume.header.warnings) == (12, ())


def test_enhanced_files_of_two_energies_are_two_volumes(tmp_path: Path) -> None:
    for value, kvp in ((FIRST, 80.0), (SECOND, 140.0)):
        image = fabricate.multiframe(scan_pass(SAME, value))
        for frame in image.PerFrameFunctionalGroupsSequence:
            details = Dataset()
            details.KVP = kvp
            frame.CTXRayDetailsSequence = [details]
        fabricate.save([image], tmp_path / "s")
    assert volumes(tmp_path / "s") == [values(FIRST, 8), values(SECOND, 8)]


def test_enhanced_files_at_the_same_positions_are_a_volume_each(tmp_path: Path) -> None:
    for value in (FIRST, SECOND):
        fabricate.save([fabricate.multiframe(scan_pass(SAME, value))], tmp_path / "s")
    assert volumes(tmp_path / "s") == [values(FIRST, 8), values(SECOND, 8)]


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


def test_two_kernels_with_the_same_times_and_no_name_are_refused(tmp_path: Path) -> None:
    series = [
        *scan_pass(SAME, FIRST, rising("AcquisitionTime", 9)),
        *scan_pass(SAME, SECOND, rising("AcquisitionTime", 9)),
    ]
    folder = fabricate.save(without_numbers(series), tmp_path / "s", shuffle=1)
    with pytest.raises(GeometryError, match="2 different images at each of 8 positions"):
        read_volume(folder)


def test_a_slice_that_nearly_repeats_another_is_named(tmp_path: Path) -> None:
    folder = fabricate.save([*scan_pass(LONG, FIRST), *scan_pass([20.4], SECOND)], tmp_path / "s")
    with pytest.raises(GeometryError, match=r"too close together: 0\.4 mm between 20 and 20\.4.*expected 5 mm"):
        read_volume(folder)


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


def test_images_at_one_single_position_are_named_as_that(tmp_path: Path) -> None:
    folder = fabricate.save(scan_pass([5.0] * 6, FIRST), tmp_path / "s")
    with pytest.raises(GeometryError, match=r"6 slices at one position \(5 mm along the normal\)"):
        read_volume(folder)


@pytest.mark.parametrize("name", ["RescaleType", "Units"])
def test_time_points_of_which_one_slice_names_no_unit_are_separated(name: str, tmp_path: Path) -> None:
    series = []
    for point in range(2):
        made = scan_pass(SAME, 1000 * (point + 1), rising("AcquisitionTime", 36000 + 100 * point))
        for k, data in enumerate(made):
            if k != 2 + point:
                setattr(data, name, "US")
        series += made
    folder = fabricate.save(without_numbers(series), tmp_path / "s", shuffle=2)
    assert volumes(folder) == [values(1000 * (point + 1), 8) for point in range(2)]


def test_time_points_measured_position_by_position_are_separated(tmp_path: Path) -> None:
    series = []
    for point in range(3):
        series += scan_pass(SAME, 1000 * (point + 1), rising("ContentTime", 36000 + point, 3))
    folder = fabricate.save(without_numbers(series), tmp_path / "s", shuffle=2)
    assert volumes(folder) == [values(1000 * (point + 1), 8) for point in range(3)]


@pytest.mark.parametrize("heights", [SAME, [2.5 + z for z in SAME]], ids=["same", "between"])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_reconstructions_of_other_thickness_are_two_volumes(
    modality: str, heights: list[float], tmp_path: Path
) -> None:
    series = [
        *scan_pass(SAME, FIRST, put(SliceThickness="5"), modality=modality),
        *scan_pass(heights, SECOND, put(SliceThickness="3"), modality=modality),
    ]
    found = describe(fabricate.save(without_numbers(series), tmp_path / "s", shuffle=2)).stacks
    assert {(stack.split_by, stack.shape[2]) for stack in found} == {("SliceThickness 5", 8), ("SliceThickness 3", 8)}


def test_enhanced_stacks_at_the_same_positions_are_distinguished_by_their_id(tmp_path: Path) -> None:
    both = [*scan_pass(SAME, FIRST), *scan_pass(SAME, SECOND)]
    order = np.random.default_rng(1).permutation(16)
    image = fabricate.multiframe([both[i] for i in order])
    for i, frame in zip(order, image.PerFrameFunctionalGroupsSequence, strict=True):
        content = Dataset()
        content.StackID = str(1 + i // 8)
        frame.FrameContentSequence = [content]
    assert volumes(fabricate.save([image], tmp_path / "s")) == [values(FIRST, 8), values(SECOND, 8)]
