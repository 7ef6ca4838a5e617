"""What lies at a URL is described as if it lay here, from as few bytes as its headers take."""

import copy
import shutil
from pathlib import Path
from typing import Any

import fabricate
import nibabel as nib
import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from saint_cli.errors import UnreadableError
from saint_cli.io import DescribeOptions, Description, describe, describe_remote, write_volume
from saint_cli.io.remote import transfer

LARGE = (256, 256, 8)
"""Random enough that a file of it is longer than a head."""


def described(path: Path) -> tuple[Description, Description]:
    """A path as described here, and by its URL."""
    return describe(path), describe_remote(transfer.list_source(path.as_uri()), DescribeOptions())


@pytest.fixture
def heads_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file may be fetched whole."""

    def refuse(*args: Any) -> None:
        raise AssertionError("fetched whole")

    monkeypatch.setattr(transfer, "fetch", refuse)


@pytest.mark.usefixtures("heads_only")
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
def test_files_are_described_by_their_heads(tmp_path: Path, name: str) -> None:
    write_volume(fabricate.volume(LARGE), tmp_path / name)
    here, there = described(tmp_path / name)
    assert there.stacks == here.stacks
    assert [file.name for file in there.files[0]] == [name]


@pytest.mark.usefixtures("heads_only")
def test_a_pair_is_described_by_both_its_files(tmp_path: Path) -> None:
    voxels = np.random.default_rng(1).integers(-1000, 1000, LARGE).astype(np.int16)
    nib.save(nib.Nifti1Pair(voxels, np.diag([1, 1, 5, 1])), tmp_path / "a.img")
    here, there = described(tmp_path / "a.hdr")
    assert there.stacks == here.stacks
    assert {file.name for file in there.files[0]} == {"a.hdr", "a.img"}


@pytest.mark.usefixtures("heads_only")
def test_a_series_is_described_by_the_headers_of_its_slices(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(shape=(256, 256)), tmp_path / "series")
    here, there = described(tmp_path / "series")
    assert there.stacks == here.stacks
    assert [file.name for file in there.files[0]] == [file.name for file in here.files[0]]


@pytest.mark.parametrize("size", [100_000, 1_500_000])
def test_headers_longer_than_a_head_are_read_to_their_end(tmp_path: Path, size: int) -> None:
    series = fabricate.slices(shape=(256, 256))
    for data in series:
        data.private_block(0x11, "LONG", create=True).add_new(1, "OB", bytes(size))
    fabricate.save(series, tmp_path / "series")
    here, there = described(tmp_path / "series")
    assert there.stacks == here.stacks


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
@pytest.mark.parametrize("lines", [1000, 10_000])
def test_text_headers_longer_than_a_head_are_read_to_their_end(tmp_path: Path, ending: str, lines: int) -> None:
    write_volume(fabricate.volume(LARGE), tmp_path / f"short.{ending}")
    mark, more = (b"space", b"# %d ") if ending == "nrrd" else (b"ElementDataFile", b"Comment%d = ")
    first, _, rest = (tmp_path / f"short.{ending}").read_bytes().partition(mark)
    long = b"\n".join((more + b"x" * 70) % i for i in range(lines))
    (tmp_path / f"long.{ending}").write_bytes(first + long + b"\n" + mark + rest)
    here, there = described(tmp_path / f"long.{ending}")
    assert there.stacks == here.stacks


def masked_passes() -> list[Dataset]:
    """Two passes over the same positions, whose images are the same (black) for as long as a head is."""
    series = fabricate.slices(shape=(256, 256), modality="MR") + fabricate.slices(shape=(256, 256), modality="MR")
    random = np.random.default_rng(5)
    for index, data in enumerate(series):
        pixels = random.integers(1, 3000, (256, 256)).astype("u2")
        pixels[:160] = 0
        fabricate.set_pixels(data, pixels)
        data.InstanceNumber = index + 1
        data.SOPInstanceUID = uid.generate_uid(entropy_srcs=[str(index)])
    return series


def test_images_at_one_position_are_compared_by_all_of_their_pixels(tmp_path: Path) -> None:
    fabricate.save(masked_passes(), tmp_path / "series")
    here, there = described(tmp_path / "series")
    assert len(here.stacks) == 2
    assert there.stacks == here.stacks
    assert [[file.name for file in several] for several in there.files] == [
        [file.name for file in several] for several in here.files
    ]


def test_files_of_one_identifier_are_compared_by_all_of_their_bytes(tmp_path: Path) -> None:
    series = masked_passes()
    for data, first in zip(series[6:], series[:6], strict=True):
        data.SOPInstanceUID, data.InstanceNumber = first.SOPInstanceUID, first.InstanceNumber
    fabricate.save(series, tmp_path / "series")
    here, there = described(tmp_path / "series")
    assert here.stacks[0].problem
    assert there.stacks == here.stacks


def test_compressed_slices_that_came_twice_are_found_there_too(tmp_path: Path) -> None:
    series = fabricate.slices(5, shape=(256, 256))
    for data in series:
        fabricate.set_pixels(data, np.random.default_rng(2).integers(0, 60_000, (256, 256)).astype("u2"))
        fabricate.compress_gdcm(data, tmp_path)
    again = copy.deepcopy(series[2])
    again.SOPInstanceUID, again.InstanceNumber = uid.generate_uid(entropy_srcs=["again"]), 6
    fabricate.save([*series, again], tmp_path / "series")
    here, there = described(tmp_path / "series")
    assert here.stacks[0].problem is None
    assert there.stacks == here.stacks


def test_a_zip_is_described_by_what_it_holds(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(shape=(256, 256)), tmp_path / "series")
    path = Path(shutil.make_archive(str(tmp_path / "study"), "zip", tmp_path / "series"))
    here, there = described(path)
    assert there.stacks == here.stacks


@pytest.mark.usefixtures("heads_only")
def test_a_zip_among_slices_is_skipped_unfetched(tmp_path: Path) -> None:
    fabricate.save(fabricate.slices(shape=(256, 256)), tmp_path / "series")
    (tmp_path / "series" / "copy.zip").write_bytes(b"PK\x03\x04" + bytes(2 << 20))  # longer than any head
    here, there = described(tmp_path / "series")
    assert (there.stacks, there.skipped) == (here.stacks, here.skipped)


def test_problems_and_failures_name_the_url(tmp_path: Path) -> None:
    gap = fabricate.slices(8)
    del gap[4]
    fabricate.save(gap, tmp_path / "gap")
    here, there = described(tmp_path / "gap")
    assert there.stacks == here.stacks
    assert there.stacks[0].problem
    (tmp_path / "text.nii").write_text("not an image")
    origin = transfer.list_source((tmp_path / "text.nii").as_uri())
    with pytest.raises(UnreadableError) as caught:
        describe_remote(origin, DescribeOptions())
    assert str(caught.value).startswith((tmp_path / "text.nii").as_uri())


def test_why_volumes_of_a_series_do_not_go_together_names_the_url(tmp_path: Path) -> None:
    series = fabricate.slices(modality="MR") + fabricate.slices(modality="MR") + fabricate.slices(1, modality="MR")
    for index, data in enumerate(series):
        data.ImageType = ["ORIGINAL", "PRIMARY", "M", "WATER" if index < 6 else "FAT"]
        data.InstanceNumber, data.SOPInstanceUID = index + 1, uid.generate_uid(entropy_srcs=[str(index)])
    series[-1].PixelData = series[-1].PixelData[:-100]
    fabricate.save(series, tmp_path / "series")
    here, there = described(tmp_path / "series")
    problems = [str(stack.series_problem) for stack in here.stacks]
    assert len(problems) == 2
    assert f"{tmp_path}" in problems[0]
    assert [stack.series_problem for stack in there.stacks] == [
        problem.replace(str(tmp_path), tmp_path.as_uri()) for problem in problems
    ]
