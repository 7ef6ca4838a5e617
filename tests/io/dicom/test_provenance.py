"""What a result says of the method that made it: added noise above all, in DICOM and in NIfTI."""

from dataclasses import replace
from pathlib import Path

import fabricate
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from fabricate import interpolated, saved_series

from saint_cli.geometry import grid_by_averaging
from saint_cli.io import describe, read_volume, write_volume
from saint_cli.method.resampling import average_slices
from saint_cli.options.method import MethodOptions, NoiseHandling
from saint_cli.volume import Volume
from saint_cli.volume.warning_words import MADE_BY_SAINT

EVERYTHING = MethodOptions(directions=4, regenerate=True, tta=True, noise=NoiseHandling.SMOOTH)

METHODS = {
    "plain": (MethodOptions(), []),
    "matched": (MethodOptions(noise=NoiseHandling.MATCH), ["noise like that of acquired slices was added"]),
    "smoothed": (MethodOptions(noise=NoiseHandling.SMOOTH), ["noise of acquired slices was reduced"]),
    "flips": (MethodOptions(tta=True), ["mean over flipped copies"]),
    "directions": (MethodOptions(directions=4), ["diagonal directions too"]),
    "regenerate": (MethodOptions(regenerate=True), ["acquired slices were computed anew"]),
}


def made(folder: Path, options: MethodOptions, *, extrapolate: bool = False) -> Volume:
    """A series on a finer grid, with the provenance of these options."""
    if not folder.exists():
        fabricate.save(fabricate.slices(), folder)
    dense = interpolated(read_volume(folder), 2, extrapolate=extrapolate)
    assert dense.header.derivation is not None
    derivation = replace(dense.header.derivation, options=options.non_default)
    return replace(dense, header=replace(dense.header, derivation=derivation))


@pytest.mark.parametrize("name", METHODS)
def test_every_slice_of_a_dicom_result_names_the_method(name: str, tmp_path: Path) -> None:
    options, sentences = METHODS[name]
    write_volume(made(tmp_path / "s", options), tmp_path / "out")
    others = {sentence for _, several in METHODS.values() for sentence in several} - set(sentences)
    for data in saved_series(tmp_path / "out"):
        assert all(sentence in data.DerivationDescription for sentence in sentences)
        assert not any(sentence in data.DerivationDescription for sentence in others)


def test_only_slices_that_smoothing_changed_are_called_not_bit_exact(tmp_path: Path) -> None:
    volume = made(tmp_path / "s", MethodOptions(noise=NoiseHandling.SMOOTH))
    volume.voxels[..., 4] = volume.voxels[..., 3]
    write_volume(volume, tmp_path / "out")
    texts = [data.DerivationDescription for data in saved_series(tmp_path / "out")]
    assert [k for k, text in enumerate(texts) if "not bit-exact" in text] == [4]
    assert "acquired slice 3 with less noise, not bit-exact" in texts[4]
    assert "kept acquired slice 2" in texts[2]


@pytest.mark.parametrize(
    ("noise", "says"),
    [
        (NoiseHandling.KEEP, ""),
        (NoiseHandling.MATCH, "; noise added to these"),
        (NoiseHandling.SMOOTH, "; noise of acquired ones reduced"),
    ],
)
def test_the_contribution_names_a_change_of_noise(noise: NoiseHandling, says: str, tmp_path: Path) -> None:
    write_volume(made(tmp_path / "s", MethodOptions(noise=noise)), tmp_path / "out")
    for data in saved_series(tmp_path / "out"):
        contribution = data.ContributingEquipmentSequence[-1].ContributionDescription
        assert contribution == f"Slices interpolated between acquired ones{says}"


def test_all_options_at_once_fit_and_extrapolation_is_named(tmp_path: Path) -> None:
    write_volume(made(tmp_path / "s", EVERYTHING, extrapolate=True), tmp_path / "out")
    for data in saved_series(tmp_path / "out"):
        assert len(data.DerivationDescription) < 1024
        for sentence in ("noise", "flipped", "diagonal", "anew", "goes on beyond the last acquired slice"):
            assert sentence in data.DerivationDescription


def test_results_of_other_methods_never_share_an_identifier_even_with_equal_voxels(tmp_path: Path) -> None:
    seen: set[str] = set()
    for name, (options, _) in METHODS.items():
        write_volume(made(tmp_path / "s", options), tmp_path / name)
        found = {data.SOPInstanceUID for data in saved_series(tmp_path / name)}
        assert not seen & found
        seen |= found


def described(volume: Volume, path: Path) -> str:
    write_volume(volume, path)
    return nib.load(path).header["descrip"].tobytes().rstrip(b"\0").decode()


def test_nifti_describes_the_method_in_the_80_bytes_it_has(tmp_path: Path) -> None:
    plain = described(made(tmp_path / "s", MethodOptions()), tmp_path / "plain.nii")
    noisy = described(made(tmp_path / "s", MethodOptions(match_noise=True, tta=True)), tmp_path / "noisy.nii")
    assert noisy == f"{plain} noise=match tta"
    full = described(made(tmp_path / "s", EVERYTHING, extrapolate=True), tmp_path / "full.nii")
    assert full.startswith(f"{plain} noise=smooth ")
    assert len(full) <= 80


@pytest.mark.parametrize("name", ["out", "out.nii.gz", "out.nrrd", "out.mha"])
def test_reading_a_result_warns_once_that_synthesised_slices_count_as_acquired(name: str, tmp_path: Path) -> None:
    result = made(tmp_path / "s", MethodOptions(noise=NoiseHandling.MATCH))
    write_volume(result, tmp_path / name)
    (stack,) = describe(tmp_path / name).stacks
    for warnings in (read_volume(tmp_path / name).header.warnings, stack.warnings):
        assert [text for text in warnings if "result of saint" in text] == [MADE_BY_SAINT]


@pytest.mark.parametrize(
    ("name", "copy"), [("out.nrrd", "a.nrrd"), ("out.nrrd", "a.mha"), ("out.mha", "a.nrrd"), ("out.nii.gz", "a.mha")]
)
def test_a_result_that_itk_read_and_wrote_is_still_known_as_one(name: str, copy: str, tmp_path: Path) -> None:
    write_volume(made(tmp_path / "s", MethodOptions()), tmp_path / name)
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / name)), str(tmp_path / copy))
    assert MADE_BY_SAINT in read_volume(tmp_path / copy).header.warnings


@pytest.mark.parametrize("name", ["out", "out.nii.gz", "out.nrrd", "out.mha"])
def test_what_no_networks_made_is_read_without_that_warning(name: str, tmp_path: Path) -> None:
    scan = read_volume(fabricate.save(fabricate.slices(), tmp_path / "s"))
    ending = name.removeprefix("out")
    write_volume(scan, tmp_path / f"copy{ending}")
    write_volume(average_slices(scan, grid_by_averaging(scan.shape[2], 2, 5.0, 10.0)), tmp_path / name)
    for path in (tmp_path / f"copy{ending}", tmp_path / name):
        assert MADE_BY_SAINT not in read_volume(path).header.warnings


@pytest.mark.parametrize("text", ["", "MPR of SAINT slice interpolation 4", "SAINT slice resampling without networks"])
def test_what_other_derivations_say_is_no_reason_for_that_warning(text: str, tmp_path: Path) -> None:
    series = fabricate.slices()
    for data in series:
        data.DerivationDescription = text
    assert read_volume(fabricate.save(series, tmp_path / "s")).header.warnings == ()


@pytest.mark.parametrize("intent", ["none", "label"])
def test_labels_that_took_over_the_header_of_a_result_are_described_without_that_warning(
    intent: str, tmp_path: Path
) -> None:
    write_volume(made(tmp_path / "s", MethodOptions()), tmp_path / "out.nii")
    result = nib.load(tmp_path / "out.nii")
    labels = np.zeros((30, 20, 10), np.uint8)
    labels[2:9, 2:9, 2:9] = 1
    drawn = nib.Nifti1Image(labels, result.affine, result.header)
    drawn.header.set_slope_inter(1, 0)
    drawn.header.set_intent(intent)
    nib.save(drawn, tmp_path / "labels.nii")
    (stack,) = describe(tmp_path / "labels.nii").stacks
    assert (stack.secondary, stack.warnings) == ("a label map", ())
