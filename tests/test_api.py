import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabricate
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nets import tiny

import saint_cli
from saint_cli import api, weights
from saint_cli.choices import Choices
from saint_cli.errors import GeometryError, OutputError, UsageError, WeightsError
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


def kinds() -> dict[str, tuple[Any, dict[str, Any], Callable[[Any], np.ndarray]]]:
    """A scan as every kind of image, what must be said of it, and how its voxels [x, y, z] are found."""
    voxels, spacing = tiny.volume().voxels, tiny.volume().spacing_mm
    itk = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose()))
    itk.SetSpacing(spacing)
    return {
        "numpy": (voxels.copy(), {"voxel_spacing_mm": spacing, "modality": "CT"}, lambda one: one),
        "nibabel": (
            nib.Nifti1Image(voxels.copy(), np.diag([*spacing, 1])),
            {"modality": "CT"},
            lambda one: one.dataobj,
        ),
        "SimpleITK": (itk, {"modality": "CT"}, lambda one: sitk.GetArrayFromImage(one).transpose()),
    }


@pytest.mark.parametrize("kind", ["numpy", "nibabel", "SimpleITK"])
def test_every_kind_of_image_gives_the_voxels_that_a_volume_gives_and_comes_back_in_kind(
    kind: str, engine: Engine
) -> None:
    image, options, voxels = kinds()[kind]
    before = np.array(voxels(image))
    dense = saint_cli.upsample(image, factor=3, engine=engine, **options)
    assert type(dense) is type(image)
    expected = saint_cli.upsample(tiny.volume(), factor=3, engine=engine).voxels
    np.testing.assert_array_equal(np.asanyarray(voxels(dense)), expected)
    np.testing.assert_array_equal(np.asanyarray(voxels(image)), before)


def test_an_array_of_simpleitk_needs_its_axes_turned_and_then_gives_the_same(engine: Engine) -> None:
    image, options, _ = kinds()["SimpleITK"]
    array = sitk.GetArrayFromImage(image)  # [z, y, x]
    spacing = image.GetSpacing()
    turned = saint_cli.upsample(array.transpose(), factor=2, voxel_spacing_mm=spacing, engine=engine, **options)
    dense = saint_cli.upsample(image, factor=2, engine=engine, **options)
    np.testing.assert_array_equal(turned.transpose(), sitk.GetArrayFromImage(dense))


def test_what_is_odd_about_an_image_is_a_warning_of_python(engine: Engine) -> None:
    odd = tiny.volume().voxels.astype(np.float32)
    odd[0, 0, 0] = np.nan
    with pytest.warns(UserWarning, match="1 of 1800 voxels is NaN") as told:
        saint_cli.upsample(odd, factor=2, voxel_spacing_mm=(1, 1, 5), engine=engine)
    assert [one.filename for one in told] == [__file__]


ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "a fraction": (
        {"factor": 2.5},
        "factor=2.5 must be a whole number; for any distance between slices give spacing_mm",
    ),
    "a whole fraction": ({"factor": 4.0}, "factor=4.0 must be a whole number"),
    "a truth value": ({"factor": True}, "factor=True must be a whole number"),
    "a word": ({"factor": "4"}, "factor='4' must be a whole number"),
    "too large": ({"factor": 40}, "factor=40 is outside 2...16"),
    "spacing as a word": ({"spacing_mm": "1"}, "spacing_mm='1' must be a number"),
    "spacing as truth": ({"spacing_mm": True}, "spacing_mm=True must be a number"),
    "no spacing": ({"spacing_mm": 0}, "spacing_mm=0.0 is not a positive distance"),
    "both": ({"factor": 2, "spacing_mm": 1.0}, "factor and spacing_mm both say"),
    "axis as a word": ({"factor": 2, "axis": "z"}, "axis='z' must be a whole number"),
    "a fourth axis": ({"factor": 2, "axis": 3}, "axis=3 must be 0, 1 or 2"),
    "an engine's name": ({"factor": 2, "engine": "fast"}, "engine='fast' must be an Engine"),
    "choices as words": ({"factor": 2, "choices": {"tta": True}}, "must be Choices"),
    "memory as a word": ({"factor": 2, "engine": Engine("fast", max_memory="4GB")}, "max_memory='4GB' must be a whole"),
    "no threads": ({"factor": 2, "engine": Engine("fast", threads=0)}, "Engine(threads=0): at least 1"),
    "half a batch": ({"factor": 2, "engine": Engine("fast", batch_size=1.5)}, "batch_size=1.5 must be a whole number"),
    "a device's number": ({"factor": 2, "engine": Engine("fast", device=0)}, "device=0 must be a word"),
    "an odd model": ({"factor": 2, "engine": Engine(3)}, "model=3 must be the name"),
    "half on a CPU": ({"factor": 2, "engine": Engine("fast", "cpu", "fp16")}, "Engine(precision='fp16') needs a GPU"),
    "three directions": ({"factor": 2, "choices": Choices(directions=3)}, "directions=3 must be 2 or 4"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_of_another_type_are_refused_in_words_of_python(name: str) -> None:
    wish, words = ARGUMENTS[name]
    with pytest.raises(UsageError) as caught:
        saint_cli.upsample(tiny.volume(), **wish)
    assert words in str(caught.value)
    assert "--" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_whole_numbers_of_numpy_are_whole_numbers(engine: Engine) -> None:
    dense = saint_cli.upsample(
        tiny.volume(), factor=np.int64(2), axis=np.uint8(2), engine=replace(engine, threads=np.int32(1))
    )
    assert dense.shape == (20, 18, 9)


def test_errors_name_arguments_where_the_command_line_names_options(tmp_path: Path) -> None:
    scan, path = tiny.volume(), tmp_path / "scan.nii"
    saint_cli.write_volume(scan, path)
    with pytest.raises(OutputError, match=r"exists already; choose another name or pass overwrite=True$"):
        saint_cli.write_volume(scan, path)
    with pytest.raises(UsageError, match=r"series chooses among"):
        saint_cli.read_volume(path, series="1")
    with pytest.raises(UsageError, match=r"split_runs=True is for DICOM"):
        saint_cli.read_volume(path, split_runs=True)
    with pytest.raises(UsageError, match=r"volume=3, but the file holds 1"):
        saint_cli.read_volume(path, volume=3)
    with pytest.raises(GeometryError, match=r"choose one with axis=0, 1 or 2, or a grid with factor or spacing_mm"):
        saint_cli.upsample(Volume(np.zeros((4, 4, 4), np.int16), np.eye(4)))
    with pytest.raises(UsageError, match=r"Choices\(match_noise=True\) knows the noise of CT only"):
        saint_cli.upsample(
            tiny.volume(modality="MR"), factor=2, choices=Choices(match_noise=True), engine=Engine("fast")
        )


def test_a_file_whose_name_looks_like_an_option_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "a--overwrite.nii"
    saint_cli.write_volume(tiny.volume(), path)
    with pytest.raises(OutputError, match=re.escape(str(path))):
        saint_cli.write_volume(tiny.volume(), path)


def test_only_a_volume_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a ndarray is no Volume; save it with the library it comes from"):
        saint_cli.write_volume(np.zeros((4, 4, 4)), tmp_path / "a.nii")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_the_signatures_and_descriptions_are_those_of_the_functions() -> None:
    for name in ("read_volume", "write_volume"):
        public, inner = getattr(saint_cli, name), getattr(saint_cli.io, name)
        assert inspect.signature(public) == inspect.signature(inner)
        assert public.__doc__ == inner.__doc__


def test_dir_lists_the_public_names() -> None:
    assert dir(saint_cli) == sorted(saint_cli.__all__)
    assert {"upsample", "read_volume", "write_volume", "Volume", "Engine", "Choices"} <= set(dir(saint_cli))


def test_a_volume_shows_itself_in_one_line_without_voxels_or_paths(tmp_path: Path) -> None:
    source = fabricate.save(fabricate.slices(40), tmp_path / "SECRET")
    volume = saint_cli.read_volume(source)
    assert repr(volume) == "Volume(16 x 12 x 40 int16, 0.5 x 0.75 x 5 mm, CT, DICOM)"
    assert "SECRET" not in repr(volume.header)
    assert len(repr(volume.header)) < 400
