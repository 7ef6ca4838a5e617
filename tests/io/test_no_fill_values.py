"""Values far outside all others, or constant, that are no fill."""

import numpy as np
import pytest
from filled_scans import OUTSIDE, SHAPE, X, Y, block, body, filled, scan

from saint_cli.io import fill_values
from saint_cli.volume import Header, Volume

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
    "MR normalised to a mean of 0": scan(
        np.where(OUTSIDE[..., None], -2.4, np.random.default_rng(5).normal(0.2, 0.5, SHAPE)), "MR"
    ),
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
