"""Label maps are distinguished from images by their values, and refused alike wherever they are met."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from fabricate import CASES, volume
from typer.testing import CliRunner

from saint_cli.cli.app import app
from saint_cli.io import describe, label_maps, read_volume, write_volume
from saint_cli.io.label_maps import count_labels
from saint_cli.volume import Volume

SHAPE = (48, 40, 12)


def blobs(count: int, *, size: float = 6.0, seed: int = 0) -> np.ndarray:
    """Compact regions of ``count`` labels, 1 ... count, in background 0."""
    random = np.random.default_rng(seed)
    centres = random.uniform(0, 1, (count, 3)) * SHAPE
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)[..., None, :]
    away = np.linalg.norm((grid - centres) * (1, 1, 3), axis=-1)
    return np.where(away.min(-1) < size, away.argmin(-1) + 1, 0)


def landmarks(count: int) -> np.ndarray:
    """Labels 1 ... count of one voxel each, in background 0."""
    made = np.zeros(SHAPE, np.float32)
    made.ravel()[np.random.default_rng(4).choice(made.size, count, replace=False)] = np.arange(1, count + 1)
    return made


LABELS: dict[str, Callable[[], np.ndarray]] = {
    "mask": lambda: (blobs(5) > 0).astype(np.uint8),
    "mask of 255": lambda: (blobs(5) > 0).astype(np.uint8) * 255,
    "boolean as float": lambda: (blobs(5) > 0).astype(np.float32),
    "organs": lambda: blobs(9).astype(np.uint8),
    "organs as float64": lambda: blobs(9).astype(np.float64),
    "organs as int64": lambda: blobs(9).astype(np.int64),
    "codes of thousands": lambda: (blobs(40) * 357 % 14176).astype(np.int32),
    "117 structures": lambda: blobs(117, size=9).astype(np.uint8),
    "unknown is -1": lambda: np.where(blobs(9) > 0, blobs(9), -1).astype(np.int16),
    "background is not a number": lambda: np.where(blobs(9) > 0, blobs(9), np.nan).astype(np.float32),
    "organ and tumour": lambda: np.where(blobs(2, seed=3, size=4) > 0, 2, blobs(5, size=9) > 0).astype(np.uint8),
    "landmarks of one voxel": lambda: landmarks(19),
    "threads across slices": lambda: np.max(landmarks(6), axis=2, keepdims=True) * np.ones(SHAPE[2], np.uint8),
    "thin": lambda: np.where(np.arange(SHAPE[0])[:, None, None] % 9 < 3, blobs(30, size=20), 0).astype(np.uint8),
}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("name", LABELS)
def test_labels_are_known(name: str, order: str) -> None:
    voxels = np.asarray(LABELS[name](), order=order)
    assert count_labels(voxels) == len(np.unique(np.nan_to_num(voxels)))


def mr(top: float, noise: float = 0.05, seed: int = 1) -> np.ndarray:
    """Tissues of three intensities with noise, in background near zero, up to about ``top``."""
    random = np.random.default_rng(seed)
    tissue = np.choose(np.clip(blobs(12, size=11), 0, 3), [0.0, 0.35, 0.55, 0.9])
    noisy = np.hypot(tissue + random.normal(0, noise, SHAPE), random.normal(0, noise, SHAPE))
    return np.rint(noisy * top)


IMAGES: dict[str, Callable[[], np.ndarray]] = {
    "MR of 8 bits": lambda: mr(255).astype(np.uint8),
    "MR of few values": lambda: mr(24).astype(np.uint8),
    "MR of few values, as float": lambda: mr(24).astype(np.float32),
    "brain extracted": lambda: np.where(blobs(12, size=11) > 0, mr(60), 0).astype(np.int16),
    "counts": lambda: np.random.default_rng(0).poisson(2.0, SHAPE).astype(np.uint16),
    "a lesion cut out": lambda: np.pad(mr(60)[20:25, 15:20, 4:8], ((20, 23), (15, 20), (4, 4))).astype(np.int16),
    "few counts": lambda: np.random.default_rng(0).poisson(0.3, SHAPE).astype(np.float32),
    "CT": lambda: volume(SHAPE).voxels,
    "a phantom of CT": lambda: np.where(blobs(4) > 0, 1000, -1000).astype(np.int16),
    "soft-tissue window in 8 bits": lambda: (np.clip((volume(SHAPE).voxels + 160) / 400, 0, 1) * 255).astype(np.uint8),
    "sixteen smooth levels": lambda: np.rint(
        7 + 7 * np.sin(np.add.outer(np.arange(SHAPE[0]) / 5, np.arange(SHAPE[1]) / 7))[..., None] * np.ones(SHAPE)
    ).astype(np.uint8),
    "fractions": lambda: (blobs(5) / 10).astype(np.float32),
    "constant": lambda: np.full(SHAPE, 7, np.uint8),
    "infinite": lambda: np.where(blobs(5) > 0, np.inf, 0.0).astype(np.float32),
    "tiny": lambda: blobs(5)[:8, :8, :8].astype(np.uint8),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_not_taken_for_labels(name: str) -> None:
    assert count_labels(IMAGES[name]()) == 0


def nifti(path: Path, voxels: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(voxels, np.diag([0.8, 0.8, 5.0, 1.0]), dtype=voxels.dtype), path)
    return path


def big_endian(path: Path, voxels: np.ndarray) -> Path:
    nib.Nifti1Image(voxels, np.diag([0.8, 0.8, 5.0, 1.0]), nib.Nifti1Header(endianness=">")).to_filename(path)
    return path


def itk(path: Path, voxels: np.ndarray, *, packed: bool) -> Path:
    image = sitk.GetImageFromArray(voxels.transpose())
    image.SetSpacing((0.8, 0.8, 5.0))
    sitk.WriteImage(image, str(path), useCompression=packed)
    return path


FILES: dict[str, Callable[[Path, np.ndarray], Path]] = {
    "nii": lambda folder, voxels: nifti(folder / "a.nii", voxels),
    "nii.gz": lambda folder, voxels: nifti(folder / "a.nii.gz", voxels),
    "big-endian nii": lambda folder, voxels: big_endian(folder / "a.nii", voxels),
    "hdr and img": lambda folder, voxels: nifti(folder / "a.img", voxels).with_suffix(".hdr"),
    "nrrd": lambda folder, voxels: itk(folder / "a.nrrd", voxels, packed=False),
    "packed nrrd": lambda folder, voxels: itk(folder / "a.nrrd", voxels, packed=True),
    "detached nrrd": lambda folder, voxels: itk(folder / "a.nhdr", voxels, packed=True),
    "mha": lambda folder, voxels: itk(folder / "a.mha", voxels, packed=False),
    "packed mha": lambda folder, voxels: itk(folder / "a.mha", voxels, packed=True),
    "mhd": lambda folder, voxels: itk(folder / "a.mhd", voxels, packed=False),
}


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("form", FILES)
def test_a_description_names_a_label_map_as_a_problem_and_an_image_as_none(
    form: str, dtype: str, tmp_path: Path
) -> None:
    (found,) = describe(FILES[form](tmp_path, blobs(9).astype(dtype))).stacks
    assert found.secondary == "a label map"
    assert (found.problem or "").startswith("looks like labels (10 distinct values)")
    assert "`allow_labels=True`" in (found.problem or "")
    assert found.exit_code == 2
    (found,) = describe(FILES[form](tmp_path, mr(120).astype(dtype))).stacks
    assert (found.problem, found.secondary, found.exit_code) == (None, "", 0)


def test_of_an_image_only_the_first_voxels_are_read_for_it() -> None:
    taken = []

    def blocks() -> object:
        for k in range(50):
            taken.append(k)
            yield volume((64, 64, 4), dtype="int16").voxels.ravel()

    assert label_maps.count_labels_in_blocks(blocks()) == 0
    assert taken == [0]


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_damage_beyond_the_header_is_left_to_the_reader(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    write_volume(Volume(blobs(9).astype(np.uint8), np.diag([0.8, 0.8, 5.0, 1.0])), path)
    path.write_bytes(path.read_bytes()[:-200])
    (found,) = describe(path).stacks
    assert found.problem is None


def test_a_scaled_image_of_few_stored_values_is_no_label_map(tmp_path: Path) -> None:
    raw = bytearray(nib.Nifti1Image(blobs(9).astype(np.uint8), np.diag([0.8, 0.8, 5.0, 1.0])).to_bytes())
    raw[112:120] = np.array([0.37, 0.5], "<f4").tobytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(raw))
    (found,) = describe(tmp_path / "a.nii.gz").stacks
    assert found.secondary == ""
    assert count_labels(read_volume(tmp_path / "a.nii.gz").voxels) == 0


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


@pytest.mark.parametrize("declared", [False, True])
def test_upsample_info_and_a_dry_batch_refuse_a_label_map_with_the_way_out(declared: bool, tmp_path: Path) -> None:
    image = nib.Nifti1Image((blobs(9) if not declared else mr(900)).astype(np.int16), np.diag([0.8, 0.8, 5.0, 1.0]))
    image.header.set_intent(1002 if declared else 0)
    source = tmp_path / "seg.nii.gz"
    nib.save(image, source)
    for words in (("upsample", source, "-o", tmp_path / "out.nii.gz", "-m", "fast"), ("info", source)):
        code, reported = run(*words)
        assert code == 2
        assert "label" in reported
        assert "--allow-labels" in " ".join(reported.split())
    assert not (tmp_path / "out.nii.gz").exists()
    code, reported = run("batch", source, tmp_path / "results", "--dry-run", "--json")
    assert code == 2
    assert "a label map (--include label takes it)" in reported
    code, reported = run("batch", source, tmp_path / "results", "--dry-run", "--json", "--include", "label")
    assert "a label map" not in reported


def test_allowed_labels_are_interpolated_with_a_warning(tmp_path: Path) -> None:
    source = nifti(tmp_path / "seg.nii.gz", blobs(9).astype(np.uint8))
    options = ("-m", "fast", "--threads", "1", "--factor", "2", "--allow-labels")
    code, reported = run("upsample", source, "-o", tmp_path / "out.nii.gz", *options)
    assert code == 0
    assert "looks like labels (10 distinct values); saint interpolates intensities" in " ".join(reported.split())
    dense = read_volume(tmp_path / "out.nii.gz").voxels
    np.testing.assert_array_equal(dense[..., ::2], blobs(9))


@pytest.mark.skipif(not CASES.is_dir(), reason="real scans are not at hand")
@pytest.mark.parametrize("name", ["n13_endian_extension_nifti2/big.nii.gz", "n17_nrrd_mha/brain1_image.nrrd"])
def test_real_images_in_few_levels_are_no_labels(name: str) -> None:
    scan = read_volume(CASES / name)
    top = np.percentile(scan.voxels, 99.5)
    for levels in (256, 64, 32, 16):
        coarse = np.clip(scan.voxels / top, 0, 1) * (levels - 1)
        assert count_labels(replace(scan, voxels=np.rint(coarse).astype(np.uint8)).voxels) == 0


@pytest.mark.parametrize("levels", [8, 16])
def test_an_image_of_few_levels_far_apart_is_none(levels: int) -> None:
    x, y, z = np.meshgrid(*(np.linspace(0, 3, n) for n in (60, 50, 8)), indexing="ij")
    smooth = (2 + np.sin(2 * x + z) + np.sin(3 * y)) / 4 + np.random.default_rng(0).normal(0, 0.02, x.shape)
    quantised = np.clip(smooth * levels, 0, levels - 1).astype(np.uint8)
    assert count_labels(quantised) == 0
    assert count_labels(quantised * (256 // levels)) == 0


def test_values_that_overflow_are_no_labels_and_describing_them_says_nothing_else(tmp_path: Path) -> None:
    stored = np.where(blobs(5) > 0, 3e38, -3e38).astype(np.float32)
    raw = bytearray(nib.Nifti1Image(stored, np.diag([1, 1, 5, 1])).to_bytes())
    raw[112:120] = np.array([1e30, 0], "<f4").tobytes()
    (tmp_path / "scan.nii").write_bytes(raw)
    (stack,) = describe(tmp_path / "scan.nii").stacks
    assert stack.slope == pytest.approx(1e30)
    assert not stack.secondary
