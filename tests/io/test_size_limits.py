"""What a file declares is held against its own size and against memory before its voxels are read."""

import gzip
from collections.abc import Callable
from pathlib import Path

import fabricate
import numpy as np
import pytest

from saint_cli.errors import UnreadableError, UsageError
from saint_cli.io import describe, read_volume, size_limits, write_volume
from saint_cli.runtime import memory

VOLUME = fabricate.volume()


def dicom(folder: Path) -> Path:
    return fabricate.save(fabricate.slices(), folder / "series")


def volume_file(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        write_volume(VOLUME, folder / name)
        return folder / name

    return make


MAKERS = {"DICOM": dicom, **{name: volume_file(name) for name in ("a.nii", "a.nii.gz", "a.nrrd", "a.mha")}}


@pytest.mark.parametrize("kind", MAKERS)
def test_memory_is_asked_before_voxels_are_read(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = MAKERS[kind](tmp_path)
    size = read_volume(path).voxels.nbytes
    assert read_volume(path, max_memory=size).voxels.nbytes == size
    with pytest.raises(UsageError, match="of memory are allowed"):
        read_volume(path, max_memory=size - 1)
    monkeypatch.setattr(memory, "measure_available_bytes", lambda: size - 1)
    with pytest.raises(UsageError, match="are free here"):
        read_volume(path)
    assert describe(path).stacks[0].problem is None


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd"])
def test_voxels_that_pack_like_no_image_are_refused_beyond_a_gigabyte(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    blank = fabricate.volume((200, 100, 30))
    blank.voxels[:] = np.where(np.arange(30) == 7, -900, -1000)
    write_volume(blank, tmp_path / name)
    np.testing.assert_array_equal(read_volume(tmp_path / name).voxels, blank.voxels)
    monkeypatch.setattr(size_limits, "LARGE_BYTES", 1 << 20)
    with pytest.raises(UnreadableError, match="more than any image does"):
        read_volume(tmp_path / name)
    (stack,) = describe(tmp_path / name).stacks
    assert stack.problem is not None
    assert "more than any image does" in stack.problem
    assert stack.exit_code == 3
    write_volume(VOLUME, tmp_path / name, overwrite=True)
    np.testing.assert_array_equal(read_volume(tmp_path / name).voxels, VOLUME.voxels)


def test_a_file_that_is_not_packed_may_hold_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_limits, "LARGE_BYTES", 0)
    write_volume(VOLUME, tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").shape == VOLUME.shape
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    assert read_volume(tmp_path / "a.nii.gz").shape == VOLUME.shape
