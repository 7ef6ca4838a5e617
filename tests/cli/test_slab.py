"""``--slab`` from the command line: its spelling, its results in NIfTI and DICOM, and what does not go with it."""

import json
from pathlib import Path

import fabricate
import nibabel as nib
import numpy as np
import pytest
from cli.runs import run

from saint_cli.cli.parameters import complete_bare_flags

EXAMPLE = Path(__file__).parents[2] / "examples" / "chest_thick.nii.gz"


@pytest.fixture
def weights(slab_weights: Path) -> Path:
    return slab_weights


@pytest.fixture
def thick(tmp_path: Path) -> Path:
    """A real thick chest CT, cut to 40 x 36 x 5 voxels, 4 mm apart."""
    path = tmp_path / "thick.nii.gz"
    nib.save(nib.load(EXAMPLE).slicer[100:140, 100:136, :5], path)
    return path


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["in.nii", "--slab"], ["in.nii", "--slab=header"]),
        (["--slab", "in.nii", "-o", "out.nii"], ["--slab=header", "in.nii", "-o", "out.nii"]),
        (["--slab", "2.5", "in.nii"], ["--slab", "2.5", "in.nii"]),
        (["--slab=2.5", "in.nii"], ["--slab=2.5", "in.nii"]),
        (["--slab", "header", "in.nii"], ["--slab", "header", "in.nii"]),
        (["--slab", "HEADER", "in.nii"], ["--slab", "HEADER", "in.nii"]),
        (["--slab", "-f", "4"], ["--slab=header", "-f", "4"]),
        (["--", "--slab"], ["--", "--slab"]),
    ],
)
def test_only_a_number_after_the_flag_is_its_value(typed: list[str], meant: list[str]) -> None:
    assert complete_bare_flags(typed, {"--slab": "header"}) == meant


@pytest.mark.parametrize("factor", [3, 4])
def test_means_of_the_result_are_the_acquired_slices(thick: Path, weights: Path, tmp_path: Path, factor: int) -> None:
    out = tmp_path / "thin.nii.gz"
    result = run("upsample", thick, "--slab", "-f", factor, "-m", weights, "-o", out)
    assert result.exit_code == 0, result.output
    assert "taken for slabs 4 mm thick, as thick as their distance" in " ".join(result.output.split())
    before, after = nib.load(thick), nib.load(out)
    means = after.get_fdata().reshape(40, 36, 5, factor).mean(3)
    assert np.abs(means - before.get_fdata()).max() <= 0.5
    face = before.affine @ [0, 0, -0.5, 1]
    np.testing.assert_allclose(after.affine @ [0, 0, -0.5, 1], face, atol=1e-4)


@pytest.mark.parametrize(
    ("step", "orientation"),
    [
        pytest.param((0.0, 0.0, 5.0), fabricate.AXIAL, id="straight"),
        pytest.param((0.0, 1.5, 4.8), fabricate.AXIAL, id="tilted"),
        pytest.param((2.4, -3.2, 3.0), fabricate.OBLIQUE, id="oblique"),
    ],
)
@pytest.mark.parametrize("factor", [2, 5])
def test_dicom_has_the_places_and_the_thickness_of_thin_slices(
    weights: Path, tmp_path: Path, step: tuple[float, ...], orientation: tuple[float, ...], factor: int
) -> None:
    acquired, out = fabricate.slices(step=step, orientation=orientation), tmp_path / "thin"
    normal = np.cross(orientation[:3], orientation[3:])
    distance = abs(np.array(step) @ normal)
    for data in acquired:
        data.SliceThickness = distance
    scan = fabricate.save(acquired, tmp_path / "scan")
    result = run("upsample", scan, "--slab", "-f", factor, "-m", weights, "-o", out, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["acquired_kept"], said["resampling"]) == (0, [f"slab={distance:.4g}"])
    assert not [text for text in said["warnings"] if "as acquired" in text or "as thick as their distance" in text]
    series = fabricate.saved_series(out)
    assert len(series) == factor * len(acquired)
    first = np.array(acquired[0].ImagePositionPatient, float)
    for j, data in enumerate(series):
        place = (j + 0.5) / factor - 0.5  # of the thin slice's middle; slabs reach half their distance beyond theirs
        np.testing.assert_allclose(
            np.array(data.ImagePositionPatient, float), first + place * np.array(step), atol=1e-6
        )
        assert float(data.SpacingBetweenSlices) == pytest.approx(distance / factor)
        assert data.SliceThickness == data.SpacingBetweenSlices
        assert data.SeriesDescription.endswith(f"SAINT x{factor} slab")
        assert f"acquired slices taken for slabs {distance:.4g} mm thick, means" in data.DerivationDescription
        assert "over slabs equal to them but for rounding" in data.DerivationDescription
        assert f"; thin slice of acquired slab {j // factor + 1};" in data.DerivationDescription
        assert data.ContributingEquipmentSequence[-1].ContributionDescription == "Thin slices made of acquired slabs"


@pytest.mark.parametrize(
    ("thickness_mm", "where"),
    [
        (5.0, ["slab 1", "slab 1", "slab 2", "slab 2"]),
        (9.0, ["slab 1", "slabs 1 and 2", "slabs 1 and 2", "slabs 1 to 3", "slabs 2 and 3", "slabs 2 to 4"]),
    ],
)
def test_each_thin_slice_names_the_slabs_that_it_lies_in(
    weights: Path, tmp_path: Path, thickness_mm: float, where: list[str]
) -> None:
    scan, out = fabricate.save(fabricate.slices(), tmp_path / "scan"), tmp_path / "thin"
    result = run("upsample", scan, "--slab", thickness_mm, "-f", 2, "-m", weights, "-o", out)
    assert result.exit_code == 0, result.output
    for data, slabs in zip(fabricate.saved_series(out), where, strict=False):
        assert f"; thin slice of acquired {slabs};" in data.DerivationDescription


def test_dicom_says_that_means_over_slabs_are_not_those_that_were_acquired(weights: Path, tmp_path: Path) -> None:
    """Slices that alternate between both ends of what can be stored, and overlap by nearly half."""
    acquired, out = fabricate.slices(), tmp_path / "thin"
    for k, data in enumerate(acquired):
        pixels = np.full(data.pixel_array.shape, (0, 4095)[k % 2], data.pixel_array.dtype)
        data.PixelData = pixels.tobytes()
    scan = fabricate.save(acquired, tmp_path / "scan")
    result = run("upsample", scan, "--slab", 9, "-f", 2, "-m", weights, "-o", out)
    assert result.exit_code == 0, result.output
    assert "over slabs are up to" in " ".join(result.output.split())
    for data in fabricate.saved_series(out):
        assert "means of the result over slabs near them, not equal to them" in data.DerivationDescription


def test_only_a_thickness_that_is_assumed_is_warned_of(thick: Path, weights: Path, tmp_path: Path) -> None:
    words = ("upsample", thick, "-f", 2, "-m", weights, "--json", "--overwrite", "-o", tmp_path / "thin.nii.gz")
    assumed, given = (json.loads(run(*words, f"--slab={slab}").stdout)["warnings"] for slab in ("header", "4"))
    assert [text for text in assumed if text not in given] == [
        "slices of unknown thickness were taken for slabs 4 mm thick, as thick as their distance"
    ]
    assert not [text for text in given if "slab" in text]


def test_the_summary_and_the_json_say_how_far_means_over_the_slabs_are_off(
    thick: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "thin.nii.gz"
    words = ("upsample", thick, "-f", 3, "-m", weights, "--overwrite", "-o", out)
    found = json.loads(run(*words, "--slab", "--json").stdout)["slab_deviation"]
    off = nib.load(out).get_fdata().reshape(40, 36, 5, 3).mean(3) - nib.load(thick).get_fdata()
    assert found["largest"] == pytest.approx(np.abs(off).max())
    assert found["rms"] == pytest.approx(np.sqrt(np.mean(off**2)))
    assert found["is_rounding"] is True
    shown = " ".join(run(*words, "--slab", "4").output.split())
    assert f"(slab=4), 0 of 5 acquired slices kept, means over slabs within {found['largest']:.3g} HU of them" in shown
    assert json.loads(run(*words, "-m", "fast", "--json").stdout)["slab_deviation"] is None


def test_pixels_of_dicom_are_no_slabs(weights: Path, tmp_path: Path) -> None:
    scan = fabricate.save(fabricate.slices(), tmp_path / "scan")
    result = run("upsample", scan, "--slab", "--axis", "x", "-f", 2, "-m", weights, "-o", tmp_path / "thin")
    assert result.exit_code == 2
    assert "--slab is about slices, and across --axis there are pixels" in " ".join(result.output.split())


def test_a_thin_slice_in_a_gap_between_slabs_lies_in_none(weights: Path, tmp_path: Path) -> None:
    scan, out = fabricate.save(fabricate.slices(), tmp_path / "scan"), tmp_path / "thin"
    assert run("upsample", scan, "--slab", 2, "-f", 5, "-m", weights, "-o", out).exit_code == 0
    texts = [data.DerivationDescription for data in fabricate.saved_series(out)]
    assert any("; thin slice in the gap between acquired slabs 1 and 2;" in text for text in texts)
    assert "; thin slice of acquired slab 1;" in texts[0]


def test_thin_slices_have_a_thickness_where_the_acquired_ones_have_none(weights: Path, tmp_path: Path) -> None:
    acquired, out = fabricate.slices(), tmp_path / "thin"
    for data in acquired:
        data.SliceThickness = None
    result = run("upsample", fabricate.save(acquired, tmp_path / "scan"), "--slab", "-f", 2, "-m", weights, "-o", out)
    assert result.exit_code == 0, result.output
    assert {data.SliceThickness for data in fabricate.saved_series(out)} == {2.5}


@pytest.mark.parametrize("typed", ["acquired", "spacing"])
def test_thin_slices_are_never_as_thick_as_slabs(weights: Path, tmp_path: Path, typed: str) -> None:
    scan, out = fabricate.save(fabricate.slices(), tmp_path / "scan"), tmp_path / "thin"
    result = run("upsample", scan, "--slab", "-f", 4, "-m", weights, "--slice-thickness", typed, "-o", out)
    assert result.exit_code == 0, result.output
    assert {data.SliceThickness for data in fabricate.saved_series(out)} == {1.25}


def test_values_at_the_end_of_the_range_that_break_the_means_are_measured_and_said(
    weights: Path, tmp_path: Path
) -> None:
    path, out = tmp_path / "edge.nii.gz", tmp_path / "thin.nii.gz"
    random = np.random.default_rng(0)
    voxels = np.where(random.random((24, 20, 6)) < 0.5, random.integers(0, 3, (24, 20, 6)), 65535).astype(np.uint16)
    nib.save(nib.Nifti1Image(voxels, np.diag([1, 1, 5, 1.0])), path)
    result = run("upsample", path, "--slab", 9, "-f", 4, "-m", weights, "-o", out, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    (said,) = (text for text in document["warnings"] if "over slabs are up to" in text)
    assert float(said.split("up to ")[1].split()[0]) > 0.5
    found = document["slab_deviation"]
    assert f"up to {found['largest']:.3g} from" in said
    assert found["largest"] > found["rms"] > 0
    assert found["is_rounding"] is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--slab", "-1"], "no thickness in mm; give a positive number"),
        (["--slab", "40"], "not what the networks know"),
        (["--slab", "--extrapolate"], "goes on beyond it; give one"),
        (["--slab", "--regenerate"], "computes every slice"),
        (["--slab", "--spacing", "8"], "makes thinner slices"),
        (["--slab", "--noise", "smooth"], "--noise smooth and --slab exclude each other"),
        (["--slab", "--uncertainty", "error.nii"], "was not calibrated for slabs; leave out --slab or --uncertainty"),
        (["--slab", "-m", "fast"], "for slabs"),
        ([], "make thin slices of slabs"),
    ],
)
def test_what_does_not_go_together_is_refused(
    thick: Path, weights: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    model = [] if "-m" in options else ["-m", weights]
    factor = [] if "--spacing" in options else ["-f", 2]
    result = run("upsample", thick, *factor, *model, *options, "-o", tmp_path / "out.nii.gz")
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "out.nii.gz").exists()


def test_evaluation_compares_thin_slices_of_slabs(weights: Path, tmp_path: Path) -> None:
    dense = tmp_path / "dense.nii.gz"
    voxels = np.random.default_rng(0).normal(40, 100, (40, 36, 16)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), dense)
    words = ["evaluate", dense, "-f", 3, "-m", weights, "--against", "cubic", "--json"]
    result = run(*words, "--degrade", "average")
    assert result.exit_code == 0, result.output
    scores = {(s["model"], s["method"]): s["inconsistency"] for s in json.loads(result.stdout)["scores"]}
    assert scores.pop((None, "cubic")) > 1
    assert max(scores.values()) < 0.01
    assert run(*words, "--slab").exit_code == 2
