"""Contours as rt-utils traces them."""

import warnings
from pathlib import Path

import fabricate
import numpy as np
import pytest
from scipy import ndimage

from saint_cli.io import read_labels, read_volume


def test_what_rt_utils_traces_of_a_mask_is_that_mask(tmp_path: Path) -> None:
    rt_utils = pytest.importorskip("rt_utils", reason="rt-utils is not installed")
    series = fabricate.slices(8, shape=(64, 64))
    for one in series:
        one.PixelSpacing = [0.6, 0.6]
        for name in ("PatientBirthDate", "PatientSex", "PatientAge", "StudyDate", "StudyTime", "StudyID"):
            setattr(one, name, "")
        for name in ("StudyDescription", "SeriesDate", "SeriesTime", "AccessionNumber", "ReferringPhysicianName"):
            setattr(one, name, "")
    folder = fabricate.save(series, tmp_path / "scan")
    noise = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(64, 64, 8)), (5, 5, 1))
    mask = noise > 0.4 * noise.std()  # [row, column, slice]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        builder = rt_utils.RTStructBuilder.create_new(dicom_series_path=str(folder))
        builder.add_roi(mask=mask, name="blob")
        builder.save(str(tmp_path / "rt"))
    labels = read_labels(tmp_path / "rt.dcm", read_volume(folder))
    np.testing.assert_array_equal(labels.labels, mask.transpose(1, 0, 2))
