from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nets import tiny

import saint_cli
from saint_cli import api, weights
from saint_cli.choices import Choices
from saint_cli.errors import GeometryError, UsageError, WeightsError
from saint_cli.jobs import Engine
from saint_cli.volume import Volume


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    weights.save_model(tiny.ami(), tiny.rfn(), path)
    return Engine(str(path), "cpu", "fp32")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_the_public_names_are_there() -> None:
    for name in saint_cli.__all__:
        assert getattr(saint_cli, name) is not None
    assert saint_cli.upsample is api.upsample
    assert saint_cli.Volume is Volume
    with pytest.raises(AttributeError, match="interpolate_it"):
        saint_cli.interpolate_it  # noqa: B018


@pytest.mark.parametrize(
    ("wish", "shape", "spacing"),
    [
        ({"factor": 4}, (20, 18, 17), (0.7, 0.9, 1.25)),
        ({"spacing_mm": 2.5}, (20, 18, 9), (0.7, 0.9, 2.5)),
        ({}, (20, 18, 29), (0.7, 0.9, 0.7)),
        ({"factor": 2, "axis": 0}, (39, 18, 5), (0.35, 0.9, 5.0)),
    ],
)
def test_upsample_gives_the_wished_grid(
    wish: dict[str, float], shape: tuple[int, ...], spacing: tuple[float, ...], engine: Engine
) -> None:
    volume = tiny.volume()
    dense = saint_cli.upsample(volume, **wish, engine=engine)  # type: ignore[arg-type]
    assert dense.shape == shape
    assert dense.spacing_mm == pytest.approx(spacing)
    assert dense.voxels.dtype == volume.voxels.dtype
    np.testing.assert_array_equal(dense.voxels[0, :, 0], volume.voxels[0, :, 0])


def test_acquired_slices_come_back_bit_exact(engine: Engine) -> None:
    volume = tiny.volume()
    np.testing.assert_array_equal(saint_cli.upsample(volume, factor=3, engine=engine).voxels[..., ::3], volume.voxels)


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"factor": 2, "spacing_mm": 1.0}, UsageError),
        ({"factor": 40}, UsageError),
        ({"spacing_mm": 9.0}, UsageError),
    ],
)
def test_wishes_that_cannot_be_are_refused(wish: dict[str, float], error: type[Exception], engine: Engine) -> None:
    with pytest.raises(error):
        saint_cli.upsample(tiny.volume(), **wish, engine=engine)  # type: ignore[arg-type]


def test_an_isotropic_volume_and_an_unknown_model_are_refused(engine: Engine) -> None:
    with pytest.raises(GeometryError, match="nearly isotropic"):
        saint_cli.upsample(Volume(np.zeros((4, 4, 4), np.int16), np.eye(4)), engine=engine)
    with pytest.raises(WeightsError, match="basis"):
        saint_cli.upsample(tiny.volume(), factor=2, engine=Engine("basis", "cpu"))


def test_the_engines_threads_are_used(engine: Engine) -> None:
    torch.set_num_threads(2)
    saint_cli.upsample(tiny.volume((6, 5, 3)), factor=2, engine=Engine(engine.model, "cpu", "fp32", threads=1))
    assert torch.get_num_threads() == 1


def test_choices_reach_the_method(engine: Engine) -> None:
    plain, flipped = (
        saint_cli.upsample(tiny.volume(), factor=3, engine=engine, choices=Choices(tta=tta)).voxels
        for tta in (False, True)
    )
    assert (plain != flipped).any()
    np.testing.assert_array_equal(plain[..., ::3], flipped[..., ::3])


def test_less_memory_than_a_volume_needs_is_refused(engine: Engine) -> None:
    with pytest.raises(UsageError, match=r"^Engine\.max_memory 100 MB is too little"):
        saint_cli.upsample(tiny.volume(), factor=2, engine=replace(engine, max_memory=100_000_000))


def test_files_are_named_by_words_or_by_paths(tmp_path: Path) -> None:
    scan = tiny.volume()
    saint_cli.write_volume(scan, f"{tmp_path}/scan.nii.gz")
    for name in (f"{tmp_path}/scan.nii.gz", tmp_path / "scan.nii.gz"):
        np.testing.assert_array_equal(saint_cli.read_volume(name).voxels, scan.voxels)
