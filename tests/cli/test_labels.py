"""Labels on the command line: ``saint labels`` and ``saint upsample --labels``."""

import json
import re
from pathlib import Path

import fabricate
import fabricate_labels
import numpy as np
import pydicom
import pytest
from cli.info_runs import one_line
from cli.runs import run
from label_scans import SHAPE, label_array, save_labels, save_scan

from saint_cli.cli import result_view
from saint_cli.io import read_labels, read_volume
from saint_cli.labels import LabelVolume

FAST = ("-m", "fast", "--threads", "1", "--factor", "2")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    save_labels(tmp_path / "seg.nii.gz")
    return save_scan(tmp_path / "scan.nii.gz")


def test_upsample_brings_labels_along_under_a_name_of_their_own(scan: Path, tmp_path: Path) -> None:
    result = run("upsample", scan, "-o", tmp_path / "x2.nrrd", "--labels", tmp_path / "seg.nii.gz", *FAST)
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(read_labels(tmp_path / "x2_labels.nrrd").labels[..., ::2], label_array())
    assert "Volume of each label, ml" in result.output
    document = run(
        *("upsample", scan, "-o", tmp_path / "b.nii", "--labels", tmp_path / "seg.nii.gz"),
        *("--labels-out", tmp_path / "mine.mha", "--segments", "1", "--no-guide", "--json", *FAST),
    )
    summary = json.loads(document.stdout)
    assert summary["labels"] == str(tmp_path / "mine.mha")
    assert [one["number"] for one in summary["label_volumes"]] == [1]


def test_labels_go_there_and_back_on_the_command_line(scan: Path, tmp_path: Path) -> None:
    assert run("upsample", scan, "-o", tmp_path / "x2.nii.gz", "-q", *FAST).exit_code == 0
    words = ("labels", tmp_path / "seg.nii.gz", "--like", tmp_path / "x2.nii.gz")
    guided = run(*words, "-o", tmp_path / "guided.mha")
    assert guided.exit_code == 0, guided.output
    assert "labels refined along the edges of the scan" in one_line(guided.output)
    there = run(*words, "-o", tmp_path / "fine.mha", "--no-guide")
    assert "labels refined, " in one_line(there.output)
    back = run("labels", tmp_path / "fine.mha", "--like", scan, "-o", tmp_path / "back.nii.gz", "--json")
    document = json.loads(back.stdout)
    assert (document["relation"], document["shape_after"]) == ("coarsen", list(SHAPE))
    np.testing.assert_array_equal(read_labels(tmp_path / "back.nii.gz").labels, label_array())
    quiet = run("labels", tmp_path / "seg.nii.gz", "--like", scan, "-o", tmp_path / "copy.nii.gz", "-q")
    assert (quiet.exit_code, quiet.output) == (0, "")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--labels-out", "x.nii.gz"), "--labels-out needs a label map; name it with --labels"),
        (("--segments", "1"), "--segments needs a label map; name it with --labels"),
        (("--no-guide",), "--no-guide needs a label map; name it with --labels"),
        (("--labels", "s3://bucket/seg.nii.gz"), "a label map must be a file or folder on this machine; download it"),
        (("--labels", ""), "--labels is empty; give it a value"),
        (("--labels", "seg.nii.gz", "--segments", "1,x"), "--segments 1,x is not a list of labels from 1 on"),
        (("--labels", "seg.nii.gz", "--segments", "0"), "--segments 0 is not a list of labels from 1 on"),
    ],
)
def test_options_that_say_nothing_or_cannot_be_are_refused(scan: Path, words: tuple[str, ...], reason: str) -> None:
    result = run("upsample", scan, "-o", scan.with_name("out.nii.gz"), *words, *FAST)
    assert result.exit_code == 2
    assert reason in one_line(result.output)
    assert not scan.with_name("out.nii.gz").exists()


def test_labels_take_the_grid_of_one_volume(scan: Path) -> None:
    assert "all" not in re.findall(r"--volume .*", run("labels", "--help").output)[0]
    result = run("labels", scan, "--like", scan, "-o", scan.with_name("out.nii.gz"), "--volume", "all")
    assert result.exit_code == 2
    assert "all volumes of a scan have one grid; name any of them" in one_line(result.output)


def test_labels_that_go_to_a_url_need_a_file_of_their_own(scan: Path) -> None:
    result = run("upsample", scan, "-o", "memory://out/x.nii.gz", "--labels", scan.with_name("seg.nii.gz"), *FAST)
    assert result.exit_code == 2
    assert "labels go to a file on this machine; name it with --labels-out" in one_line(result.output)


@pytest.mark.parametrize("count", [3, 21])
def test_a_long_table_of_volumes_shows_the_labels_that_change_most(
    count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    volumes = [LabelVolume(number, f"part {number}", 10.0, 10.0 + number / 10) for number in range(1, count + 1)]
    result_view.show_volumes(volumes, with_end=False)
    shown = capsys.readouterr().out
    assert ("part 1 " in shown) == (count <= result_view.MAX_ROWS)
    assert f"part {count}" in shown
    assert ("20 of 21" in shown) == (count > result_view.MAX_ROWS)
    assert "+10.0%" in shown or count == 3


def test_a_change_that_rounds_to_nothing_has_no_minus(capsys: pytest.CaptureFixture[str]) -> None:
    result_view.show_volumes([LabelVolume(1, "liver", 1000.0, 999.9)], with_end=False)
    assert "+0.0%" in capsys.readouterr().out


def test_a_name_with_control_characters_cannot_write_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    result_view.show_volumes([LabelVolume(1, "liver\x1b[31m\nrow", 1.0, 1.0)], with_end=False)
    assert "\x1b[31m" not in capsys.readouterr().out


def series_with_labels(folder: Path) -> tuple[Path, Path, np.ndarray]:
    """A DICOM series, a SEG of it, and its mask [slice, row, column]."""
    series = fabricate.slices(5, shape=(24, 28))
    mask = np.zeros((5, 24, 28), np.uint8)
    mask[1:4, 8:16, 6:20] = 1
    seg = fabricate_labels.segmentation(series, fabricate_labels.frames_of({1: mask}, series))
    seg.save_as(folder / "seg.dcm", enforce_file_format=True)
    return fabricate.save(series, folder / "scan"), folder / "seg.dcm", mask


def test_a_dicom_scan_and_its_segmentation_become_a_series_and_its_segmentation(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    scan, seg, mask = series_with_labels(tmp_path)
    result = run("upsample", scan, "-o", tmp_path / "x2", "--labels", seg, *FAST)
    assert result.exit_code == 0, result.output
    written = pydicom.dcmread(tmp_path / "x2_labels.dcm")
    slices = [pydicom.dcmread(file) for file in (tmp_path / "x2").iterdir()]
    assert written.FrameOfReferenceUID == slices[0].FrameOfReferenceUID
    assert written.ReferencedSeriesSequence[0].SeriesInstanceUID == slices[0].SeriesInstanceUID
    labels = read_labels(tmp_path / "x2_labels.dcm", read_volume(tmp_path / "x2"))
    np.testing.assert_array_equal(labels.labels[..., ::2], mask.transpose(2, 1, 0))
    assert labels.segments[0].type is not None
    assert labels.segments[0].type.meaning == "Liver"
    assert "SECRET" not in result.output
    back = run("labels", tmp_path / "x2_labels.dcm", "--like", scan, "-o", tmp_path / "back.dcm")
    assert back.exit_code == 0, back.output
    thick = read_labels(tmp_path / "back.dcm", read_volume(scan))
    np.testing.assert_array_equal(thick.labels, mask.transpose(2, 1, 0))


def test_without_highdicom_a_segmentation_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saint_cli.io.dicom import highdicom_objects

    monkeypatch.setattr(highdicom_objects, "find_spec", lambda name: None)
    scan, seg, _ = series_with_labels(tmp_path)
    result = run("upsample", scan, "-o", tmp_path / "x2", "--labels", seg, *FAST)
    assert result.exit_code == 2
    assert "highdicom" in result.output
    assert "name a file ending in .nii.gz (`saint upsample`: --labels-out)" in result.output
    assert not (tmp_path / "x2").exists()
    words = ("upsample", scan, "-o", tmp_path / "x2", "--labels", seg, "--labels-out", tmp_path / "l.nii.gz", *FAST)
    assert run(*words).exit_code == 0


def test_contours_become_labels_of_the_upsampled_scan(tmp_path: Path) -> None:
    series = fabricate.slices(5, shape=(24, 28))
    square = np.array([[4.0, 4.0], [9.0, 4.0], [9.0, 12.0], [4.0, 12.0]])
    origins = [np.array([float(v) for v in data.ImagePositionPatient]) for data in series]
    contours = [np.column_stack([square + origin[:2], np.full(4, origin[2])]) for origin in origins[1:4]]
    fabricate_labels.save_one(fabricate_labels.structure_set(series, {"box": contours}), tmp_path / "rt.dcm")
    scan = fabricate.save(series, tmp_path / "scan")
    result = run("upsample", scan, "-o", tmp_path / "x2.nii.gz", "--labels", tmp_path / "rt.dcm", *FAST)
    assert result.exit_code == 0, result.output
    labels = read_labels(tmp_path / "x2_labels.nii.gz").labels
    assert [bool(labels[..., k].any()) for k in (0, 2, 4, 6, 8)] == [False, True, True, True, False]
    assert labels[12, 10, 3] == 1
