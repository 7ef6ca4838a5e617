"""``--slab-profile``: what a Gaussian slice profile changes, and where it is said."""

import json
from pathlib import Path

import fabricate
import nibabel as nib
import numpy as np
import pytest
from cli.runs import run
from nets import tiny

import saint_cli
from saint_cli.errors import UsageError
from saint_cli.geometry import ProfileShape, SlabProfile, grid_by_factor, grid_of_slabs
from saint_cli.models.weights import save_model
from saint_cli.nets.slab_network import make_slab_network
from saint_cli.options.grid import GridRequest
from saint_cli.options.values import SLAB_PROFILES


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "slabs.safetensors"
    save_model(make_slab_network(tiny.ami()), tiny.rfn(), path)
    return path


@pytest.fixture
def thick(tmp_path: Path) -> Path:
    path = tmp_path / "thick.nii.gz"
    voxels = np.random.default_rng(0).normal(40, 200, (20, 18, 5)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 1.0, 5.0, 1.0])), path)
    return path


def test_the_words_are_the_shapes_of_profiles() -> None:
    assert tuple(ProfileShape) == SLAB_PROFILES
    assert GridRequest(factor=2).slab_profile == ProfileShape.BOX


def test_means_by_the_gaussian_are_the_acquired_slices(thick: Path, weights: Path, tmp_path: Path) -> None:
    out, boxed = tmp_path / "thin.nii.gz", tmp_path / "box.nii.gz"
    words = ["upsample", thick, "--slab", "-f", 4, "-m", weights]
    result = run(*words, "--slab-profile", "gaussian", "-o", out, "--json")
    assert result.exit_code == 0, result.output
    assert "slab-profile=gaussian" in json.loads(result.stdout)["resampling"]
    assert run(*words, "-o", boxed).exit_code == 0
    grid = grid_of_slabs(grid_by_factor(5, 2, 4), SlabProfile(1.0, ProfileShape.GAUSSIAN))
    before, after = (nib.load(path).get_fdata() for path in (thick, out))
    assert np.abs(after @ grid.slab_weights.T - before).max() <= 0.5
    assert np.abs(after.reshape(20, 18, 5, 4).mean(3) - before).max() > 5
    assert after.shape == nib.load(boxed).shape


def test_dicom_names_the_gaussian_and_leaves_the_box_unnamed(weights: Path, tmp_path: Path) -> None:
    scan = fabricate.save(fabricate.slices(), tmp_path / "scan")
    for profile in SLAB_PROFILES:
        out = tmp_path / profile
        result = run("upsample", scan, "--slab", "--slab-profile", profile, "-f", 2, "-m", weights, "-o", out)
        assert result.exit_code == 0, result.output
        for data in fabricate.saved_series(out):
            assert ("profile taken for Gaussian" in data.DerivationDescription) == (profile == "gaussian")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--slab-profile", "gaussian"], "give --slab too"),
        (["--slab", "--slab-profile", "round"], "must be one of box, gaussian"),
        (["--slab", "8", "--slab-profile", "gaussian"], "0.3 to 1.4 distances thick"),
    ],
)
def test_what_no_network_knows_is_refused(
    thick: Path, weights: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    out = tmp_path / "out.nii.gz"
    result = run("upsample", thick, "-f", 2, "-m", weights, *options, "-o", out)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not out.exists()
    assert run("upsample", thick, "-f", 2, "-m", weights, "--slab", "8", "-o", out).exit_code == 0


def test_python_takes_the_words_of_the_command_line(weights: Path) -> None:
    image = np.random.default_rng(1).normal(40, 200, (20, 18, 5)).astype(np.float32)
    given = {"slab": True, "model": weights, "voxel_spacing_mm": (1, 1, 5), "modality": "CT"}
    with pytest.warns(UserWarning, match="taken for slabs"):
        box = saint_cli.upsample(image, 3, **given)
    with pytest.warns(UserWarning, match="taken for slabs"):
        gaussian = saint_cli.upsample(image, 3, slab_profile="gaussian", **given)
    assert np.abs(box - gaussian).max() > 1
    with pytest.raises(UsageError, match="must be one of box, gaussian"):
        saint_cli.upsample(image, 3, slab_profile="round", **given)


@pytest.mark.parametrize("degradation", ["average", "gaussian"])
def test_evaluation_averages_by_the_profile_that_thin_slices_keep(
    weights: Path, tmp_path: Path, degradation: str
) -> None:
    dense = tmp_path / "dense.nii.gz"
    voxels = np.random.default_rng(0).normal(40, 100, (40, 36, 18)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), dense)
    result = run(
        *["evaluate", dense, "-f", 3, "-m", weights, "--against", "cubic", "--json", "--degrade", degradation, "--slab"]
    )
    assert result.exit_code == 0, result.output
    scores = {(s["model"], s["method"]): s["inconsistency"] for s in json.loads(result.stdout)["scores"]}
    assert scores.pop((None, "cubic")) > 1
    assert max(scores.values()) < 0.01
