"""Messages of scans of several volumes, or with gaps, advise only what whoever named the path can choose."""

from collections.abc import Callable
from pathlib import Path

import fabricate
import nibabel
import numpy as np
import pytest
from label_scans import label_map
from scan_passes import FIRST, SAME, put, scan_pass

import saint_cli
from saint_cli.errors import SaintError
from saint_cli.evaluation.inputs import EvaluationInputs, read_dense_volume
from saint_cli.io import ReadOptions, read_volume
from saint_cli.io.read_options import CHOICES, LABEL_CHOICES, UPSAMPLE_CHOICES
from saint_cli.jobs.job import LocalJob
from saint_cli.options.job import JobSettings
from saint_cli.options.labels import LabelSettings
from saint_cli.training.volumes import load_dense_volumes


def four_d_file(folder: Path) -> Path:
    folder.mkdir()
    voxels = np.arange(4 * 5 * 6 * 3, dtype=np.int16).reshape(4, 5, 6, 3)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / "four.nii")
    return folder / "four.nii"


def echoes(folder: Path) -> Path:
    passes = (scan_pass(SAME, FIRST + 300 * k, put(EchoTime=str(5 + k)), modality="MR") for k in range(2))
    return fabricate.save([image for one in passes for image in one], folder)


def two_series(folder: Path) -> Path:
    other = scan_pass(SAME, FIRST, put(SeriesInstanceUID="1.2.3"))
    return fabricate.save(scan_pass(SAME, FIRST) + other, folder)


def gap(folder: Path) -> Path:
    series = fabricate.slices(10)
    return fabricate.save(series[:4] + series[5:], folder)


@pytest.mark.parametrize(
    ("make", "offered", "advice"),
    [
        (four_d_file, UPSAMPLE_CHOICES, "; choose one of its 3 volumes with `volume`, or take all with `volume=all`"),
        (four_d_file, CHOICES, "; choose one of its 3 volumes with `volume`"),
        (four_d_file, frozenset(), "; save one of its 3 volumes as a file of its own"),
        (echoes, UPSAMPLE_CHOICES, "; choose one with `volume`, or take all with `volume=all`: 1 = "),
        (echoes, CHOICES, "; choose one with `volume`: 1 = "),
        (echoes, frozenset(), "; give the files of one of them alone: 1 = "),
        (two_series, CHOICES, "; choose one with `series`: 1 = "),
        (two_series, frozenset(), "; give the files of one of them alone: 1 = "),
        (gap, CHOICES, "with `irregular=True`, or take one of its 2 regular runs with `split_runs=True`"),
        (gap, LABEL_CHOICES, ", or take one of its 2 regular runs with `split_runs=True`"),
        (gap, frozenset(), "/scan: slices are missing"),
    ],
)
def test_only_choices_that_are_offered_are_advised(
    make: Callable[[Path], Path], offered: frozenset[str], advice: str, tmp_path: Path
) -> None:
    with pytest.raises(SaintError) as caught:
        read_volume(make(tmp_path / "scan"), offered=offered)
    message = str(caught.value)
    assert advice in message
    for choice in UPSAMPLE_CHOICES - offered:
        assert f"`{choice}" not in message


@pytest.mark.parametrize("make", [four_d_file, echoes, two_series, gap])
@pytest.mark.parametrize(
    "read",
    [
        lambda path: read_dense_volume(path, EvaluationInputs([path], [2])),
        lambda path: load_dense_volumes(path if path.is_dir() else path.parent),
        lambda path: saint_cli.convert_labels(label_map(), path),
    ],
    ids=["saint evaluate", "saint train", "convert_labels"],
)
def test_what_has_no_choices_advises_none(
    make: Callable[[Path], Path], read: Callable[[Path], object], tmp_path: Path
) -> None:
    with pytest.raises(SaintError) as caught:
        read(make(tmp_path / "scan"))
    assert "`" not in str(caught.value)


def test_upsampling_takes_all_volumes_and_reading_takes_one(tmp_path: Path) -> None:
    path = four_d_file(tmp_path / "scan")
    with pytest.raises(SaintError, match="`volume=all`"):
        saint_cli.upsample(path, 2)
    job = LocalJob(path, tmp_path / "x.nii", JobSettings())
    assert job.read_options == ReadOptions(offered=UPSAMPLE_CHOICES)
    job = LocalJob(path, tmp_path / "x.nii", JobSettings(label_settings=LabelSettings(labels="seg.nii")))
    assert job.read_options.offered == LABEL_CHOICES
    with pytest.raises(SaintError, match=r"its 3 volumes with `volume`$"):
        read_volume(path)
