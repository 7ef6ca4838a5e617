"""Volumes of one series: never mixed, whatever distinguishes them; refused or reported as doubtful without that."""

from collections.abc import Callable
from pathlib import Path

import fabricate
import numpy as np
import pytest
from pydicom.dataset import Dataset
from scan_passes import FIRST, SAME, SECOND, TOLD_APART, put, rising, scan_pass, shuffled_numbers, without_numbers
from split_volumes import LONG, values, volumes

from saint_cli.errors import GeometryError
from saint_cli.io import describe, read_volume

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


def test_times_at_which_files_were_written_in_any_order_separate_nothing(tmp_path: Path) -> None:
    series = [*scan_pass(SAME, FIRST), *scan_pass(SAME, SECOND)]
    for data, second in zip(series, np.random.default_rng(3).permutation(len(series)), strict=True):
        data.InstanceCreationTime = f"1200{int(second):02d}"
    folder = fabricate.save(series, tmp_path / "s", shuffle=2)
    assert volumes(folder) == [values(FIRST, 8), values(SECOND, 8)]
    assert "the order of InstanceNumber only" in describe(folder).stacks[0].warnings[0]


@pytest.mark.parametrize(("name", "either"), [("KVP", ("140", "80")), ("ContrastBolusAgent", (None, "an agent"))])
def test_a_consistent_number_that_contradicts_energy_or_contrast_is_not_believed(
    name: str, either: tuple[str | None, str], tmp_path: Path
) -> None:
    alternating = [*scan_pass(SAME, FIRST), *scan_pass(SAME, SECOND)]
    for k, data in enumerate(alternating[:-1]):
        setattr(data, name, either[k % 3 > 0])
    with pytest.raises(GeometryError, match="2 different images at each of 8 positions"):
        read_volume(fabricate.save(alternating, tmp_path / "s"))


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


@pytest.mark.parametrize(
    ("kinds", "labels"),
    [
        ([["T1", "M"], ["T1", "FIELD_MAP"]], ["ImageType M", "ImageType FIELD_MAP"]),
        ([["W"], ["F"], ["IP"]], ["ImageType W", "ImageType F", "ImageType IP"]),
        ([["M", "ND"], ["M", "ND", "NORM"]], ["ImageType M\\ND", "ImageType NORM"]),
    ],
)
def test_volumes_of_several_image_types_are_listed_with_these(
    kinds: list[list[str]], labels: list[str], tmp_path: Path
) -> None:
    series = []
    for number, kind in enumerate(kinds):
        series += scan_pass(SAME, 100 * (number + 1), put(ImageType=["ORIGINAL", "PRIMARY", *kind]), modality="MR")
    folder = fabricate.save(series, tmp_path / "s")
    assert [stack.split_by for stack in describe(folder).stacks] == labels
    count = len(labels)
    with pytest.raises(GeometryError, match=f"{count} stacks at the same positions; choose one with `volume`"):
        read_volume(folder)


def test_volumes_of_one_image_type_are_listed_without_it(tmp_path: Path) -> None:
    series = [*scan_pass(SAME, FIRST, put(EchoTime=10)), *scan_pass(SAME, SECOND, put(EchoTime=20))]
    folder = fabricate.save(series, tmp_path / "s")
    assert [stack.split_by for stack in describe(folder).stacks] == ["EchoTime 10.0", "EchoTime 20.0"]


def test_gradient_directions_are_listed_in_three_digits(tmp_path: Path) -> None:
    directions = [[-0.06086054444313049, -9.5e-10, 0.9981462955474854], [0.5, 0.5, 0.70710678]]
    series = []
    for number, direction in enumerate(directions):
        edit = put(DiffusionBValue=1000.0, DiffusionGradientOrientation=direction)
        series += scan_pass(SAME, 100 * (number + 1), edit, modality="MR")
    found = describe(fabricate.save(series, tmp_path / "s")).stacks
    assert [stack.split_by.partition("Orientation ")[2] for stack in found] == [
        "(-0.0609, 0, 0.998)",
        "(0.5, 0.5, 0.707)",
    ]


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
    [("RescaleType", "HU, US"), ("Units", "BQML, GML"), ("PhotometricInterpretation", "MONOCHROME2, MONOCHROME1")],
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
