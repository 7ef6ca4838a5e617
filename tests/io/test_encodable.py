"""What no writer can encode is found out before anything is computed; else, whatever headers say, it is written."""

import contextlib
import random
from dataclasses import replace
from pathlib import Path

import fabricate
import nibabel
import numpy as np
import pytest
from fabricate import interpolated, saved_series
from make_jobs import make_job
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from saint_cli import jobs
from saint_cli.errors import GeometryError, OutputError, SaintError, UsageError
from saint_cli.geometry import grid_by_factor, spacing_mm
from saint_cli.io import check_result, read_volume, write_volume
from saint_cli.io.dicom import derived_header, derived_image
from saint_cli.jobs import GridRequest, ModelConfig
from saint_cli.progress import silent
from saint_cli.volume import Header, Volume

AFFINE = np.diag([0.7, 0.9, 5.0, 1.0])
GRID = grid_by_factor(5, 2, 2)
VOXELS = np.arange(7 * 6 * 5, dtype=np.int16).reshape(7, 6, 5)


def moved(x_mm: float, step_mm: float = 0.7) -> Volume:
    affine = np.diag([step_mm, step_mm, 5 * step_mm, 1.0])
    affine[0, 3] = x_mm
    return Volume(VOXELS, affine)


@pytest.mark.parametrize(("x_mm", "step_mm"), [(1e7 + 0.3, 0.7), (1e11 + 7e3, 5.0), (2000.123456, 1e-5)])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_place_that_nifti_cannot_hold_is_refused_before_and_other_formats_hold_it(
    x_mm: float, step_mm: float, ending: str, tmp_path: Path
) -> None:
    volume = moved(x_mm, step_mm)
    with pytest.raises(UsageError, match=r"NIfTI cannot hold this place.*name a file ending in \.nrrd") as caught:
        check_result(volume, GRID, tmp_path / f"a{ending}")
    assert f"a{ending}" in str(caught.value)
    with pytest.raises(UsageError, match="cannot hold this place"):
        write_volume(volume, tmp_path / f"a{ending}")
    assert not list(tmp_path.iterdir())
    for other in (".nrrd", ".mha"):
        check_result(volume, GRID, tmp_path / f"a{other}")
        write_volume(volume, tmp_path / f"a{other}")
        np.testing.assert_allclose(read_volume(tmp_path / f"a{other}").affine_lps, volume.affine_lps, rtol=1e-12)


def test_nothing_is_computed_for_a_result_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_volume(moved(1e7 + 0.3), tmp_path / "far.nrrd")
    loaded: list[ModelConfig] = []
    monkeypatch.setattr(ModelConfig, "start", lambda self: loaded.append(self))
    monkeypatch.setattr(jobs.networks, "start_networks", lambda model_config, **_: lambda: loaded.append(model_config))
    with pytest.raises(UsageError, match="cannot hold this place"):
        jobs.run_job(
            make_job(tmp_path / "far.nrrd", tmp_path / "out.nii", GridRequest(factor=2), ModelConfig("fast")), silent
        )
    assert loaded == []


@pytest.mark.parametrize("code", [-5, 0, 6, 77, 32767])
def test_a_form_code_that_nifti_does_not_define_is_written_as_aligned(code: int, tmp_path: Path) -> None:
    write_volume(Volume(VOXELS, AFFINE, Header(space_code=code)), tmp_path / "a.nii")
    assert int(nibabel.load(tmp_path / "a.nii").header["sform_code"]) == 2


def test_more_slices_than_nifti_1_counts_are_written_as_nifti_2(tmp_path: Path) -> None:
    volume, grid = Volume(np.zeros((2, 2, 20_000), np.int8), AFFINE), grid_by_factor(20_000, 2, 2)
    check_result(volume, grid, tmp_path / "a.nii")
    write_volume(interpolated(volume, 2), tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").shape == (2, 2, 39_999)


def test_a_sheared_or_flat_place_leaves_out_the_qform(tmp_path: Path) -> None:
    sheared = AFFINE.copy()
    sheared[0, 2] = 3.0
    write_volume(Volume(VOXELS, sheared), tmp_path / "a.nii")
    assert int(nibabel.load(tmp_path / "a.nii").header["qform_code"]) == 0
    with pytest.raises(GeometryError):
        write_volume(Volume(VOXELS, np.diag([0.7, np.nan, 5.0, 1.0])), tmp_path / "b.nii")


@pytest.mark.parametrize("dtype", ["bool", "complex64", "longdouble"])
@pytest.mark.parametrize("ending", [".nii", ".nrrd", ".mha"])
def test_voxels_that_are_no_plain_numbers_are_refused(dtype: str, ending: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="are not plain numbers"):
        write_volume(Volume(VOXELS.astype(dtype), AFFINE), tmp_path / f"a{ending}")


@pytest.mark.parametrize("ending", [".nii", ".nrrd", ".mha"])
def test_half_precision_is_written_as_float32(ending: str, tmp_path: Path) -> None:
    write_volume(Volume(VOXELS.astype(np.float16), AFFINE), tmp_path / f"a{ending}")
    np.testing.assert_array_equal(read_volume(tmp_path / f"a{ending}").voxels, VOXELS)


ODD = [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-45, 1e-30, 1e38, 77.0, 32767.0]


def mutated(data: bytes, length: int, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 12])):
        at = rng.randrange(length - 8)
        new = rng.choice([bytes([rng.randrange(256)]), np.float32(rng.choice(ODD)).tobytes()])
        changed[at : at + len(new)] = new
    return bytes(changed)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image], ids=["1", "2"])
def test_whatever_a_nifti_header_says_its_result_is_written_or_it_is_refused_before(
    kind: type[nibabel.Nifti1Image], tmp_path: Path
) -> None:
    nibabel.save(kind(VOXELS, AFFINE), tmp_path / "good.nii")
    good, rng, done = (tmp_path / "good.nii").read_bytes(), random.Random(3), 0
    for case in range(60):
        source, target = tmp_path / "in.nii", tmp_path / f"out{case}{rng.choice(['.nii', '.nrrd', '.mha'])}"
        source.write_bytes(mutated(good, 348 if kind is nibabel.Nifti1Image else 540, rng))
        with contextlib.suppress(SaintError):
            volume = read_volume(source)
            grid = GridRequest(factor=2).make_grid(volume)
            check_result(volume, grid, target)
            done += 1
            result = replace(volume, affine_lps=grid.refine(volume.affine_lps))
            try:
                write_volume(result, target)
                back = read_volume(target)
            except SaintError as error:
                pytest.fail(f"case {case}: {error}")
            assert back.shape == volume.shape
            off = np.abs(back.affine_lps - result.affine_lps).max()
            assert off <= 0.1 * min(spacing_mm(result.affine_lps))
    assert done > 20


MISNAMED = [(name, vr) for name in ("ImageType", "SOPInstanceUID", "SeriesDescription") for vr in ("IS", "DS", "US")]
MISNAMED += [("SeriesNumber", "UI"), ("FrameOfReferenceUID", "IS"), ("InstanceNumber", "UI")]


def with_raw(folder: Path, name: str, vr: str, value: bytes) -> None:
    """Give the third file of a series an element of a value representation that is not its own."""
    file = sorted(folder.iterdir())[2]
    data, tag = file.read_bytes(), Tag(name)
    head = tag.group.to_bytes(2, "little") + tag.elem.to_bytes(2, "little")
    at = data.index(head, 132 + 200)
    length = int.from_bytes(data[at + 6 : at + 8], "little")
    new = head + vr.encode() + len(value).to_bytes(2, "little") + value
    file.write_bytes(data[:at] + new + data[at + 8 + length :])


@pytest.mark.parametrize(("name", "vr"), MISNAMED, ids=str)
def test_an_element_of_another_value_representation_stops_no_series(name: str, vr: str, tmp_path: Path) -> None:
    source = fabricate.save(fabricate.slices(), tmp_path / "s")
    with_raw(source, name, vr, b"0\xf7\xbd\xfem^")
    with contextlib.suppress(GeometryError):  # a damaged UID or number may part the slice from its series
        volume = read_volume(source)
        check_result(volume, grid_by_factor(volume.shape[2], 2, 2), tmp_path / "out")
        write_volume(interpolated(volume, 2), tmp_path / "out")
        assert len({d.SOPInstanceUID for d in saved_series(tmp_path / "out")}) == 2 * volume.shape[2] - 1


def test_headers_that_cannot_be_encoded_are_known_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "s"))
    grid = grid_by_factor(volume.shape[2], 2, 2)
    check_result(volume, grid, tmp_path / "out")

    def stumble(*_: object) -> None:
        raise KeyError(77)

    monkeypatch.setattr(derived_header, "_set_place", stumble)
    with pytest.raises(OutputError, match=r"out: slice IM00001\.dcm cannot be encoded \(KeyError\)"):
        check_result(volume, grid, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_element_that_cannot_be_written_is_left_out_of_its_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = derived_image.derive_header

    def with_odd(data: Dataset, *args: object, **options: object) -> Dataset:
        made = plain(data, *args, **options)  # type: ignore[arg-type]
        made.add(DataElement(Tag("PatientComments"), "LT", 3.5, already_converted=True))
        return made

    monkeypatch.setattr(derived_image, "derive_header", with_odd)
    volume = read_volume(fabricate.save(fabricate.slices(), tmp_path / "s"))
    write_volume(interpolated(volume, 2), tmp_path / "out")
    assert all("PatientComments" not in d and "PatientName" in d for d in saved_series(tmp_path / "out"))
