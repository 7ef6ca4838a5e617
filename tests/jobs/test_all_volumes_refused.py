"""``--volume all`` of what cannot be done, or fails on the way: no voxel is computed in vain, and nothing is left."""

import gzip
import math
from pathlib import Path

import fabricate
import numpy as np
import pytest
from jobs.lost_disk import unmount_while_computing
from jobs.scans_4d import SHAPE, ct_volumes, run, save
from scan_passes import FIRST, SAME, put, scan_pass

from saint_cli.errors import LabelMapError, OutputError, SaintError, SourceChangedError, UnreadableError, UsageError
from saint_cli.jobs import ModelConfig, resampling
from saint_cli.method import pipeline
from saint_cli.options.method import MethodOptions, NoiseHandling
from saint_cli.volume import Volume


def packed(folder: Path) -> Path:
    return save(ct_volumes(), folder / "in.nii.gz")


def refuse_to_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        pytest.fail("voxels were computed")

    monkeypatch.setattr(pipeline, "restore", fail)


def damaged(folder: Path) -> Path:
    path = packed(folder)
    whole = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(whole)[:-2000])
    return path


def ends_in_the_third(folder: Path) -> Path:
    path = packed(folder)
    whole = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(whole[: 352 + 2 * math.prod(SHAPE) * 5 // 2]))
    return path


def one_without_numbers(folder: Path) -> Path:
    voxels = ct_volumes(dtype="float32")
    voxels[..., 2] = np.nan
    return save(voxels, folder / "in.nii")


def one_of_labels(folder: Path) -> Path:
    voxels = np.repeat(np.repeat(ct_volumes(), 2, axis=0), 2, axis=1)
    voxels[..., 1] = 0
    voxels[8:20, 8:20, :, 1] = 1
    return save(voxels, folder / "in.nii")


def one_of_mr(folder: Path) -> Path:
    voxels = ct_volumes()
    voxels[..., 1] = np.abs(voxels[..., 1])
    return save(voxels, folder / "in.nii")


MATCHED = {"method_options": MethodOptions(noise=NoiseHandling.MATCH)}


REFUSED = {
    "a truncated file": (damaged, {}, UnreadableError, "truncated"),
    "voxels that end in the third volume": (
        ends_in_the_third,
        {},
        UnreadableError,
        r"in\.nii\.gz: volume 3: file is truncated: .*; copy it again, or take an earlier one with `volume`",
    ),
    "a volume without a number": (one_without_numbers, {}, UnreadableError, "volume 3: no voxel is a finite number"),
    "noise of one that is MR by its values": (
        one_of_mr,
        MATCHED,
        UsageError,
        "volume 2: `noise=match` needs CT; the scan is MR by its values: `modality=ct`",
    ),
    "a volume of labels": (one_of_labels, {}, LabelMapError, "volume 2: looks like labels"),
    "parts of stacks": (packed, {"split_runs": True}, UsageError, "with `volume`"),
    "a series of a file": (packed, {"series": "1"}, UsageError, "`series` chooses among DICOM series"),
    "an expected error": (packed, {"uncertainty": "e.nii"}, UsageError, "--volume K"),
    "DICOM of a file": (packed, {"target": "folder"}, UsageError, "only DICOM input can be written as DICOM"),
    "a format of one volume": (packed, {"target": "out.nrrd"}, UsageError, r"ending in \.nii\.gz"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused_before_any_voxel_is_computed(
    case: str, tmp_path: Path, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, options, error, words = REFUSED[case]
    source, more = make(tmp_path), dict(options)
    target = tmp_path / str(more.pop("target", "out.nii.gz"))
    if "uncertainty" in more:
        more["uncertainty"] = tmp_path / more["uncertainty"]
    refuse_to_compute(monkeypatch)
    with pytest.raises(error, match=words) as caught:
        run(source, target, model_config, **more)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_4d_nrrd_is_refused_with_the_way_out(tmp_path: Path, model_config: ModelConfig) -> None:
    head = "NRRD0004\ntype: short\ndimension: 4\nspace: left-posterior-superior\nsizes: 4 4 4 2\nendian: little\n"
    head += "space directions: (1,0,0) (0,1,0) (0,0,5) none\nspace origin: (0,0,0)\nencoding: raw\n\n"
    (tmp_path / "in.nrrd").write_bytes(head.encode() + bytes(2 * 4**3 * 2))
    with pytest.raises(SaintError, match="split its 2 volumes first"):
        run(tmp_path / "in.nrrd", tmp_path / "out.nii", model_config)


def test_a_failure_in_a_later_volume_leaves_no_file(
    tmp_path: Path, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = pipeline.restore, []

    def fail_later(*more: object) -> object:
        calls.append(1)
        if len(calls) == 4:
            raise OutputError("the disk is full")
        return original(*more)

    monkeypatch.setattr(pipeline, "restore", fail_later)
    source = save(ct_volumes(), tmp_path / "in.nii")
    with pytest.raises(OutputError, match="the disk is full"):
        run(source, tmp_path / "out.nii", model_config, preview=tmp_path / "p.png")
    assert [path.name for path in tmp_path.iterdir()] == ["in.nii"]


def test_a_disk_that_goes_away_between_volumes_is_reported_and_no_other_is_filled(
    tmp_path: Path, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, disk = save(ct_volumes(), tmp_path / "in.nii"), tmp_path / "disk"
    disk.mkdir()
    unmount_while_computing(monkeypatch)
    with pytest.raises(OutputError, match=r"out\.nii: the disk of its folder disappeared"):
        run(source, disk / "out.nii", model_config)
    assert not list(disk.iterdir())


def test_volumes_replace_no_slice_of_the_scan(tmp_path: Path, model_config: ModelConfig) -> None:
    first, second = (scan_pass(SAME, FIRST + 300 * k, put(EchoTime=echo)) for k, echo in enumerate(("5", "40")))
    source = fabricate.save([*first, *second], tmp_path / "s")
    one = sorted(source.iterdir())[2].rename(source / "slice.nii")
    (tmp_path / "link").symlink_to(source)
    before = one.read_bytes()
    with pytest.raises(UsageError, match=r"slice\.nii is the input's slice\.nii; name another file"):
        run(source, tmp_path / "link" / "slice.nii", model_config, overwrite=True)
    assert one.read_bytes() == before


def test_a_slice_that_comes_while_volumes_are_computed_leaves_the_target_as_it_was(
    tmp_path: Path, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, late = (
        scan_pass(SAME, FIRST + 300 * k, put(EchoTime=echo), modality="MR") for k, echo in enumerate(("5", "40", "90"))
    )
    source, target, restored = fabricate.save([*first, *second], tmp_path / "s"), tmp_path / "out.nii", []
    target.write_bytes(b"before")

    def receive_meanwhile(volume: Volume, planned: object) -> Volume:
        restored.append(volume)
        if len(restored) == 2:
            fabricate.save(late, source)
        return volume

    monkeypatch.setattr(resampling, "resample_result", receive_meanwhile)
    with pytest.raises(SourceChangedError, match="came after the others"):
        run(source, target, model_config, overwrite=True)
    assert len(restored) == 2
    assert target.read_bytes() == b"before"
