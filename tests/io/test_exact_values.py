"""What a file stores comes back bit for bit from every reader and writer, whatever its type and scaling."""

from dataclasses import replace
from pathlib import Path

import nibabel
import noisy_scans
import numpy as np
import pytest
from nets import tiny

from saint_cli.errors import OutputError, UnreadableError
from saint_cli.geometry import grid_by_factor
from saint_cli.io import check_result, read_volume, write_volume
from saint_cli.io.scaling import encode, narrow_floats, unscale
from saint_cli.io.write import MIN_PACKED_SHARE
from saint_cli.options.method import MethodOptions, NoiseHandling
from saint_cli.volume import Storage, Volume

AFFINE = np.diag([0.7, 0.9, 5.0, 1.0])
SHAPE = (6, 5, 4)
RNG = np.random.default_rng(9)

FINE = RNG.normal(0, 1000, SHAPE)
"""Doubles that float32 does not hold."""

ENDINGS = [".nii", ".nii.gz", ".nrrd", ".mha"]


def written(volume: Volume, path: Path) -> Volume:
    write_volume(volume, path)
    return read_volume(path)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "voxels",
    [
        FINE,
        np.where(FINE > 500, 1e300, FINE),
        FINE * 1e-310,
        RNG.integers(-(2**62), 2**62, SHAPE),
        RNG.integers(0, 2**64 - 1, SHAPE, dtype=np.uint64),
        RNG.integers(0, 2**32 - 1, SHAPE, dtype=np.uint32),
    ],
    ids=["doubles", "huge", "denormal", "int64", "uint64", "uint32"],
)
def test_acquired_slices_of_every_type_come_back_bit_for_bit(voxels: np.ndarray, ending: str, tmp_path: Path) -> None:
    source = written(Volume(voxels, AFFINE), tmp_path / f"in{ending}")
    np.testing.assert_array_equal(source.voxels, voxels)
    dense = tiny.upsample(source, tiny.model(), grid_by_factor(SHAPE[2], 2, 2), tiny.CPU)
    result = written(dense, tmp_path / f"out{ending}")
    assert result.voxels.dtype == voxels.dtype
    np.testing.assert_array_equal(result.voxels[..., ::2], voxels)


@pytest.mark.parametrize("ending", ENDINGS)
def test_doubles_that_float32_holds_are_read_as_float32(ending: str, tmp_path: Path) -> None:
    wide = FINE.astype(np.float32).astype(np.float64)
    wide[0, 0, 0], wide[1, 1, 1] = np.nan, -np.inf
    read = written(Volume(wide, AFFINE), tmp_path / f"a{ending}").voxels
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, wide)


SCALINGS = [
    (1e-3, 1e6),
    (-2.5, 3.0),
    (1e30, 0.0),
    (3e38, 0.0),
    (1e-45, 0.0),
    (1e-40, 1e-38),
    (0.5, -1024.0),
    (1.0, 1e9),
]


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "int32", "uint32"])
@pytest.mark.parametrize(("slope", "intercept"), SCALINGS, ids=str)
def test_stored_integers_can_be_recovered_from_their_scanner_values(slope: float, intercept: float, dtype: str) -> None:
    limits = np.iinfo(dtype)
    stored = RNG.integers(limits.min, limits.max, SHAPE, dtype=dtype, endpoint=True)
    values, storage = unscale(stored, Storage(stored.dtype, float(np.float32(slope)), float(np.float32(intercept))))
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(encode(values, storage), stored)


def test_usual_scalings_take_no_more_memory_than_float32() -> None:
    stored = RNG.integers(-32768, 32767, SHAPE, dtype=np.int16)
    for slope, intercept in ((0.5, -1024.0), (0.1, 0.0), (1e-4, 3.0)):
        assert unscale(stored, Storage(stored.dtype, slope, intercept))[0].dtype == np.float32


def test_floats_with_a_scaling_overflow_into_float64_only() -> None:
    stored = np.array([[[3e38, -1.0], [np.nan, np.inf]]], np.float32)
    values, storage = unscale(stored, Storage(stored.dtype, 10.0, 0.0))
    assert values.dtype == storage.dtype == np.float64
    assert values[0, 0, 0] == pytest.approx(3e39)
    assert unscale(stored, Storage(stored.dtype, 0.5, 0.0))[0].dtype == np.float32


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_narrow_floats_are_float32(dtype: str) -> None:
    assert narrow_floats(FINE.astype(dtype)).dtype == np.float32


@pytest.mark.parametrize(
    ("dtype", "slope", "intercept", "version"),
    [("int16", 0.4837, -3.7, 1), ("int32", 0.1, 3.7, 2), ("int16", 1e-60, 0.0, 2), ("int16", 1e-3, 123456.787, 2)],
)
def test_a_scaling_that_float32_does_not_hold_is_written_as_nifti_2(
    dtype: str, slope: float, intercept: float, version: int, tmp_path: Path
) -> None:
    stored = RNG.integers(-3000, 3000, SHAPE).astype(dtype)
    nibabel.save(nibabel.Nifti2Image(stored, AFFINE), tmp_path / "in.nii")
    data = bytearray((tmp_path / "in.nii").read_bytes())
    data[176:192] = np.array([slope, intercept], "<f8").tobytes()  # scl_slope, scl_inter
    (tmp_path / "in.nii").write_bytes(data)
    result = written(read_volume(tmp_path / "in.nii"), tmp_path / "out.nii")
    made = nibabel.load(tmp_path / "out.nii")
    assert type(made) is (nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image)
    np.testing.assert_array_equal(np.asarray(made.dataobj.get_unscaled()), stored)
    np.testing.assert_allclose(result.voxels, stored * slope + intercept, rtol=1e-6, atol=abs(slope) / 2)


@pytest.mark.parametrize(("name", "bytes_per_voxel"), [("out.nii", 2), ("out.nrrd", 4), ("out.mha", 4)])
def test_the_space_for_a_result_is_that_of_what_is_stored(
    name: str, bytes_per_voxel: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = nibabel.Nifti1Image(RNG.integers(-1000, 2000, SHAPE).astype(np.int16), AFFINE)
    image.header.set_slope_inter(0.5, 0)
    image.to_filename(tmp_path / "in.nii")
    volume, grid = read_volume(tmp_path / "in.nii"), grid_by_factor(SHAPE[2], 2, 2)
    need = int(6 * 5 * 7 * bytes_per_voxel * (MIN_PACKED_SHARE if name.endswith(".nrrd") else 1))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": need})())
    check_result(volume, grid, tmp_path / name)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": need - 1})())
    with pytest.raises(OutputError, match="are needed"):
        check_result(volume, grid, tmp_path / name)


def normalised(volume: Volume) -> Volume:
    """The volume with values of 0 to 1, whose header still says how its source stored integers."""
    low, high = float(volume.voxels.min()), float(volume.voxels.max())
    return replace(volume, voxels=((volume.voxels - low) / (high - low)).astype(np.float32))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("slope", [1.0, 0.5])
def test_floats_that_the_integers_of_the_source_do_not_hold_stay_floats(
    slope: float, ending: str, tmp_path: Path
) -> None:
    image = nibabel.Nifti1Image(RNG.integers(-1000, 2000, SHAPE).astype(np.int16), AFFINE)
    image.header.set_slope_inter(slope, 0)
    image.to_filename(tmp_path / "in.nii")
    volume = read_volume(tmp_path / "in.nii")
    for number, changed in enumerate((normalised(volume), replace(volume, voxels=volume.voxels * np.float32(40)))):
        again = written(changed, tmp_path / f"{number}{ending}")
        np.testing.assert_array_equal(again.voxels, changed.voxels)


def upsampled_noise(slope: float, intercept: float, noise: NoiseHandling, folder: Path) -> tuple[Volume, Volume]:
    """A CT with noise that is stored with this scaling, and its result, twice as fine."""
    stored = np.rint((noisy_scans.acquired_slices() - intercept) / slope).astype(np.int16)
    image = nibabel.Nifti1Image(stored, AFFINE)
    image.header.set_slope_inter(slope, intercept)
    image.to_filename(folder / "in.nii")
    source = read_volume(folder / "in.nii", modality="CT")
    grid = grid_by_factor(stored.shape[2], 2, 2)
    return source, tiny.upsample(source, tiny.linear_model(), grid, tiny.CPU, MethodOptions(noise=noise))


@pytest.mark.parametrize(("slope", "intercept"), [(0.5, 0.0), (0.1, -3.0), (-2.5, 1024.0)])
@pytest.mark.parametrize("noise", list(NoiseHandling))
def test_results_of_scaled_integers_are_stored_as_their_source_was(
    slope: float, intercept: float, noise: NoiseHandling, tmp_path: Path
) -> None:
    source, result = upsampled_noise(slope, intercept, noise, tmp_path)
    assert np.array_equal(result.voxels[..., ::2], source.voxels) == (noise is not NoiseHandling.SMOOTH)
    write_volume(result, tmp_path / "out.nii")
    made = nibabel.load(tmp_path / "out.nii")
    assert made.get_data_dtype() == np.int16
    assert made.dataobj.slope == np.float32(slope)


@pytest.mark.parametrize("noise", list(NoiseHandling))
def test_a_result_that_was_changed_afterwards_is_not_rounded(noise: NoiseHandling, tmp_path: Path) -> None:
    _, result = upsampled_noise(0.5, 0.0, noise, tmp_path)
    changed = normalised(result)
    np.testing.assert_array_equal(written(changed, tmp_path / "out.nii").voxels, changed.voxels)


def test_an_infinite_slope_is_refused(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros(SHAPE, np.int16), AFFINE), tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[112:116] = np.float32(np.inf).tobytes()
    (tmp_path / "a.nii").write_bytes(data)
    with pytest.raises(UnreadableError, match="scl_slope or scl_inter is not finite"):
        read_volume(tmp_path / "a.nii")
