from dataclasses import replace

import numpy as np
import pytest

from saint_cli.report import encode
from saint_cli.report.anatomy import UprightVolume
from saint_cli.report.windows import CT_WINDOWS, SOFT_TISSUE, Window, choose_windows, find_default_window
from saint_cli.volume import Header, Volume


def scan(voxels: np.ndarray, header: Header = Header()) -> Volume:  # noqa: B008  (frozen)
    return Volume(voxels, np.eye(4), header)


def choose(volume: Volume, *, is_ct: bool = False) -> tuple[Window, ...]:
    before = UprightVolume.from_voxels(volume.voxels, volume.affine_lps, volume.header)
    return choose_windows(volume, before, is_ct=is_ct)[0]


def test_low_is_black_high_is_white_and_what_lies_beyond_is_clipped() -> None:
    values = np.array([-2000.0, -160.0, 40.0, 240.0, 9000.0, np.nan, np.inf, -np.inf])
    assert Window("", -160, 240).to_grey(values).tolist() == [0, 0, 128, 255, 255, 0, 255, 0]


def test_ct_has_the_windows_of_radiology_and_other_modalities_percentiles() -> None:
    voxels = np.linspace(0, 1000, 27_000, dtype=np.float32).reshape(30, 30, 30)
    assert choose(scan(voxels), is_ct=True) == CT_WINDOWS
    whole, darker, brighter = choose(scan(voxels))
    assert (whole.low, whole.high) == (pytest.approx(5, abs=1), pytest.approx(995, abs=1))
    assert darker.high == pytest.approx(800, abs=1)
    assert brighter.low == pytest.approx(500, abs=1)


@pytest.mark.parametrize("fill", [-32768.0, 1e20, -3.4e38])
def test_padding_moves_no_window_and_has_the_grey_of_the_end_that_it_lies_beyond(fill: float) -> None:
    voxels = np.linspace(0, 1000, 27_000, dtype=np.float32).reshape(30, 30, 30)
    wanted = choose(scan(voxels[:20]))
    voxels[20:] = fill
    found = choose(scan(voxels, Header(padding=((fill, fill), (7e6, 8e6)))))
    for one, other in zip(wanted, found, strict=True):
        assert (one.low, one.high) == (pytest.approx(other.low, abs=1), pytest.approx(other.high, abs=1))
        assert one.to_grey(voxels[20:]).max() == one.to_grey(voxels[20:]).min() == (255 if fill > 0 else 0)


@pytest.mark.parametrize("fill", [0.0, 7.0, np.nan])
def test_a_constant_volume_still_has_windows(fill: float) -> None:
    for window in choose(scan(np.full((8, 8, 3), fill))):
        assert window.high > window.low


def anatomy(inside_hu: float, share: float) -> UprightVolume:
    """A round body of 40 HU in air, with a part of other values inside, a share of its radius."""
    x, y = np.meshgrid(np.linspace(-1, 1, 160), np.linspace(-1, 1, 150), indexing="ij")
    radius = np.hypot(x, y)
    plane = np.where(radius < 0.9, 40.0, -1000.0)
    plane[radius < 0.9 * share] = inside_hu
    return UprightVolume.from_voxels(np.repeat(plane[..., None], 4, 2), np.diag([1.0, 1.0, 5.0, 1.0]))


@pytest.mark.parametrize(
    ("inside_hu", "share", "name"),
    [(-800, 0.6, "Lung"), (-800, 0.2, "Soft tissue"), (600, 0.7, "Bone"), (600, 0.3, "Soft tissue"),
     (-1000, 0.7, "Soft tissue")],
)  # fmt: skip
def test_the_window_suits_the_anatomy(inside_hu: float, share: float, name: str) -> None:
    upright = anatomy(inside_hu, share)
    assert CT_WINDOWS[find_default_window(upright)].name == name
    volume = Volume(upright.voxels, upright.affine_lps)
    assert choose_windows(volume, upright, is_ct=True) == (CT_WINDOWS, find_default_window(upright))
    assert choose_windows(volume, upright, is_ct=False)[1] == 0


@pytest.mark.parametrize(
    ("low", "high"), [(-980, -780), (1400, 3000), (-2000, -900), (4000, 12_000), (0, 1), (0, 1e-6), (1e6, 2e6)]
)
def test_ct_that_its_window_would_show_black_or_white_or_as_one_grey_is_shown_by_its_own_values(
    low: float, high: float
) -> None:
    x, y = np.meshgrid(np.linspace(0, 1, 90), np.linspace(-1, 1, 80), indexing="ij")
    plane = low + (high - low) * x * (1 - np.abs(y))
    upright = UprightVolume.from_voxels(np.repeat(plane[..., None], 4, 2), np.diag([1.0, 1.0, 5.0, 1.0]))
    windows, shown = choose_windows(Volume(upright.voxels, upright.affine_lps), upright, is_ct=True)
    greys = windows[shown].to_grey(plane)
    assert np.mean((greys > 20) & (greys < 235)) > 0.5
    assert {window.unit for window in windows} == {"HU"}


def test_foam_and_blankets_around_the_patient_are_no_lung() -> None:
    upright = anatomy(40, 0.5)
    voxels = np.where(upright.voxels < -900, -850, upright.voxels)
    assert find_default_window(replace(upright, voxels=voxels)) == SOFT_TISSUE


@pytest.mark.parametrize("shape", [(1, 1, 1), (130, 2, 1), (3, 300, 50)])
def test_volumes_of_any_shape_have_a_window(shape: tuple[int, int, int]) -> None:
    upright = UprightVolume.from_voxels(np.full(shape, np.nan), np.eye(4))
    assert find_default_window(upright) == SOFT_TISSUE


def test_the_range_is_shown_with_its_unit() -> None:
    assert CT_WINDOWS[0].range == "\N{MINUS SIGN}160 to 240 HU"
    assert Window("", 0.0, 0.5).range == "0.000 to 0.500"


def test_colours_rise_in_brightness_all_the_way() -> None:
    levels = encode.apply_colours(np.linspace(0, 10, 64)[None], 10.0)[0].astype(float)
    luminance = levels @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > 0).mean() > 0.95
    np.testing.assert_array_equal(
        encode.apply_colours(np.array([[99.0]]), 10.0), encode.apply_colours(np.array([[10.0]]), 10.0)
    )


@pytest.mark.parametrize(("highest", "top"), [(0.0, 1.0), (0.13, 0.15), (7.0, 8.0), (100.0, 100.0), (101.0, 150.0)])
def test_the_bar_ends_at_a_round_value(highest: float, top: float) -> None:
    assert encode.choose_colour_limit(np.full((30, 30), highest)) == pytest.approx(top)
