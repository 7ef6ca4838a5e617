"""Constants that a program wrote where nothing was measured are found, hidden from the networks, and put back."""

from dataclasses import replace
from pathlib import Path

import fabricate
import nibabel as nib
import numpy as np
import pytest
import torch
from filled_scans import OUTSIDE, SHAPE, X, Y, block, body, filled, scan
from nets import tiny

from saint_cli.geometry import grid_by_factor
from saint_cli.io import fill_values, read_volume
from saint_cli.method import intensity, padding, pipeline
from saint_cli.models.calibration import Calibration
from saint_cli.runtime.device_selection import Compute

CPU = Compute(torch.device("cpu"), torch.float32)


LOWEST = float(np.finfo(np.float32).min)


CORNER = X + Y > 1.5
"""What a turned slice leaves free, 3 %."""


CT_FILL = [
    *((v, "int16") for v in (-2048, -3024, -4096, -8192, -32768, 32767)),
    *((v, "float32") for v in (-3024, -1e6, LOWEST, 1e20, -LOWEST, 65535)),
    *((v, "int32") for v in (-(2**31), 2**31 - 1, 65535)),
]


MR_FILL = [
    *((v, "int16") for v in (-1, -1000, -1024, -2048, -32768, 32767)[1:]),
    (65535, "uint16"),
    *((v, "float32") for v in (-1000, -1e6, LOWEST, 1e20)),
]


@pytest.mark.parametrize("where", [OUTSIDE, CORNER], ids=["circle", "corner"])
@pytest.mark.parametrize(
    ("value", "dtype", "modality"),
    [*((*v, m) for v in CT_FILL for m in ("CT", None)), *((*v, "MR") for v in MR_FILL)],
)
def test_a_constant_far_outside_all_others_is_fill(
    value: float, dtype: str, modality: str | None, where: np.ndarray
) -> None:
    volume = filled(value, modality, dtype, where)
    (found,) = fill_values.find_fill_values(volume)
    assert found.value == pytest.approx(value)
    assert found.share == pytest.approx(where.mean(), rel=1e-6)
    known = fill_values.mark_fill_values(volume)
    np.testing.assert_array_equal(known.header.is_padding(known.voxels)[..., 0], where)
    assert f"{value:g}" in known.header.warnings[0]
    assert f"{100 * where.mean():.2g} %" in known.header.warnings[0]
    assert fill_values.find_fill_values(known) == []  # looked at once more, as for the API


@pytest.mark.parametrize(("value", "dtype"), [v for v in CT_FILL if v[1] != "int32"])
def test_fill_does_not_make_a_ct_something_else(value: float, dtype: str) -> None:
    known = fill_values.mark_fill_values(filled(value, None, dtype))
    assert intensity.is_ct(known)
    assert intensity.choose_map(padding.hide_padding(known, 2)) is intensity.CT


@pytest.mark.parametrize(("value", "dtype"), MR_FILL)
def test_fill_does_not_stretch_the_range_of_mr(value: float, dtype: str) -> None:
    plain = intensity.choose_map(scan(body("MR", dtype), "MR"))
    found = intensity.choose_map(padding.hide_padding(fill_values.mark_fill_values(filled(value, "MR", dtype)), 2))
    assert found.low == pytest.approx(plain.low, abs=5)
    assert (found.high, found.scale) == (pytest.approx(plain.high, rel=0.05), pytest.approx(plain.scale, rel=0.05))


@pytest.mark.parametrize("modality", ["CT", None, "MR"])
def test_two_fill_values_are_found_on_one_side_or_on_both(modality: str | None) -> None:
    for below, other in ((-30000, -8192), (-30000, 32767)):
        volume = filled(below, modality, "int16")
        volume.voxels[:, :4] = other
        assert {found.value for found in fill_values.find_fill_values(volume)} == {below, other}


@pytest.mark.parametrize("end", [LOWEST, -LOWEST])
def test_values_near_the_end_of_their_type_are_compared_without_a_warning(end: float) -> None:
    voxels = body("MR")
    voxels[OUTSIDE] = end
    voxels[OUTSIDE & (X > 0)] = np.nextafter(np.float32(end), np.float32(0))
    (fill,) = fill_values.find_fill_values(scan(voxels, "MR"))  # a warning is an error in the tests
    assert fill.value == pytest.approx(end)
    assert max(map(abs, fill.range)) > -LOWEST


def test_fill_is_found_beside_padding_that_is_declared() -> None:
    volume = filled(-8192, "CT", "int16")
    volume.voxels[:, :4] = -3024
    volume = replace(volume, header=replace(volume.header, padding=((-3024.0, -3024.0),)))
    known = fill_values.mark_fill_values(volume)
    assert (-3024.0, -3024.0) in known.header.padding
    assert len(known.header.padding) == 2
    assert len(known.header.warnings) == 1


@pytest.mark.parametrize("value", [32767, -32768])
@pytest.mark.parametrize("fill_value", [None, -8192])
def test_odd_voxels_decide_neither_the_map_nor_what_is_fill(fill_value: int | None, value: int) -> None:
    volume = block(value, "MR", 30)
    if fill_value is not None:
        volume.voxels[OUTSIDE] = fill_value
    known = fill_values.mark_fill_values(volume)
    plain, found = (
        intensity.choose_map(scan(body("MR", "int16"), "MR")),
        intensity.choose_map(padding.hide_padding(known, 2)),
    )
    assert found.low == pytest.approx(plain.low, abs=5)
    assert found.scale == pytest.approx(plain.scale, rel=0.05)
    if fill_value is not None:
        assert known.header.is_padding(volume.voxels[OUTSIDE]).all()


def test_a_rim_where_fill_and_tissue_were_mixed_counts_as_fill_where_it_is_mostly_that() -> None:
    volume = filled(-32768, None)
    rim = (X**2 + Y**2 > 0.93) & ~OUTSIDE
    share = np.random.default_rng(5).uniform(0, 1, SHAPE)[rim]
    volume.voxels[rim] = share * -32768 + (1 - share) * -1000
    known = fill_values.mark_fill_values(volume)
    assert intensity.is_ct(known)
    assert known.header.is_padding(known.voxels)[rim].mean() > 0.8


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_fill_of_some_slices_alone_is_found_along_any_axis(axis: int) -> None:
    voxels = body("MR", "int16")
    part = np.moveaxis(voxels, axis, 0)
    part[2 : 2 + max(1, len(part) // 20)] = -32768
    assert [found.value for found in fill_values.find_fill_values(scan(voxels, "MR"))] == [-32768]


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("value", [-32768.0, LOWEST, 1e20])
def test_inside_the_circle_a_result_is_that_of_the_scan_without_fill(value: float, modality: str) -> None:
    grid = grid_by_factor(SHAPE[2], 2, 2)
    voxels = body(modality)
    voxels[OUTSIDE] = -1000 if modality == "CT" else 0
    model = replace(tiny.model(), calibration=Calibration((0.0, 100.0), (3.0, 53.0)))
    plain = tiny.upsample(scan(voxels, modality), model, grid, CPU).voxels
    restoration = pipeline.restore(fill_values.mark_fill_values(filled(value, modality)), model, grid, CPU)
    found = restoration.result()
    core = X**2 + Y**2 < 0.5  # away from the edge, whose surroundings differ
    assert np.abs(found.voxels[core] - plain[core]).mean() < 3
    assert (found.voxels[OUTSIDE] == np.float32(value)).all()
    assert any("fill value" in sentence for sentence in found.header.warnings)
    if modality == "CT":
        error = restoration.error().voxels
        assert np.isfinite(error).all()
        assert not error[OUTSIDE].any()
        assert error[core][:, 1].min() >= 3


def test_reading_finds_fill_in_every_format_and_a_named_modality_decides(tmp_path: Path) -> None:
    voxels = body("MR", "int16")
    voxels[OUTSIDE] = -1000
    nib.save(nib.Nifti1Image(voxels, np.diag([0.8, 0.8, 5.0, 1.0])), tmp_path / "scan.nii")
    assert read_volume(tmp_path / "scan.nii").header.padding == ()  # air of a CT
    assert read_volume(tmp_path / "scan.nii", modality="MR").header.padding == ((-1000.0, -1000.0),)
    series = fabricate.slices(SHAPE[2], shape=SHAPE[:2], signed=True)
    for k, data in enumerate(series):
        hu = body("CT", "int16")[..., k]
        hu[OUTSIDE] = -3024
        fabricate.set_pixels(data, hu + np.int16(1024))
    volume = read_volume(fabricate.save(series, tmp_path / "dicom"))
    assert volume.header.padding == ((-3024.0, -3024.0),)
    assert any("-3024" in sentence for sentence in volume.header.warnings)


def test_lost_intercepts_are_reported_beside_fill(tmp_path: Path) -> None:
    offset = body("CT", "int16") + np.int16(1024)
    offset[OUTSIDE] = -32768
    nib.save(nib.Nifti1Image(offset, np.diag([0.8, 0.8, 5.0, 1.0])), tmp_path / "scan.nii")
    reported = read_volume(tmp_path / "scan.nii").header.warnings
    assert any("HU + 1024" in sentence for sentence in reported)
    assert any("-32768" in sentence for sentence in reported)
