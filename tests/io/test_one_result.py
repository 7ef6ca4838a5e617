"""One result has the same values in every format, whatever integers the source stores."""

from collections.abc import Callable
from pathlib import Path

import fabricate
import nibabel as nib
import numpy as np
import pytest
import torch
from nets import tiny
from pydicom.dataset import Dataset

from saint_cli.geometry import grid_by_factor
from saint_cli.io import read_volume, write_volume
from saint_cli.models.weights import SaintModel
from saint_cli.runtime.device_selection import Compute
from saint_cli.volume.stored_values import Coding, choose_coding

CPU = Compute(torch.device("cpu"), torch.float32)


NIFTI_SLACK = 5e-4
"""NIfTI's scl_slope has the precision of float32, so that 4095 x 0.37 is 1515.15 to within that."""


def eager() -> SaintModel:
    """Networks that add enough to leave the range of any source."""
    model = tiny.model()
    with torch.no_grad():
        for parameter in model.rfn.parameters():
            parameter.mul_(4)
    return model


def twelve_bits(
    *, signed: bool = False, modality: str = "CT", slope: str = "1", intercept: str = "-1024"
) -> list[Dataset]:
    """A series that stores 12 bits and uses all of them."""
    series = fabricate.slices(modality=modality, signed=signed)
    for index, data in enumerate(series):
        span = np.random.default_rng(index).integers(0, 4096, (12, 16))
        stored = (span - 2048).astype("i2") if signed else span.astype("u2")
        fabricate.set_pixels(data, stored, bits=12)
        data.RescaleSlope, data.RescaleIntercept = slope, intercept
    return series


def alternating() -> list[Dataset]:
    """Slices of two rescales, one twice as coarse as the other, that cannot hold the same values."""
    series = twelve_bits()
    for data in series[1::2]:
        data.RescaleSlope, data.RescaleIntercept = "2", "-2001"
    return series


SERIES: dict[str, Callable[[], list[Dataset]]] = {
    "12 bits, HU": twelve_bits,
    "12 bits, signed": lambda: twelve_bits(signed=True, intercept="0"),
    "less air than the window": lambda: twelve_bits(intercept="-1000"),
    "slope 2": lambda: twelve_bits(slope="2", intercept="-2048"),
    "fractional": lambda: twelve_bits(slope="0.37", intercept="-300.5"),
    "negative slope": lambda: twelve_bits(slope="-1", intercept="3000"),
    "MR": lambda: twelve_bits(modality="MR", intercept="0"),
    "MR, scaled": lambda: twelve_bits(modality="MR", slope="1.7094017094017", intercept="0"),
    "MR, another scale in every slice": lambda: fabricate.rescaled(twelve_bits(modality="MR", intercept="0")),
    "two scales": alternating,
    "16 bits": lambda: fabricate.slices(signed=True),
}


@pytest.mark.parametrize("name", SERIES)
def test_a_result_has_the_same_values_as_dicom_nifti_nrrd_and_mha(name: str, tmp_path: Path) -> None:
    source = read_volume(fabricate.save(SERIES[name](), tmp_path / "source"))
    result = tiny.upsample(source, eager(), grid_by_factor(6, 2, 3), CPU)
    assert not np.array_equal(result.voxels[..., 1], result.voxels[..., 0])
    for ending in ("", ".nii", ".nii.gz", ".nrrd", ".mha"):
        write_volume(result, tmp_path / f"result{ending}")
        again = read_volume(tmp_path / f"result{ending}").voxels.astype(np.float32)
        slack = NIFTI_SLACK if ending.startswith(".nii") and result.voxels.dtype == np.float32 else 0.0
        np.testing.assert_allclose(again, result.voxels, rtol=0, atol=slack, err_msg=ending)
    np.testing.assert_array_equal(result.voxels[..., ::3], source.voxels)


@pytest.mark.parametrize("dtype", ["int16", "uint8"])
def test_a_scaled_nifti_file_gives_the_same_values_in_every_format(dtype: str, tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (24, 20, 5)).astype(dtype)
    raw = bytearray(nib.Nifti1Image(stored, np.diag([0.8, 0.8, 5.0, 1.0])).to_bytes())
    raw[112:120] = np.array([0.3, -7], "<f4").tobytes()  # scl_slope, scl_inter
    (tmp_path / "source.nii").write_bytes(raw)
    result = tiny.upsample(read_volume(tmp_path / "source.nii"), eager(), grid_by_factor(5, 2, 2), CPU)
    for ending in (".nii", ".nrrd", ".mha"):
        write_volume(result, tmp_path / f"result{ending}")
        np.testing.assert_array_equal(read_volume(tmp_path / f"result{ending}").voxels, result.voxels)


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32"])
@pytest.mark.parametrize(
    "coding",
    [
        Coding(1, -1024, 0, 4095),
        Coding(2, -100, -2048, 2047),
        Coding(-0.3, 5, 0, 255),
        Coding(1, 0, -(2**63), 2**63 - 1),
    ],
)
def test_the_nearest_value_can_be_stored_is_within_half_a_step_and_stays_itself(coding: Coding, dtype: str) -> None:
    values = np.linspace(-9000, 9000, 4001).astype(dtype)
    near = coding.nearest(values)
    np.testing.assert_array_equal(coding.nearest(near), near)
    ends = sorted(v * coding.slope + coding.intercept for v in (float(coding.low), float(coding.high)))
    inside = (values >= ends[0]) & (values <= ends[1])
    half = abs(coding.slope) / 2 + (0 if dtype == "float32" else 1) + 1e-3
    assert np.abs(near[inside].astype(float) - values[inside]).max() <= half
    assert near.min() >= ends[0] - 1
    assert near.max() <= ends[1] + 1


def test_of_two_codings_the_exact_one_is_chosen_then_the_coarsest_that_need_not_clip() -> None:
    fine, coarse = Coding(0.5, 0, 0, 4095), Coding(2, 0, 0, 1000)
    assert choose_coding((fine, coarse), np.array([0.5, 8.0])) is fine
    assert choose_coding((fine, coarse), np.array([4.0, 8.0])) is coarse
    assert choose_coding((fine, coarse), np.array([4.3, 1900.0])) is coarse
    assert choose_coding((fine, coarse), np.array([4.3, 2040.3])) is fine
    assert choose_coding((fine, coarse), np.array([4.3, 9000.0])) is coarse
