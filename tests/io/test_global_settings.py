"""Importing saint or its readers, and reading, changes no setting of the libraries that a program may use itself."""

import subprocess
import sys
from pathlib import Path

import fabricate
import numpy as np

from saint_cli.io import describe, read_volume, write_volume

PROGRAM = """
import logging, sys, warnings
import numpy as np, pydicom, SimpleITK, torch
from pydicom import config

def settings():
    flags = [name for name in dir(config) if isinstance(getattr(config, name), (bool, int, float, str))]
    return (
        {name: getattr(config, name) for name in flags},
        dict(vars(config.settings)),
        list(warnings.filters),
        warnings.showwarning,
        np.geterr(),
        np.get_printoptions(),
        SimpleITK.ProcessObject.GetGlobalWarningDisplay(),
        SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
        logging.getLogger().level,
        list(logging.getLogger().handlers),
        sys.getrecursionlimit(),
    )

import nibabel
before = settings()
import saint_cli
import saint_cli.io.dicom.read, saint_cli.io.dicom.write, saint_cli.io.nifti.header, saint_cli.io.itk.read
import saint_cli.io.remote.transfer
from saint_cli import upsample
for path in sys.argv[1:]:
    saint_cli.read_volume(path)
for one, other in zip(before, settings(), strict=True):
    assert one == other, (one, other)
"""


def test_no_global_setting_changes_whatever_is_imported_and_read(tmp_path: Path) -> None:
    paths = [fabricate.save(fabricate.slices(), tmp_path / "series"), tmp_path / "a.nii.gz", tmp_path / "a.nrrd"]
    for path in paths[1:]:
        write_volume(fabricate.volume(), path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_values_that_break_the_rules_of_dicom_are_read_described_and_written_without_a_warning(tmp_path: Path) -> None:
    folder = fabricate.save(fabricate.slices(), tmp_path / "series")
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes().replace(b"ORIGINAL\\PRIMARY\\AXIAL", b'ORIGINAL\\PRIMARY\\axi"l'))
    volume = read_volume(folder)
    assert describe(folder).exit_code == 0
    write_volume(volume, tmp_path / "out")
    np.testing.assert_array_equal(read_volume(tmp_path / "out").voxels, volume.voxels)
