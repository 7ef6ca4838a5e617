"""Volumes of a 4-D scan as one derived series: read back, they are the same volumes, whatever distinguishes them."""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from pathlib import Path

import fabricate
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from scan_passes import FIRST, SAME, SECOND, TOLD_APART, put, rising, scan_pass, shuffled_numbers

from saint_cli.errors import GeometryError, UsageError
from saint_cli.io import ReadOptions, SeriesFormat, describe, list_volumes, open_series, read_volume
from saint_cli.volume import Storage, Volume
from saint_cli.volume.fourth_axis import FourthAxis

FACTOR = 3


def write_all(source: Path, target: Path, **options: object) -> list[Volume]:
    """The volumes of a series, interpolated linearly and written as one series; each as it was written."""
    series = list_volumes(source)
    results = [fabricate.interpolated(volume, FACTOR) for volume in series.read()]
    form = SeriesFormat(series.marks, series.axis, Storage(np.dtype("int16")))
    with open_series(form, target, **options) as write:
        for result in results:
            write(result)
    return results


def nested() -> list[Dataset]:
    """Two echoes, each at two time points that only the acquisition time distinguishes."""
    series = []
    for k, (echo, time) in enumerate([(5, 43200), (5, 43260), (40, 43200), (40, 43260)]):
        part = scan_pass(SAME, FIRST + 300 * k, put(EchoTime=str(echo)), modality="MR")
        series += fabricate.changed(part, rising("AcquisitionTime", time))
    return series


def gradients() -> list[Dataset]:
    """Three directions of one b-value."""
    directions = np.eye(3).tolist()
    return [
        data
        for k, direction in enumerate(directions)
        for data in scan_pass(
            SAME,
            FIRST + 300 * k,
            put(DiffusionBValue=1000.0, DiffusionGradientOrientation=direction),
            modality="MR",
        )
    ]


def by_number() -> list[Dataset]:
    return [*scan_pass(SAME, FIRST), *scan_pass(SAME, SECOND)]


SOURCES: dict[str, Callable[[], Sequence[Dataset]]] = {
    **{
        name: lambda edits=edits: [*scan_pass(SAME, FIRST, edits[0]), *scan_pass(SAME, SECOND, edits[1])]
        for name, edits in TOLD_APART.items()
    },
    "InstanceNumber alone": by_number,
    "echoes and times": nested,
    "gradient directions": gradients,
    "trigger times": lambda: [
        data for k in range(3) for data in scan_pass(SAME, FIRST + 300 * k, put(TriggerTime=f"{100 * k}"))
    ],
    "shuffled numbers": lambda: shuffled_numbers(
        [*scan_pass(SAME, FIRST, put(EchoTime="5")), *scan_pass(SAME, SECOND, put(EchoTime="50"))]
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_volumes_that_are_written_as_one_series_come_back_as_they_were(name: str, tmp_path: Path) -> None:
    source = fabricate.save(SOURCES[name](), tmp_path / "in", shuffle=5)
    written = write_all(source, tmp_path / "out")
    assert len(written) > 1
    assert len(describe(tmp_path / "out").stacks) == len(written)
    for k, volume in enumerate(written, 1):
        again = read_volume(tmp_path / "out", volume=k)
        np.testing.assert_array_equal(again.voxels, volume.voxels)
        np.testing.assert_allclose(again.affine_lps, volume.affine_lps, atol=1e-6)
    assert [one.voxels.tolist() for one in list_volumes(tmp_path / "out").read()] == [
        one.voxels.tolist() for one in written
    ]


def test_echo_times_of_an_enhanced_image_are_decimal_strings_of_at_most_16_characters(tmp_path: Path) -> None:
    echoes = [float(np.float32(time)) for time in (4.92, 9.84)]  # 4.920000076293945
    image = fabricate.multiframe([*fabricate.slices(modality="MR"), *fabricate.slices(modality="MR")])
    for index, group in enumerate(image.PerFrameFunctionalGroupsSequence):
        echo = Dataset()
        echo.EffectiveEchoTime = echoes[index // 6]
        group.MREchoSequence = [echo]
    write_all(fabricate.save([image], tmp_path / "in"), tmp_path / "out")
    written = [pydicom.dcmread(file).get_item("EchoTime").value.strip() for file in (tmp_path / "out").iterdir()]
    assert {len(value) for value in written} == {16}
    assert {round(float(value), 4) for value in written} == {4.92, 9.84}
    assert len(describe(tmp_path / "out").stacks) == 2


def test_one_series_counts_its_instances_volume_after_volume_and_gives_each_a_uid_of_its_own(tmp_path: Path) -> None:
    source = fabricate.save(nested(), tmp_path / "in", shuffle=1)
    written = write_all(source, tmp_path / "out")
    saved = fabricate.saved_series(tmp_path / "out")
    per_volume = written[0].shape[2]
    assert len(saved) == 4 * per_volume
    assert {len({getattr(data, name) for data in saved}) for name in ("SeriesInstanceUID", "StudyInstanceUID")} == {1}
    assert len({data.SOPInstanceUID for data in saved}) == len(saved)
    assert [int(data.InstanceNumber) for data in saved] == list(range(1, len(saved) + 1))
    assert [float(data.EchoTime) for data in saved[::per_volume]] == [5, 5, 40, 40]
    assert [int(data.TemporalPositionIdentifier) for data in saved[::per_volume]] == [1, 2, 3, 4]
    alone = [fabricate.interpolated(read_volume(source, volume=1), FACTOR)]
    assert alone[0].voxels.tolist() == written[0].voxels.tolist()


def test_the_same_volumes_give_the_same_uids_and_other_values_give_others(tmp_path: Path) -> None:
    source = fabricate.save(gradients(), tmp_path / "in")
    for name in ("a", "b"):
        write_all(source, tmp_path / name)
    first, second = (fabricate.saved_series(tmp_path / name) for name in ("a", "b"))
    assert [data.SOPInstanceUID for data in first] == [data.SOPInstanceUID for data in second]
    changed = pydicom.dcmread(sorted(source.iterdir())[-1])
    fabricate.set_pixels(changed, np.full((12, 16), 7, "u2"))
    changed.save_as(sorted(source.iterdir())[-1], enforce_file_format=True)
    write_all(source, tmp_path / "c")
    third = fabricate.saved_series(tmp_path / "c")
    per_volume = len(first) // 3
    assert [d.SOPInstanceUID for d in first[: 2 * per_volume]] == [d.SOPInstanceUID for d in third[: 2 * per_volume]]
    assert first[-1].SOPInstanceUID != third[-1].SOPInstanceUID


def test_the_time_of_the_series_is_one_for_all_volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        calls = 0

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            cls.calls += 1
            return datetime(2026, 1, 1, 12, 0, cls.calls, tzinfo=tz)

    monkeypatch.setattr("saint_cli.io.dicom.write.datetime", Clock)
    write_all(fabricate.save(gradients(), tmp_path / "in"), tmp_path / "out")
    saved = fabricate.saved_series(tmp_path / "out")
    assert Clock.calls > 1
    for name in ("SeriesTime", "ContentTime", "InstanceCreationTime"):
        assert len({getattr(data, name) for data in saved}) == 1


@pytest.mark.parametrize("name", ["gradient directions", "echoes and times", "energies"])
def test_dcentvfy_finds_one_series(name: str, tmp_path: Path) -> None:
    dcentvfy = shutil.which("dcentvfy")
    if dcentvfy is None:
        pytest.skip("dcentvfy is not installed (Debian package dicom3tools)")
    write_all(fabricate.save(SOURCES[name](), tmp_path / "in"), tmp_path / "out")
    files = map(str, sorted((tmp_path / "out").iterdir()))
    done = subprocess.run([dcentvfy, *files], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_series_that_fails_midway_leaves_nothing(tmp_path: Path) -> None:
    source = fabricate.save(gradients(), tmp_path / "in")
    series = list_volumes(source)
    form = SeriesFormat(series.marks, series.axis, Storage(np.dtype("int16")))
    (first, *_) = series.read()

    def write_one_and_fail() -> None:
        with open_series(form, tmp_path / "out") as write:
            write(fabricate.interpolated(first, FACTOR))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_one_and_fail()
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_volume_that_lacks_a_slice_is_refused_by_name(tmp_path: Path) -> None:
    parts = [*scan_pass(SAME, FIRST, put(EchoTime="5")), *scan_pass(SAME[:-1], SECOND, put(EchoTime="50"))]
    parts += scan_pass(SAME, 3000, put(EchoTime="90"))
    source = fabricate.save(parts, tmp_path / "in")
    with pytest.raises(GeometryError, match=r"volume 2 \(EchoTime 50\) of 3: 7 slices, where most volumes have 8") as e:
        list_volumes(source)
    assert "one at a time with `volume`" in str(e.value)


def test_a_volume_that_leaves_the_place_of_the_others_is_refused_by_name(tmp_path: Path) -> None:
    moved = scan_pass(SAME, SECOND, put(EchoTime="50"))
    for k, data in enumerate(moved):
        data.ImagePositionPatient[1] += 0.6 * k
    source = fabricate.save([*scan_pass(SAME, FIRST, put(EchoTime="5")), *moved], tmp_path / "in")
    with pytest.raises(GeometryError, match=r"volume 2 \(EchoTime 50\) of 2: it lies up to 4\.2 mm from the others"):
        list_volumes(source)


def test_a_phase_map_among_the_volumes_is_refused_by_name(tmp_path: Path) -> None:
    magnitude = scan_pass(SAME, FIRST, put(EchoTime="5"), modality="MR")
    phase = scan_pass(SAME, SECOND, put(EchoTime="5", ImageType=["ORIGINAL", "PRIMARY", "P"]), modality="MR")
    source = fabricate.save([*magnitude, *phase], tmp_path / "in")
    with pytest.raises(GeometryError, match=r"volume 2 \(ImageType P\) of 2: phase map.*one at a time with `volume`"):
        list_volumes(source)


def test_two_orientations_are_no_volumes_of_one_scan(tmp_path: Path) -> None:
    turned = fabricate.slices(step=(2.4, -3.2, 3.0), orientation=fabricate.OBLIQUE)
    for k, data in enumerate(turned):
        data.SOPInstanceUID, data.InstanceNumber = f"1.2.3.{k + 1}", 50 + k
    source = fabricate.save([*fabricate.slices(), *turned], tmp_path / "in")
    with pytest.raises(UsageError, match="of different direction"):
        list_volumes(source)


def test_several_series_are_not_taken_for_volumes(tmp_path: Path) -> None:
    other = fabricate.slices(modality="MR")
    source = fabricate.save([*fabricate.slices(), *other], tmp_path / "in")
    with pytest.raises(UsageError, match=r"volumes of one series; choose it with `series`.*saint batch"):
        list_volumes(source)
    assert list_volumes(source, ReadOptions(series="1")).count == 1


def test_a_number_names_the_series_of_that_stack_and_a_hash_one_volume(tmp_path: Path) -> None:
    source = fabricate.save(gradients(), tmp_path / "in")
    assert [list_volumes(source, ReadOptions(series=name)).count for name in (None, "2")] == [3, 3]
    label = describe(source).stacks[1].label
    (only,) = list_volumes(source, ReadOptions(series=label)).read()
    assert only.voxels.tolist() == read_volume(source, volume=2).voxels.tolist()


def test_time_between_volumes_is_known_where_it_is_always_the_same(tmp_path: Path) -> None:
    def find_axis(name: str, *times: int) -> FourthAxis:
        moments = [put(AcquisitionTime=f"1200{seconds:02d}") for seconds in times]
        slices = [data for k, moment in enumerate(moments) for data in scan_pass(SAME, FIRST + 300 * k, moment)]
        return list_volumes(fabricate.save(slices, tmp_path / name)).axis

    assert find_axis("even", 0, 4, 8) == FourthAxis(step=4.0, unit=8)
    assert find_axis("uneven", 0, 4, 13) == FourthAxis()
