"""Constants that a program wrote where nothing was measured are found, hidden from the networks, and put back."""

from dataclasses import replace
from pathlib import Path

import fabricate
import nibabel as nib
import numpy as np
import pytest
import torch
from nets import tiny

from saint_cli.geometry import grid_by_factor
from saint_cli.io import fill_values, read_volume
from saint_cli.method import intensity, padding, pipeline
from saint_cli.models.calibration import Calibration
from saint_cli.runtime.device_selection import Compute
from saint_cli.volume import Header, Volume

CPU = Compute(torch.device("cpu"), torch.float32)

SHAPE = (64, 60, 10)

LOWEST = float(np.finfo(np.float32).min)

X, Y = np.meshgrid(np.linspace(-1, 1, SHAPE[0]), np.linspace(-1, 1, SHAPE[1]), indexing="ij")

OUTSIDE = X**2 + Y**2 > 1
"""What lies outside the scanned circle, 21 %."""

CORNER = X + Y > 1.5
"""What a turned slice leaves free, 3 %."""


def body(modality: str | None, dtype: str = "float32") -> np.ndarray:
    """HU with lung and bone, or MR of about 0...1000, noisy, with air around it inside the circle."""
    random = np.random.default_rng(3)
    inside = (X / 0.7) ** 2 + (Y / 0.6) ** 2 < 1
    hu = np.where(inside, 40.0, -1000.0)
    hu[(X + 0.3) ** 2 + Y**2 < 0.04] = -850
    hu[(X - 0.3) ** 2 + Y**2 < 0.02] = 900
    voxels = hu[..., None] + random.normal(0, 12, SHAPE)
    if modality not in (None, "CT"):
        voxels = np.hypot(np.clip(voxels + 1000, 0, None) * 0.6, random.normal(0, 6, SHAPE))
    low = -1024 if modality in (None, "CT") else 0
    clipped = np.clip(voxels, low, 3071)
    return (np.rint(clipped) if np.dtype(dtype).kind in "iu" else clipped).astype(dtype)


def scan(voxels: np.ndarray, modality: str | None, **fields: object) -> Volume:
    return Volume(voxels, np.diag([0.8, 0.8, 5.0, 1.0]), Header(modality, **fields))


def filled(value: float, modality: str | None, dtype: str = "float32", where: np.ndarray = OUTSIDE) -> Volume:
    voxels = body(modality, dtype)
    voxels[where] = value
    return scan(voxels, modality)


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


def block(value: float, modality: str | None, count: int, dtype: str = "int16") -> Volume:
    """Some voxels of a value inside the body."""
    voxels = body(modality, dtype)
    for index in range(count):
        voxels[26 + index % 6, 26 + index // 6 % 5, index // 30] = value
    return scan(voxels, modality)


MEASURED = {
    "HU": scan(body("CT"), "CT"),
    "HU without a modality": scan(body(None), None),
    "MR": scan(body("MR"), "MR"),
    "air clipped at -1024": filled(-1024, "CT", "int16"),
    "air clipped at -1000": filled(-1000, None, "int16"),
    "water outside the circle": filled(0, "CT", "int16"),
    "a brain in air of -1024": scan(np.where(OUTSIDE[..., None], -1024, body("CT").clip(0, 80)), None),
    "MR with a background of 0": filled(0, "MR", "int16"),
    "a brain in 0": scan(np.where(OUTSIDE[..., None], 0, 300 + body("MR")), "MR"),
    "metal": block(3071, "CT", 250),
    "saturated metal of an extended scale": block(30710, "CT", 250),
    "normalised MR": scan(np.where(OUTSIDE[..., None], -1, body("MR") / 600 - 1), "MR"),
    "a noise-free phantom": scan(np.where(OUTSIDE[..., None], 5000, 100.0) + np.zeros(SHAPE), "MR"),
    "a mask": scan(OUTSIDE[..., None] * np.full(SHAPE, 255.0), None),
    "constant": scan(np.full(SHAPE, 7.0), None),
    "nothing finite": scan(np.full(SHAPE, np.nan), None),
    "vessels saturated at 255": scan(
        np.where((X - Y) ** 2 < 0.002, np.linspace(60, 400, SHAPE[0])[:, None], 9.0)[..., None].clip(0, 255)
        + np.where((X - Y) ** 2 < 0.002, 0, np.random.default_rng(0).normal(0, 2, SHAPE[:2]))[..., None]
        + np.zeros(SHAPE),
        "MR",
    ),
    "a few voxels": block(-32768, "CT", 20),
}


@pytest.mark.parametrize("name", MEASURED)
def test_what_was_measured_is_no_fill(name: str) -> None:
    assert fill_values.find_fill_values(MEASURED[name]) == []
    assert fill_values.mark_fill_values(MEASURED[name]) is MEASURED[name]


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


THROUGH = np.hypot(X - 0.1, Y) < 0.2
"""A rod or a bladder through all slices, 3 %."""

SIDE = (X > 0.85) & (np.abs(Y) < 0.5)
"""What reaches one side of all slices, but no corner, 4 %."""


@pytest.mark.parametrize("where", [THROUGH, SIDE], ids=["inside", "at a side"])
@pytest.mark.parametrize(
    ("value", "dtype", "modality"),
    [
        *((v, "int16", m) for v in (4095, 8191, 16383, 30710, 32767) for m in ("CT", None)),
        *((v, "int16", m) for v in (4095, 32767) for m in ("MR", "PT")),
        (65535, "uint16", "PT"),
        (255, "float32", "PT"),  # amid the others
        (255, "float32", "MR"),
    ],
)
def test_what_saturates_through_all_slices_is_no_fill(
    value: float, dtype: str, modality: str | None, where: np.ndarray
) -> None:
    assert fill_values.find_fill_values(filled(value, modality, dtype, where)) == []


def test_slices_in_the_middle_that_hold_nothing_are_fill() -> None:
    voxels = body("CT", "int16")
    voxels[:, :, 4:6] = 32767
    (found,) = fill_values.find_fill_values(scan(voxels, "CT"))
    assert found.value == 32767
    assert found.share == pytest.approx(0.2)


@pytest.mark.parametrize(("shift", "scale"), [(-1.6, 1 / 250), (-32768, 1), (-2048, 1), (-128, 0.2)])
def test_a_background_is_none_either_where_values_are_shifted_or_normalised(shift: float, scale: float) -> None:
    brain = np.where(OUTSIDE[..., None], 0, 300 + body("MR"))
    assert fill_values.find_fill_values(scan((brain * scale + shift).astype(np.float32), "MR")) == []


@pytest.mark.parametrize("modality", ["CT", None])
def test_fill_just_below_the_window_is_found_in_a_scan_of_much_air(modality: str | None) -> None:
    voxels = body(modality, "int16")
    voxels[OUTSIDE] = -1500
    (found,) = fill_values.find_fill_values(scan(voxels, modality))
    assert found.value == -1500


@pytest.mark.parametrize(("value", "modality"), [(-2000, "CT"), (-3024, None), (-8192, "MR"), (32766, "CT")])
def test_a_fill_value_that_varies_by_one_is_one_fill_value(value: int, modality: str | None) -> None:
    voxels = body(modality, "int16")
    voxels[OUTSIDE] = value + np.random.default_rng(0).integers(-1, 2, (int(OUTSIDE.sum()), SHAPE[2]))
    known = fill_values.mark_fill_values(scan(voxels, modality))
    np.testing.assert_array_equal(known.header.is_padding(known.voxels)[..., 5], OUTSIDE)
    assert len(known.header.warnings) == 1


def test_tiny_scans_have_fill_too() -> None:
    voxels = body("CT", "int16")[24:40, 24:40, :4]
    corner = np.add.outer(np.arange(16), np.arange(16)) > 26
    voxels[corner] = -32768
    (found,) = fill_values.find_fill_values(scan(voxels, "CT"))
    assert found.share == pytest.approx(corner.mean())


def test_levels_of_an_inverted_8_bit_image_are_no_fill() -> None:
    voxels = 255 - np.clip(body("MR") / 5, 0, 255).astype(np.uint8)
    assert fill_values.find_fill_values(scan(voxels, "MR")) == []


@pytest.mark.parametrize("constant", [4095, 5000, 9999, 16383, 32767, -1, -1024, -2048])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_bright_and_dark_tails_are_never_taken_for_mixtures_with_fill(constant: int, modality: str) -> None:
    """A few voxels of bone or contrast far above, and of fat or air far below, what most of the body has."""
    rng = np.random.default_rng(3)
    base, tail = (40, (-200, 1900)) if modality == "CT" else (300, (30, 2500))
    voxels = rng.normal(base, 12, (64, 64, 8)).round().astype(np.int16)
    x, y = np.meshgrid(*(np.arange(64) - 31.5,) * 2, indexing="ij")
    voxels[np.hypot(x - 8, y) < 4] = tail[1]
    voxels[np.hypot(x + 8, y) < 3] = tail[0]
    body = voxels.copy()
    outside = np.hypot(x, y) > 31
    voxels[outside] = constant
    header = fill_values.mark_fill_values(Volume(voxels, np.diag([1.0, 1, 5, 1]), Header(modality))).header
    assert not header.is_padding(body[~outside]).any()
