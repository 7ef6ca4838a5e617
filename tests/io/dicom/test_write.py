"""Derived DICOM series: what is kept, what is new, what is gone, and when nothing is written."""

from collections.abc import Callable
from pathlib import Path

import fabricate
import numpy as np
import pydicom
import pytest
from derived_slices import FACTOR, derived
from fabricate import interpolated, saved_series
from pydicom import uid
from pydicom.dataset import Dataset

from saint_cli import geometry
from saint_cli.errors import OutputError, SaintError, UnreadableError, UsageError
from saint_cli.io import check_result, read_volume, write_volume
from saint_cli.io.dicom import write
from saint_cli.io.write import HEADER_BYTES
from saint_cli.volume import Volume

STACKS = {
    "axial": ({}, fabricate.AXIAL),
    "descending": ({"step": (0.0, 0.0, -5.0)}, fabricate.AXIAL),
    "tilted": ({"step": (0.0, 1.2, 4.8)}, fabricate.AXIAL),
    "oblique": ({"step": (2.4, -3.2, 3.0)}, fabricate.OBLIQUE),
}


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_writing_then_reading_gives_the_same_voxels_and_affine(name: str, modality: str, tmp_path: Path) -> None:
    options, orientation = STACKS[name]
    source = fabricate.save(fabricate.slices(orientation=orientation, modality=modality, **options), tmp_path / "s")
    dense = interpolated(read_volume(source), FACTOR)
    write_volume(dense, tmp_path / "out")
    again = read_volume(tmp_path / "out")
    np.testing.assert_array_equal(again.voxels, dense.voxels)
    np.testing.assert_allclose(again.affine_lps, dense.affine_lps, atol=1e-9)
    assert again.spacing_mm[2] == pytest.approx(read_volume(source).spacing_mm[2] / FACTOR)


def test_acquired_slices_keep_pixels_and_positions_bit_for_bit(tmp_path: Path) -> None:
    series = fabricate.slices(step=(0.0, 1.2, 4.8))
    for index, data in enumerate(series):
        data.ImagePositionPatient = [f"{v:.6f}"[:16] for v in (-10.0000001, 20 + 1.2 * index, 30 + 4.8 * index)]
    source = [bytes(d.PixelData) for d in series], [d["ImagePositionPatient"].value for d in series]
    out = derived(series, tmp_path)
    assert [d.PixelData for d in out[::FACTOR]] == source[0]
    written = [[str(v) for v in d.ImagePositionPatient] for d in out[::FACTOR]]
    assert written == [[str(v) for v in position] for position in source[1]]


def test_pixels_whose_unused_bits_hold_rubbish_come_back_as_stored_values(tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series:
        clean = fabricate.pixels(data) & 0x0FFF
        fabricate.set_pixels(data, clean | 0xA000, bits=12)
    out = derived(series, tmp_path)
    for data, source in zip(out[::FACTOR], series, strict=True):
        np.testing.assert_array_equal(fabricate.pixels(data), fabricate.pixels(source) & 0x0FFF)
    assert {(d.BitsStored, d.HighBit) for d in out} == {(12, 11)}


def test_slices_lie_on_one_line_at_equal_distances(tmp_path: Path) -> None:
    out = derived(fabricate.slices(step=(0.0, 1.2, 4.8)), tmp_path)
    positions = np.array([[float(v) for v in d.ImagePositionPatient] for d in out])
    np.testing.assert_allclose(np.diff(positions, axis=0), np.tile([0, 0.3, 1.2], (len(out) - 1, 1)), atol=1e-9)
    assert {float(d.SpacingBetweenSlices) for d in out} == {1.2}
    assert all(len(str(v)) <= 16 for d in out for v in d.ImagePositionPatient)


def test_tiny_slopes_that_differ_by_slice_keep_their_digits_and_their_real_world_values(tmp_path: Path) -> None:
    slopes = [5.912345678e-13, 3.123456789e-13, 7.98765432e-13]
    series = fabricate.slices(3, modality="MR")
    for slope, data in zip(slopes, series, strict=True):
        data.RescaleSlope = f"{slope:.9e}"
        mapping = Dataset()
        mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = float(data.RescaleSlope), 0.0
        data.RealWorldValueMappingSequence = [mapping]
    out = derived(series, tmp_path)
    written = [float(d.RescaleSlope) for d in out]
    assert written == [slopes[0]] * 4 + [slopes[1]] + [slopes[2]] * 4
    assert [d.RealWorldValueMappingSequence[0].RealWorldValueSlope for d in out] == written


def test_values_beyond_the_stored_bits_are_clipped_and_never_wrap(tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series:
        fabricate.set_pixels(data, fabricate.pixels(data) % 4096, bits=12)
    dense = interpolated(read_volume(fabricate.save(series, tmp_path / "s")), FACTOR)
    dense.voxels[0, 0, 1], dense.voxels[1, 0, 1] = 30000, -30000
    write_volume(dense, tmp_path / "out")
    assert read_volume(tmp_path / "out").voxels[:2, 0, 1].tolist() == [3071, -1024]


def test_a_changed_acquired_slice_is_written_as_it_is_and_not_called_kept(tmp_path: Path) -> None:
    dense = interpolated(read_volume(fabricate.save(fabricate.slices(), tmp_path / "s")), FACTOR)
    dense.voxels[2, 2, 4] += 7
    write_volume(dense, tmp_path / "out")
    np.testing.assert_array_equal(read_volume(tmp_path / "out").voxels, dense.voxels)
    assert "computed in place of acquired slice 2" in saved_series(tmp_path / "out")[4].DerivationDescription


def test_an_enhanced_image_comes_back_as_single_frames(tmp_path: Path) -> None:
    series = fabricate.slices(step=(0.0, 1.2, 4.8))
    image = fabricate.multiframe(series)
    fabricate.save([image], tmp_path / "s")
    dense = interpolated(read_volume(tmp_path / "s"), FACTOR)
    write_volume(dense, tmp_path / "out")
    out = saved_series(tmp_path / "out")
    np.testing.assert_array_equal(read_volume(tmp_path / "out").voxels, dense.voxels)
    assert {d.SOPClassUID for d in out} == {uid.CTImageStorage}
    assert not any("PerFrameFunctionalGroupsSequence" in d or "NumberOfFrames" in d for d in out)
    assert [i.ReferencedFrameNumber for i in out[5].SourceImageSequence] == [2, 3]
    assert [d.PixelData for d in out[::FACTOR]] == [d.PixelData for d in series]


def test_pet_counts_its_slices_and_a_dynamic_series_is_refused_by_name(tmp_path: Path) -> None:
    series = fabricate.pet()
    out = derived(series, tmp_path)
    assert {d.NumberOfSlices for d in out} == {21}
    assert sorted(d.ImageIndex for d in out) == list(range(1, 22))
    assert {(d.Units, d.DecayCorrection) for d in out} == {("BQML", "START")}
    for data in series:
        data.SeriesType = ["DYNAMIC", "IMAGE"]
    volume = read_volume(fabricate.save(series, tmp_path / "dynamic"))
    with pytest.raises(UsageError, match="DYNAMIC PET"):
        write_volume(volume, tmp_path / "none")


def test_nifti_and_dicom_of_one_result_agree(tmp_path: Path) -> None:
    series = fabricate.slices(step=(0.0, 1.2, 4.8))
    dense = interpolated(read_volume(fabricate.save(series, tmp_path / "s")), FACTOR)
    write_volume(dense, tmp_path / "out")
    write_volume(dense, tmp_path / "out.nii.gz")
    ours, theirs = read_volume(tmp_path / "out"), read_volume(tmp_path / "out.nii.gz")
    ends = np.array([[0, 0, 0, 1], [*(n - 1 for n in ours.shape), 1]]).T
    np.testing.assert_allclose(ours.affine_lps @ ends, theirs.affine_lps @ ends, atol=1e-3)
    np.testing.assert_allclose(ours.voxels, theirs.voxels, atol=0.5)


def refused(volume: Volume, target: Path, error: type[SaintError], words: str, **options: bool) -> None:
    before = sorted(target.parent.rglob("*")) if target.parent.exists() else []
    with pytest.raises(error, match=words) as caught:
        write_volume(volume, target, **options)
    assert "\n" not in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert (sorted(target.parent.rglob("*")) if target.parent.exists() else []) == before


def test_only_dicom_becomes_dicom(tmp_path: Path) -> None:
    refused(fabricate.volume(), tmp_path / "out", UsageError, "only DICOM input")


def test_another_axis_cannot_become_dicom(tmp_path: Path) -> None:
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "s"))
    with pytest.raises(UsageError, match="leave `axis` out"):
        check_result(volume, geometry.grid_by_factor(16, 0, 2), tmp_path / "out")


@pytest.mark.parametrize("place", [".", "deeper", "deeper/still"])
def test_nothing_is_written_among_the_source_files(place: str, tmp_path: Path) -> None:
    source = fabricate.save(fabricate.slices(), tmp_path / "s")
    volume = read_volume(source)
    refused(volume, source / place, OutputError, "source files|not empty")


def test_overwriting_replaces_only_series_of_its_own(tmp_path: Path) -> None:
    volume = interpolated(read_volume(fabricate.save(fabricate.slices(), tmp_path / "s")), FACTOR)
    foreign = fabricate.save(fabricate.slices(2), tmp_path / "foreign")
    refused(volume, foreign, OutputError, "not empty")
    refused(volume, foreign, OutputError, "did not write", overwrite=True)
    (tmp_path / "out").mkdir()
    write_volume(volume, tmp_path / "out")
    refused(volume, tmp_path / "out", OutputError, "not empty")
    sparse = read_volume(tmp_path / "s")
    write_volume(interpolated(sparse, 2), tmp_path / "out", overwrite=True)
    assert len(list((tmp_path / "out").iterdir())) == 11


def test_a_failure_leaves_nothing_and_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = interpolated(read_volume(fabricate.save(fabricate.slices(), tmp_path / "s")), FACTOR)
    write_volume(volume, tmp_path / "out")
    before = {f: f.read_bytes() for f in (tmp_path / "out").iterdir()}
    save, count = write._save, []

    def full(data: Dataset, path: Path) -> None:
        count.append(path)
        if len(count) == 7:
            raise OSError(28, "No space left on device")
        save(data, path)

    monkeypatch.setattr(write, "_save", full)
    with pytest.raises(OutputError, match="No space left"):
        write_volume(volume, tmp_path / "out", overwrite=True)
    assert {f: f.read_bytes() for f in (tmp_path / "out").iterdir()} == before
    assert not list(tmp_path.glob(".saint*"))


def test_source_files_that_are_gone_are_named(tmp_path: Path) -> None:
    volume = interpolated(read_volume(fabricate.save(fabricate.slices(), tmp_path / "s")), FACTOR)
    (tmp_path / "s" / "0003.dcm").unlink()
    refused(volume, tmp_path / "new" / "out", UnreadableError, "0003.dcm")


def test_too_little_space_is_known_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "s"))
    grid = geometry.grid_by_factor(6, 2, 4)
    for name in ("out", "out.nii"):
        check_result(volume, grid, tmp_path / name)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": 1000})())
    for name in ("out", "out.nii", "out.nii.gz"):
        with pytest.raises(OutputError, match="kB are needed, 1 kB are free; choose another folder"):
            check_result(volume, grid, tmp_path / name)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"total": 0, "free": 0})())
    with pytest.raises(OutputError, match=r"out\.nii: no file can be written in .*; choose another folder"):
        check_result(volume, grid, tmp_path / "out.nii")


@pytest.mark.parametrize("make", [fabricate.slices, fabricate.pet], ids=["integers", "a scale for each slice"])
def test_the_space_for_a_series_is_that_of_its_stored_integers(
    make: Callable[[], list[Dataset]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, grid = read_volume(fabricate.save(make(), tmp_path / "s")), geometry.grid_by_factor(6, 2, 4)
    need = 21 * (12 * 16 * 2 + HEADER_BYTES)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": need})())
    check_result(volume, grid, tmp_path / "out")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": need - 1})())
    with pytest.raises(OutputError, match="are needed"):
        check_result(volume, grid, tmp_path / "out")


def test_memory_while_writing_does_not_grow_with_the_number_of_slices(tmp_path: Path) -> None:
    import tracemalloc

    peaks = []
    for count in (3, 9):
        source = fabricate.save(fabricate.slices(count, shape=(256, 256)), tmp_path / str(count))
        dense = interpolated(read_volume(source), 2)
        tracemalloc.start()
        write_volume(dense, tmp_path / f"out{count}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + 200_000
    assert pydicom.dcmread(tmp_path / "out9" / "IM00001.dcm").Rows == 256
