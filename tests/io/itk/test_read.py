"""NRRD and MetaImage as other programs write them."""

from pathlib import Path

import fabricate
import numpy as np
import pytest
import SimpleITK as sitk

from saint_cli import geometry
from saint_cli.io import describe, read_volume

VOXELS = fabricate.volume().voxels


def image() -> sitk.Image:
    made = sitk.GetImageFromArray(VOXELS.transpose())
    made.SetSpacing((0.8, 0.8, 5.0))
    made.SetOrigin((11.0, -7.5, 3.25))
    made.SetDirection((fabricate.OBLIQUE_LPS[:3, :3] / (0.8, 0.8, 5.0)).ravel().tolist())
    return made


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
@pytest.mark.parametrize("packed", [False, True])
def test_attached_detached_plain_and_packed_files_are_the_same_volume(tmp_path: Path, name: str, packed: bool) -> None:
    sitk.WriteImage(image(), str(tmp_path / name), useCompression=packed)
    volume = read_volume(tmp_path / name)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    np.testing.assert_allclose(volume.affine_lps, fabricate.OBLIQUE_LPS, atol=1e-9)
    assert volume.header.warnings == ()
    (stack,) = describe(tmp_path / name).stacks
    assert (stack.shape, stack.through_plane, stack.dtype) == ((24, 20, 6), "z", "int16")


@pytest.mark.parametrize("space", ["left-posterior-superior", "right-anterior-superior", "left-anterior-superior"])
def test_the_space_of_a_nrrd_file_is_turned_to_lps(tmp_path: Path, space: str) -> None:
    flips = np.array([-1.0 if word in ("right", "anterior") else 1.0 for word in space.split("-")])
    columns = flips[:, None] * fabricate.OBLIQUE_LPS[:3]
    vectors = [f"({','.join(map(str, columns[:, axis].tolist()))})" for axis in range(4)]
    lines = ["NRRD0004", "type: short", "dimension: 3", f"space: {space}", "sizes: 24 20 6"]
    lines += [f"space directions: {' '.join(vectors[:3])}", "endian: little", "encoding: raw"]
    lines += [f"space origin: {vectors[3]}", "", ""]
    (tmp_path / "a.nrrd").write_bytes("\n".join(lines).encode() + VOXELS.astype("<i2").tobytes(order="F"))
    volume = read_volume(tmp_path / "a.nrrd")
    np.testing.assert_allclose(volume.affine_lps, fabricate.OBLIQUE_LPS, atol=1e-9)
    np.testing.assert_array_equal(volume.voxels, VOXELS)


def test_without_directions_the_orientation_is_unknown(tmp_path: Path) -> None:
    lines = ["NRRD0004", "type: short", "dimension: 3", "sizes: 24 20 6", "spacings: 0.8 0.8 5", "endian: little"]
    (tmp_path / "a.nrrd").write_bytes(
        "\n".join([*lines, "encoding: raw", "", ""]).encode() + VOXELS.astype("<i2").tobytes(order="F")
    )
    volume = read_volume(tmp_path / "a.nrrd")
    np.testing.assert_allclose(geometry.spacing_mm(volume.affine_lps), (0.8, 0.8, 5.0))
    assert "orientation unknown" in volume.header.warnings[0]
