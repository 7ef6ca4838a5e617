import ast
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import fabricate
import numpy as np
import pytest
import torch
from nets import tiny

import saint_cli
from saint_cli import api
from saint_cli.errors import GeometryError, OutputError, UsageError, WeightsError
from saint_cli.options import keyword_checks
from saint_cli.options.grid import GridRequest
from saint_cli.options.method import MethodOptions
from saint_cli.options.model import ModelConfig
from saint_cli.volume import Volume


def test_the_public_names_are_there() -> None:
    for name in saint_cli.__all__:
        assert getattr(saint_cli, name) is not None
    assert saint_cli.upsample is api.upsample
    assert saint_cli.Volume is Volume
    with pytest.raises(AttributeError, match="interpolate_it"):
        saint_cli.interpolate_it  # noqa: B018


@pytest.mark.parametrize(
    ("keywords", "shape", "spacing"),
    [
        ({"factor": 4}, (20, 18, 17), (0.7, 0.9, 1.25)),
        ({"spacing_mm": 2.5}, (20, 18, 9), (0.7, 0.9, 2.5)),
        ({}, (20, 18, 29), (0.7, 0.9, 0.7)),
        ({"factor": 2, "axis": 0}, (39, 18, 5), (0.35, 0.9, 5.0)),
    ],
)
def test_upsample_gives_the_requested_grid(
    keywords: dict[str, Any], shape: tuple[int, ...], spacing: tuple[float, ...], tiny_model: dict[str, Any]
) -> None:
    volume = tiny.volume()
    dense = saint_cli.upsample(volume, **keywords, **tiny_model)
    assert dense.shape == shape
    assert dense.spacing_mm == pytest.approx(spacing)
    assert dense.voxels.dtype == volume.voxels.dtype
    np.testing.assert_array_equal(dense.voxels[0, :, 0], volume.voxels[0, :, 0])


def test_acquired_slices_come_back_bit_exact(tiny_model: dict[str, Any]) -> None:
    volume = tiny.volume()
    np.testing.assert_array_equal(saint_cli.upsample(volume, factor=3, **tiny_model).voxels[..., ::3], volume.voxels)


@pytest.mark.parametrize(
    ("keywords", "error"),
    [
        ({"factor": 2, "spacing_mm": 1.0}, UsageError),
        ({"factor": 40}, UsageError),
        ({"spacing_mm": 5.0}, UsageError),
        ({"spacing_mm": 13.0}, UsageError),
        ({"spacing_mm": 10.0, "noise": "match"}, UsageError),
        ({"factor": 2, "in_plane_mm": -1.0}, UsageError),
        ({"factor": 2, "irregular": True}, UsageError),
    ],
)
def test_impossible_grids_are_refused(
    keywords: dict[str, Any], error: type[Exception], tiny_model: dict[str, Any]
) -> None:
    with pytest.raises(error):
        saint_cli.upsample(tiny.volume(), **keywords, **tiny_model)


def test_an_isotropic_volume_and_an_unknown_model_are_refused(tiny_model: dict[str, Any]) -> None:
    with pytest.raises(GeometryError, match="nearly isotropic"):
        saint_cli.upsample(Volume(np.zeros((4, 4, 4), np.int16), np.eye(4)), **tiny_model)
    with pytest.raises(WeightsError, match="basis"):
        saint_cli.upsample(tiny.volume(), factor=2, model="basis", device="cpu")


def test_threads_are_used(tiny_model: dict[str, Any]) -> None:
    torch.set_num_threads(2)
    saint_cli.upsample(tiny.volume((6, 5, 3)), factor=2, threads=1, **tiny_model)
    assert torch.get_num_threads() == 1


def test_options_reach_the_method(tiny_model: dict[str, Any]) -> None:
    plain, flipped = (
        saint_cli.upsample(tiny.volume(), factor=3, tta=tta, **tiny_model).voxels for tta in (False, True)
    )
    assert (plain != flipped).any()
    np.testing.assert_array_equal(plain[..., ::3], flipped[..., ::3])


def test_less_memory_than_a_volume_needs_is_refused(tiny_model: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^`max_memory=100 MB` is too little"):
        saint_cli.upsample(tiny.volume(), factor=2, max_memory=100_000_000, **tiny_model)


def test_files_are_named_by_words_or_by_paths(tmp_path: Path) -> None:
    scan = tiny.volume()
    saint_cli.write_volume(scan, f"{tmp_path}/scan.nii.gz")
    for name in (f"{tmp_path}/scan.nii.gz", tmp_path / "scan.nii.gz"):
        np.testing.assert_array_equal(saint_cli.read_volume(name).voxels, scan.voxels)


ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "a fraction": (
        {"factor": 2.5},
        "`factor=2.5` must be a whole number; for any distance between slices give `spacing_mm`",
    ),
    "a whole fraction": ({"factor": 4.0}, "`factor=4.0` must be a whole number"),
    "a truth value": ({"factor": True}, "`factor=True` must be a whole number"),
    "a word": ({"factor": "4"}, "`factor='4'` must be a whole number"),
    "too large": ({"factor": 40}, "`factor=40` is outside 2...16"),
    "spacing as a word": ({"spacing_mm": "1"}, "`spacing_mm='1'` must be a number"),
    "slab as a word": ({"slab": "thick"}, "`slab='thick'` must be True, False, or a thickness in mm"),
    "spacing as truth": ({"spacing_mm": True}, "`spacing_mm=True` must be a number"),
    "no spacing": ({"spacing_mm": 0}, "`spacing_mm=0.0` is not a positive distance"),
    "both": ({"factor": 2, "spacing_mm": 1.0}, "`factor` and `spacing_mm` both say"),
    "axis as a word": ({"factor": 2, "axis": "z"}, "`axis='z'` must be 0, 1 or 2, for x, y or z"),
    "a fourth axis": ({"factor": 2, "axis": 3}, "`axis=3` must be 0, 1 or 2"),
    "memory as a word": ({"factor": 2, "max_memory": "4GB"}, "`max_memory='4GB'` must be a whole number"),
    "no threads": ({"factor": 2, "threads": 0}, "`threads=0`: at least 1"),
    "half a batch": ({"factor": 2, "batch_size": 1.5}, "`batch_size=1.5` must be a whole number"),
    "a device's number": ({"factor": 2, "device": 0}, "`device=0` must be a word"),
    "an odd model": ({"factor": 2, "model": 3}, "`model=3` must be a name, the path of a weights file, or a loaded"),
    "half on a CPU": ({"factor": 2, "device": "cpu", "precision": "fp16"}, "`precision=fp16` needs a GPU"),
    "three directions": ({"factor": 2, "directions": 3}, "`directions=3` must be 2 or 4"),
    "another word": ({"factor": 2, "noise": "remove"}, "`noise` must be one of keep, match, smooth, not remove"),
    "no word": ({"factor": 2, "noise": None}, "`noise=None` must be a word"),
    "a word for a flag": ({"factor": 2, "tta": "no"}, "`tta='no'` must be True or False"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_of_another_type_are_refused_in_words_of_python(name: str) -> None:
    keywords, words = ARGUMENTS[name]
    with pytest.raises(UsageError) as caught:
        saint_cli.upsample(tiny.volume(), **keywords)
    assert words in str(caught.value)
    assert "--" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_capitals_of_words_do_not_count_as_on_the_command_line(tiny_model: dict[str, Any]) -> None:
    small = {"noise": "smooth", "device": "cpu", "precision": "fp32", "slab_profile": "box", "modality": "ct"}
    capitals = {name: word.upper() for name, word in small.items()}
    made = [saint_cli.upsample(tiny.volume(), 2, **{**tiny_model, **words}) for words in (small, capitals)]
    np.testing.assert_array_equal(made[0].voxels, made[1].voxels)


def test_whole_numbers_of_numpy_are_whole_numbers(tiny_model: dict[str, Any]) -> None:
    dense = saint_cli.upsample(tiny.volume(), factor=np.int64(2), axis=np.uint8(2), threads=np.int32(1), **tiny_model)
    assert dense.shape == (20, 18, 9)


def test_errors_name_parameters_instead_of_options(tmp_path: Path, tiny_model: dict[str, Any]) -> None:
    scan, path = tiny.volume(), tmp_path / "scan.nii"
    saint_cli.write_volume(scan, path)
    with pytest.raises(OutputError, match=r"exists already; choose another name or pass `overwrite=True`$"):
        saint_cli.write_volume(scan, path)
    with pytest.raises(UsageError, match=r"`series` chooses among"):
        saint_cli.read_volume(path, series="1")
    with pytest.raises(UsageError, match=r"`split_runs=True` is for DICOM"):
        saint_cli.read_volume(path, split_runs=True)
    with pytest.raises(UsageError, match=r"`volume=3`, but the file holds 1"):
        saint_cli.read_volume(path, volume=3)
    with pytest.raises(GeometryError, match=r"choose one with `axis`, or a grid with `factor` or `spacing_mm`"):
        saint_cli.upsample(Volume(np.zeros((4, 4, 4), np.int16), np.eye(4)))
    with pytest.raises(UsageError, match=r"`noise=match` needs CT; leave it out"):
        saint_cli.upsample(tiny.volume(modality="MR"), factor=2, noise="match", **tiny_model)
    bright = replace(scan, voxels=np.abs(scan.voxels), header=replace(scan.header, modality=None))
    with pytest.raises(UsageError, match=r"needs CT; the scan is MR by its values: `modality=ct` if it is HU, else"):
        saint_cli.upsample(bright, factor=2, noise="match", **tiny_model)


@pytest.mark.parametrize("name", ["series", "split_runs", "merge", "outside_data"])
def test_a_keyword_that_only_the_reader_has_is_refused_with_its_place(name: str) -> None:
    with pytest.raises(TypeError, match=rf"^{name} is not a keyword.*the volume of read_volume\(path, {name}=...\)$"):
        saint_cli.upsample("STUDY", **{name: "1"})


@pytest.mark.parametrize("name", ["a--overwrite.nii", "a`overwrite.nii"])
def test_a_file_whose_name_looks_like_a_parameter_keeps_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    saint_cli.write_volume(tiny.volume(), path)
    with pytest.raises(OutputError, match=re.escape(str(path))):
        saint_cli.write_volume(tiny.volume(), path)


def test_only_a_volume_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a ndarray is not a Volume; save it with the library it comes from"):
        saint_cli.write_volume(np.zeros((4, 4, 4)), tmp_path / "a.nii")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_dir_lists_the_public_names() -> None:
    assert dir(saint_cli) == sorted(saint_cli.__all__)
    assert {"upsample", "read_volume", "write_volume", "restore", "Volume", "SaintError"} <= set(dir(saint_cli))


def test_a_volume_shows_itself_in_one_line_without_voxels_or_paths(tmp_path: Path) -> None:
    source = fabricate.save(fabricate.slices(40), tmp_path / "SECRET")
    volume = saint_cli.read_volume(source)
    assert repr(volume) == "Volume(16 x 12 x 40 int16, 0.5 x 0.75 x 5 mm, CT, DICOM)"
    assert "SECRET" not in repr(volume.header)
    assert len(repr(volume.header)) < 400


def test_a_name_a_path_and_a_loaded_model_give_the_same(tiny_model: dict[str, Any]) -> None:
    loaded = saint_cli.load_model(tiny_model["model"])
    by_path, by_model = (
        saint_cli.upsample(tiny.volume(), 2, **{**tiny_model, "model": one}).voxels
        for one in (Path(tiny_model["model"]), loaded)
    )
    np.testing.assert_array_equal(by_path, by_model)


def test_an_unknown_keyword_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="facter"):
        saint_cli.upsample(tiny.volume(), facter=2)  # type: ignore[call-overload]


def test_keywords_are_the_fields_of_the_options_and_what_belongs_to_an_image() -> None:
    named = {field.name for kind in (GridRequest, MethodOptions, ModelConfig) for field in fields(kind)}
    image = {"voxel_spacing_mm", "modality", "irregular", "allow_labels", "on_progress"}
    assert set(saint_cli.Options.__annotations__) == (named - {"factor"}) | image
    flags = {name for name, kind in saint_cli.Options.__annotations__.items() if kind is bool}
    assert flags == set(keyword_checks.FLAGS)


def test_a_coarser_spacing_gives_means_of_slices_and_has_no_stages(tiny_model: dict[str, Any]) -> None:
    volume = tiny.volume()
    coarse = saint_cli.upsample(volume, spacing_mm=10.0, **tiny_model)
    np.testing.assert_array_equal(coarse.voxels, np.rint(volume.voxels[..., :4].reshape(20, 18, 2, 2).mean(3)))
    with pytest.raises(UsageError, match="no stages"):
        saint_cli.restore(volume, spacing_mm=10.0, **tiny_model)


def test_progress_is_reported(tiny_model: dict[str, Any]) -> None:
    calls: list[tuple[str, int, int]] = []
    saint_cli.upsample(tiny.volume(), 2, on_progress=lambda *call: calls.append(call), **tiny_model)
    assert len({stage for stage, _, _ in calls}) > 1
    assert all(done <= total for _, done, total in calls)


def test_the_lazy_names_are_those_that_type_checkers_see() -> None:
    tree = ast.parse(Path(saint_cli.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {name.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names}
    del seen["Any"]
    assert seen == saint_cli._MODULE_OF
    assert {*seen, "__version__"} == set(saint_cli.__all__)


def test_importing_the_public_names_changes_no_global_setting() -> None:
    program = """
import copy, logging, os, warnings
import numpy, pydicom, SimpleITK, torch

def settings():
    config = {name: copy.copy(value) for name, value in vars(pydicom.config).items() if name.isupper()}
    config |= {name: getattr(pydicom.config, name) for name in ("datetime_conversion", "use_DS_decimal")}
    config["validation"] = (
        pydicom.config.settings.reading_validation_mode, pydicom.config.settings.writing_validation_mode
    )
    return (
        config, list(warnings.filters), numpy.geterr(), torch.get_num_threads(), torch.get_default_dtype(),
        torch.is_grad_enabled(), SimpleITK.ProcessObject.GetGlobalWarningDisplay(), dict(os.environ),
        logging.root.level, list(logging.root.handlers), logging.getLogger("pydicom").level,
    )

before = settings()
import importlib, pkgutil
import saint_cli, saint_cli.io
for module in pkgutil.walk_packages(saint_cli.io.__path__, "saint_cli.io."):
    importlib.import_module(module.name)
for name in saint_cli.__all__:
    getattr(saint_cli, name)
for one, other in zip(before, settings()):
    assert one == other, (one, other)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_a_prompt_shows_of_stages_and_models_is_one_line() -> None:
    stages = saint_cli.restore(fabricate.volume(), factor=2, model=tiny.model(), device="cpu")
    assert repr(stages) == f"Stages({' x '.join(map(str, stages.fused.shape))}, model {tiny.model().name})"
    assert len(repr(tiny.model())) < 200
