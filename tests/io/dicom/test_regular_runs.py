"""Regular runs of stacks that are not regular as a whole: found, reported, chosen, written."""

from pathlib import Path

import fabricate
import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from saint_cli.cli.app import app
from saint_cli.errors import GeometryError, UsageError
from saint_cli.io import describe, read_volume, write_volume


def placed(gaps: list[float]) -> list[Dataset]:
    """A series with these distances between its slices, mm."""
    series = fabricate.slices(len(gaps) + 1)
    for data, height in zip(series, np.cumsum([30.0, *gaps]), strict=True):
        data.ImagePositionPatient = [-10, 20, float(height)]
    return series


MISSING = [5.0, 5.0, 10.0, 5.0, 5.0, 5.0]
"""One slice is missing: runs of three and of four."""

RUNS = {
    "missing slice": (MISSING, [(0, 3), (3, 7)]),
    "spacing that changes": ([4.0, 4.0, 4.0, 7.0, 7.0], [(0, 4), (3, 6)]),
    "overlap at the seam": ([4.0, 4.0, 1.3, 7.0, 7.0], [(0, 3), (3, 6)]),
    "two slices are no run": ([5.0, 5.0, 9.0, 5.0], [(0, 3)]),
    "rounded positions": ([5.0, 5.05, 4.95, 12.0, 5.0, 5.0], [(0, 4), (4, 7)]),
}


@pytest.mark.parametrize("name", RUNS)
def test_runs_are_read_and_listed_whatever_the_order_of_files(name: str, tmp_path: Path) -> None:
    gaps, bounds = RUNS[name]
    series = placed(gaps)
    folder = fabricate.save(series, tmp_path / "s", shuffle=4)
    stacks = describe(folder, split_runs=True).stacks
    assert [stack.problem for stack in stacks] == [None] * len(bounds)
    for number, (start, stop) in enumerate(bounds, 1):
        run = read_volume(folder, series=str(number), split_runs=True)
        np.testing.assert_array_equal(run.voxels, fabricate.hounsfield(series[start:stop]))
        assert run.affine_lps[2, 3] == series[start].ImagePositionPatient[2]
        assert run.spacing_mm[2] == pytest.approx(gaps[start], abs=0.05)


def test_the_longest_run_stands_for_the_stack_and_both_are_reported(tmp_path: Path) -> None:
    series = placed(MISSING)
    folder = fabricate.save(series, tmp_path / "s")
    longest = read_volume(folder, split_runs=True)
    np.testing.assert_array_equal(longest.voxels, fabricate.hounsfield(series[3:]))
    warnings = " ".join(longest.header.warnings)
    assert "regular run from 50 to 65 mm: 4 of the stack's 7 slices" in warnings
    assert "`volume` chooses another: 1 = run from 30 to 40 mm" in warnings
    assert read_volume(folder, volume=1, split_runs=True).shape[2] == 3


def test_without_the_option_the_stack_is_refused_and_the_option_named_where_it_helps(tmp_path: Path) -> None:
    folder = fabricate.save(placed(MISSING), tmp_path / "s")
    with pytest.raises(GeometryError, match=r"slices are missing.*one of its 2 regular runs with `split_runs=True`"):
        read_volume(folder)
    (stack,) = describe(folder).stacks
    assert stack.problem is not None
    assert "`split_runs=True`" in stack.problem
    uneven = fabricate.save(placed([4.0, 4.0, 3.5, 4.0, 5.0, 4.0]), tmp_path / "u")
    with pytest.raises(GeometryError, match=r"expected 4 mm; look for missing slices, or interpolate every gap"):
        read_volume(uneven)
    hopeless = fabricate.save(placed([5.0, 9.0, 4.0, 11.0]), tmp_path / "t")
    for split in (False, True):
        with pytest.raises(GeometryError, match="unevenly spaced") as caught:
            read_volume(hopeless, split_runs=split)
        assert "`split_runs=True`" not in str(caught.value)


def test_a_regular_stack_is_not_split(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "s")
    plain, split = read_volume(folder), read_volume(folder, split_runs=True)
    np.testing.assert_array_equal(split.voxels, plain.voxels)
    assert split.header.warnings == plain.header.warnings


def test_runs_of_several_echoes_are_not_chosen_among(tmp_path: Path) -> None:
    series = []
    for echo in (1, 2):
        for data in placed(MISSING):
            data.EchoTime, data.SOPInstanceUID = 10 * echo, uid.generate_uid()
            data.InstanceNumber += 10 * echo
            fabricate.set_pixels(data, fabricate.pixels(data) + np.uint16(echo))
            series.append(data)
    folder = fabricate.save(series, tmp_path / "s")
    with pytest.raises(GeometryError, match=r"4 = SeriesNumber 4, CT 16x12x4 EchoTime 20.0, run from 50 to 65 mm"):
        read_volume(folder, split_runs=True)


def test_other_formats_have_no_runs(tmp_path: Path) -> None:
    write_volume(fabricate.volume(), tmp_path / "scan.nii")
    with pytest.raises(UsageError, match="`split_runs=True` is for DICOM"):
        read_volume(tmp_path / "scan.nii", split_runs=True)


def test_a_run_is_upsampled_into_a_series_of_its_own(tmp_path: Path) -> None:
    series = placed(MISSING)
    folder = fabricate.save(series, tmp_path / "s")
    words = ["upsample", str(folder), "--split-runs", "-f", "2", "-m", "fast", "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "4 of the stack's 7 slices" in result.stderr
    np.testing.assert_array_equal(read_volume(tmp_path / "out").voxels[..., ::2], fabricate.hounsfield(series[3:]))
    shown = CliRunner().invoke(app, ["info", "--split-runs", str(folder)])
    assert shown.exit_code == 0
    assert "run from 30 to 40 mm" in shown.stdout
    assert "`saint upsample --split-runs --series 1`" in shown.stdout
