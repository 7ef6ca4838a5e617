"""Where derived slices lie: acquired positions digit for digit, and no less evenly spaced than the source was."""

from pathlib import Path

import fabricate
import numpy as np
import pytest
from fabricate import interpolated, saved_series
from pydicom.dataset import Dataset

from saint_cli.io import read_volume, write_volume
from saint_cli.volume import Volume

HIGHDICOM_GAP, HIGHDICOM_NORMAL = 1e-2, 1e-3
"""How far a gap may lie from the mean gap, relative to it, and the direction to a slice from the normal (cosine)."""

DICOM_NUMPY_GAP = 1e-5
"""How far a gap may lie from the first one, relative to it, without a warning."""

ITK_GAP = 1e-4
"""How far the way to the next slice may lie from its mean, relative to it, without a warning."""

SLICER_MM = 0.01
"""How far a gap may lie from the first one without an offer to resample."""


def positions(series: list[Dataset]) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) mm in the order of the normal, and that normal."""
    orientation = np.array([float(v) for v in series[0].ImageOrientationPatient])
    normal = np.cross(orientation[:3], orientation[3:])
    places = np.array([[float(v) for v in data.ImagePositionPatient] for data in series])
    return places[np.argsort(places @ normal)], normal


def verdicts(series: list[Dataset]) -> dict[str, bool]:
    """Which strict readers would take a series for one evenly spaced, straight stack."""
    places, normal = positions(series)
    gaps, ways = np.diff(places @ normal), np.linalg.norm(np.diff(places, axis=0), axis=1)
    spans = places[1:] - places[0]
    cosines = spans @ normal / np.linalg.norm(spans, axis=1)
    return {
        "highdicom": bool(
            (np.abs(gaps - gaps.mean()) <= HIGHDICOM_GAP * gaps.mean()).all()
            and (np.abs(cosines - 1) < HIGHDICOM_NORMAL).all()
        ),
        "dicom-numpy": bool((np.abs(gaps - gaps[0]) <= DICOM_NUMPY_GAP * gaps[0]).all()),
        "ITK": bool((np.abs(ways - ways.mean()) <= ITK_GAP * ways.mean()).all()),
        "Slicer": bool((np.abs(gaps - gaps[0]) <= SLICER_MM).all()),
    }


def unevenness(series: list[Dataset]) -> float:
    """Largest deviation of a gap from the mean gap, relative to it."""
    places, normal = positions(series)
    gaps = np.diff(places @ normal)
    return float(np.abs(gaps / gaps.mean() - 1).max())


def shaken(amount_mm: float, *, aside_mm: float = 0.0, count: int = 8) -> list[Dataset]:
    """A series 5 mm apart, every other slice moved along the normal and aside by these distances."""
    series = fabricate.slices(count)
    for index, data in enumerate(series[1:-1], 1):
        sign = 1 if index % 2 else -1
        data.ImagePositionPatient = [str(-10 + sign * aside_mm), "20", f"{30 + 5 * index + sign * amount_mm:.6f}"]
    return series


def read(series: list[Dataset], folder: Path) -> Volume:
    return read_volume(fabricate.save(series, folder / "source"))


@pytest.mark.parametrize("factor", [2, 3, 8])
@pytest.mark.parametrize("amount_mm", [0.0, 0.0002, 0.004, 0.02, 0.04])
def test_gaps_vary_no_more_than_in_the_source_whatever_the_factor(
    amount_mm: float, factor: int, tmp_path: Path
) -> None:
    series = shaken(amount_mm)
    write_volume(interpolated(read(series, tmp_path), factor), tmp_path / "out")
    out = saved_series(tmp_path / "out")
    assert unevenness(out) <= unevenness(series) + 1e-9
    before, after = verdicts(series), verdicts(out)
    assert not [name for name, is_even in before.items() if is_even and not after[name]]


def test_a_series_that_drifts_aside_by_rounding_stays_as_straight_as_it_was(tmp_path: Path) -> None:
    series = shaken(0.0, aside_mm=0.09)
    assert verdicts(series)["highdicom"]
    write_volume(interpolated(read(series, tmp_path), 8), tmp_path / "out")
    assert verdicts(saved_series(tmp_path / "out"))["highdicom"]


@pytest.mark.parametrize("step", [(0.0, 0.0, 5.0), (0.0, 1.2, 4.8), (2.4, -3.2, 3.0), (0.0, 0.0, -5.0)])
def test_an_even_stack_stays_even_to_the_last_digits(step: tuple[float, ...], tmp_path: Path) -> None:
    orientation = fabricate.OBLIQUE if step[0] else fabricate.AXIAL
    series = fabricate.slices(step=step, orientation=orientation)
    write_volume(interpolated(read(series, tmp_path), 7), tmp_path / "out")
    out = saved_series(tmp_path / "out")
    assert unevenness(out) < 1e-9
    assert [name for name, is_even in verdicts(out).items() if is_even] == [
        name for name, is_even in verdicts(series).items() if is_even
    ]


def test_every_synthesised_slice_lies_between_its_own_acquired_neighbours(tmp_path: Path) -> None:
    series = shaken(0.04)
    write_volume(interpolated(read(series, tmp_path), 4), tmp_path / "out")
    out = saved_series(tmp_path / "out")
    acquired = np.array([[float(v) for v in data.ImagePositionPatient] for data in series])
    written = np.array([[float(v) for v in data.ImagePositionPatient] for data in out])
    parts = np.arange(len(out)) / 4
    for axis in range(3):
        expected = np.interp(parts, np.arange(len(acquired)), acquired[:, axis])
        np.testing.assert_allclose(written[:, axis], expected, atol=1e-9)
    assert [str(d["ImagePositionPatient"].value) for d in out[::4]] == [
        str(d["ImagePositionPatient"].value) for d in series
    ]


def test_slices_beyond_the_last_go_on_by_the_mean_step(tmp_path: Path) -> None:
    series = shaken(0.04)
    write_volume(interpolated(read(series, tmp_path), 4, extrapolate=True), tmp_path / "out")
    out = saved_series(tmp_path / "out")
    last = [float(data.ImagePositionPatient[2]) for data in out[-4:]]
    np.testing.assert_allclose(np.diff(last), 1.25, atol=1e-9)
    assert last[0] == float(series[-1].ImagePositionPatient[2])


def test_orientation_and_pixel_spacing_are_written_digit_for_digit(tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series:
        data.ImageOrientationPatient = ["1.000000", "0.0", "-0.00", "+0", "1e0", "0"]
        data.PixelSpacing = ["0.750", "5.0E-1"]
    write_volume(interpolated(read(series, tmp_path), 4), tmp_path / "out")
    for data in saved_series(tmp_path / "out"):
        assert [v.original_string for v in data.ImageOrientationPatient] == [
            "1.000000",
            "0.0",
            "-0.00",
            "+0",
            "1e0",
            "0",
        ]
        assert [v.original_string for v in data.PixelSpacing] == ["0.750", "5.0E-1"]


def test_positions_that_are_even_but_for_their_digits_have_a_warning(tmp_path: Path) -> None:
    series = fabricate.slices(8)
    for k, data in enumerate(series):
        data.ImagePositionPatient[2] = f"{30 + 0.625 * k:.1f}"
    (warning,) = read_volume(fabricate.save(series, tmp_path / "in")).header.warnings
    assert warning.startswith("slice positions deviate from an even spacing by up to 0.0")


def test_a_slice_location_is_the_place_along_the_normal(tmp_path: Path) -> None:
    series = fabricate.slices(step=(0.0, 1.2, 4.8))
    for data in series:
        data.SliceLocation = data.ImagePositionPatient[2]
    write_volume(interpolated(read_volume(fabricate.save(series, tmp_path / "in")), 4), tmp_path / "out")
    out = saved_series(tmp_path / "out")
    assert [data.SliceLocation for data in out] == [data.ImagePositionPatient[2] for data in out]
    assert len({data.SliceLocation for data in out}) == len(out)
