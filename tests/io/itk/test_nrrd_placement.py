"""Where voxels of NRRD files lie: spaces, directions, units."""

from pathlib import Path

import numpy as np
import pytest
from nrrd_files import HEAD, PLACE, VOXELS, write
from simpleitk_check import check_like_simpleitk

from saint_cli.io import describe, read_volume, write_volume

HEADERS: dict[str, dict[str, str]] = {
    "RAS": {"space": "RAS"},
    "LAS": {"space": "left-anterior-superior"},
    "scanner": {"space": "scanner-xyz"},
    "no name": {"space dimension": "3", "space": ""},
    "blanks": {"space directions": "( 0.8 , 0.1,0)   (-0.1, 0.8,0)(0,1.2, 5 )"},
    "no origin": {"space origin": ""},
    "origin of nan": {"space origin": "(nan,nan,nan)"},
    "left-handed": {"space directions": "(-0.8,0,0) (0,0.8,0) (0,0,5)"},
    "kinds": {"kinds": "domain space domain"},
    "unknown kinds": {"kinds": "??? none domain"},
    "thicknesses": {"thicknesses": "nan nan 4", "measurement frame": "(1,0,0) (0,1,0) (0,0,1)"},
    "ornaments": {"content": "a b", "number": "360", "old min": "0", "oldmax": "1", "sample units": "HU"},
    "labels": {"labels": '"x" "y" "z"', "min": "1", "centerings": "cell cell cell"},
    "units": {"space units": '"mm" "mm" "mm"'},
}


@pytest.mark.parametrize("case", HEADERS)
@pytest.mark.parametrize("magic", ["NRRD0001", "NRRD0004", "NRRD0005", "NRRD00.01"])
def test_every_space_is_what_simpleitk_makes_of_it(tmp_path: Path, case: str, magic: str) -> None:
    merged = {name: value for name, value in {**HEAD, **PLACE, **HEADERS[case]}.items() if value}
    first = ("dimension", "sizes", "space", "space dimension")
    ordered = {name: merged[name] for name in sorted(merged, key=lambda name: name not in first)}
    check_like_simpleitk(write(tmp_path / "a.nrrd", ordered, magic=magic))
    check_like_simpleitk(write(tmp_path / "b.nrrd", ordered, magic=magic, end="\r\n"))


SPACINGS = {
    "none": {},
    "plain": {"spacings": "0.8 0.8 5"},
    "negative": {"spacings": "-0.8 0.8 5"},
    "absent": {"spacings": "0.8 nan 5"},
    "mins": {"spacings": "0.8 0.8 5", "axis mins": "10 20 30"},
    "node": {"spacings": "0.8 0.8 5", "axismins": "10 20 30", "centers": "node cell node"},
}


@pytest.mark.parametrize("case", SPACINGS)
def test_spacings_without_directions_are_what_simpleitk_makes_of_them(tmp_path: Path, case: str) -> None:
    path = write(tmp_path / "a.nrrd", {**HEAD, **SPACINGS[case]})
    check_like_simpleitk(path)
    reported = " | ".join(read_volume(path).header.warnings)
    assert "orientation unknown" in reported
    assert ("1 mm is assumed" in reported) == (case in ("none", "absent"))


def test_extents_give_the_spacing_that_itk_takes_for_one(tmp_path: Path) -> None:
    fields = {"axis mins": "0 0 0", "axis maxs": "6.4 7.2 25", "centers": "cell cell cell"}
    assert read_volume(write(tmp_path / "a.nrrd", {**HEAD, **fields})).spacing_mm == pytest.approx((0.8, 0.8, 5))
    fields = {"axis mins": "0 0 0", "axis maxs": "7 8 20", "centers": "node node node"}
    assert read_volume(write(tmp_path / "a.nrrd", {**HEAD, **fields})).spacing_mm == pytest.approx((1, 1, 5))


def test_an_axis_of_one_value_per_voxel_is_dropped_wherever_it_is(tmp_path: Path) -> None:
    vectors = PLACE["space directions"].split()
    for place in range(4):
        sizes, directions, kinds = ["8", "9", "5"], list(vectors), ["domain"] * 3
        sizes.insert(place, "1")
        directions.insert(place, "none")
        kinds.insert(place, "list")
        fields = {**HEAD, "dimension": "4", "sizes": " ".join(sizes), "kinds": " ".join(kinds), **PLACE}
        path = write(tmp_path / "a.nrrd", {**fields, "space directions": " ".join(directions)})
        np.testing.assert_array_equal(read_volume(path).voxels, VOXELS)
        np.testing.assert_allclose(read_volume(path).affine_lps[:3, 2], (0, 1.2, 5))


def test_a_space_with_time_is_turned_to_lps_as_one_without(tmp_path: Path) -> None:
    fields = {**HEAD, "dimension": "4", "sizes": "8 9 5 1", "space": "right-anterior-superior-time"}
    fields |= {"space directions": "(1,0,0,0) (0,1,0,0) (0,0,5,0) (0,0,0,2)", "space origin": "(1,2,3,0)"}
    affine = read_volume(write(tmp_path / "a.nrrd", fields)).affine_lps
    np.testing.assert_allclose(affine, [[-1, 0, 0, -1], [0, -1, 0, -2], [0, 0, 5, 3], [0, 0, 0, 1]])


@pytest.mark.parametrize(("place", "word"), [({"space": "3D-left-handed"}, "no axes of the body"), ({}, "")])
def test_a_space_that_names_no_axes_of_the_body_is_reported(tmp_path: Path, place: dict[str, str], word: str) -> None:
    reported = read_volume(write(tmp_path / "a.nrrd", {**HEAD, **PLACE, **place})).header.warnings
    assert " ".join(reported).count("no axes of the body") == bool(word)


UNITS = {
    "um": 1e-3,
    "\xb5m": 1e-3,
    "\u03bcm": 1e-3,
    "\udcb5m": 1e-3,
    "micron": 1e-3,
    "Microns": 1e-3,
    "micrometer": 1e-3,
    "micrometres": 1e-3,
    "m": 1e3,
    "meters": 1e3,
    "cm": 10,
    "centimetre": 10,
    "nm": 1e-6,
    "mm": 1,
    "millimeters": 1,
}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("quote", ['"', ""])
def test_units_of_a_space_become_millimetres_spacing_and_origin(tmp_path: Path, unit: str, quote: str) -> None:
    fields = {**HEAD, **PLACE, "space units": " ".join([f"{quote}{unit}{quote}"] * 3)}
    plain = read_volume(write(tmp_path / "plain.nrrd", {**HEAD, **PLACE}))
    volume = read_volume(write(tmp_path / "a.nrrd", fields))
    np.testing.assert_allclose(volume.affine_lps[:3], plain.affine_lps[:3] * UNITS[unit])
    assert ("converted to mm" in " ".join(volume.header.warnings)) == (UNITS[unit] != 1)
    assert describe(tmp_path / "a.nrrd").stacks[0].spacing_mm == pytest.approx(volume.spacing_mm)
    write_volume(volume, tmp_path / "b.nrrd")
    np.testing.assert_allclose(read_volume(tmp_path / "b.nrrd").affine_lps, volume.affine_lps)


def reported(path: Path, **fields: str) -> str:
    named = {name.replace("_", " "): value for name, value in fields.items()}
    return " | ".join(read_volume(write(path, {**HEAD, **PLACE, **named})).header.warnings)


def test_each_axis_of_the_space_has_its_own_unit(tmp_path: Path) -> None:
    assert "converted" in reported(tmp_path / "a.nrrd", space_units='"mm" "mm" "cm"')
    affine = read_volume(tmp_path / "a.nrrd").affine_lps
    np.testing.assert_allclose(affine[:3], [[0.8, -0.1, 0, 3], [0.1, 0.8, 1.2, -4], [0, 0, 50, 55]])


def test_empty_and_unknown_units_count_as_mm_and_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    assert reported(path, space_units='"" "" ""') == reported(path, space_units='"mm" "mm" "mm"')
    assert "some axes only" in reported(path, space_units='"mm" "" "mm"')
    assert '"furlong" is unknown' in reported(path, space_units='"furlong" "furlong" "furlong"')
    assert read_volume(path).spacing_mm[2] == pytest.approx(np.hypot(1.2, 5))
    assert "implausible" in reported(path, space_units='"m" "m" "m"')
    assert "\x1b" not in reported(path, space_units='"\x1b[31m" "mm" "mm"')


def test_units_of_axes_convert_spacings_and_mins(tmp_path: Path) -> None:
    fields = {**HEAD, "spacings": "800 0.8 0.5", "units": '"um" "mm" "cm"', "axis mins": "1000 2 3"}
    affine = read_volume(write(tmp_path / "a.nrrd", fields)).affine_lps
    np.testing.assert_allclose(affine[:3], [[0.8, 0, 0, 1.4], [0, 0.8, 0, 2.4], [0, 0, 5, 32.5]])
