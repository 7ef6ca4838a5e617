"""What a result says of the method that made it: added noise above all, in DICOM and in NIfTI."""

from dataclasses import replace
from pathlib import Path

import fabricate
import nibabel as nib
import pytest
from fabricate import interpolated, saved_series

from saint_cli.io import read_volume, write_volume
from saint_cli.options.method import MethodOptions
from saint_cli.volume import Volume

EVERYTHING = MethodOptions(directions=4, regenerate=True, tta=True, match_noise=True)

METHODS = {
    "plain": (MethodOptions(), []),
    "noise": (MethodOptions(match_noise=True), ["noise like that of neighbouring acquired slices was added"]),
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
    assert noisy == f"{plain} match-noise tta"
    full = described(made(tmp_path / "s", EVERYTHING, extrapolate=True), tmp_path / "full.nii")
    assert full.startswith(f"{plain} match-noise ")
    assert len(full) <= 80
