"""The widget of napari: what it makes of a layer, and where the result lies; skipped where napari is not installed."""

import threading
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of napari and its libraries, while they are imported
    pytest.importorskip("napari", reason="needs napari (extra napari)")
    from napari.components import ViewerModel
    from napari.layers import Image

    from saint_cli.napari_plugin import widget

import saint_cli
from saint_cli.jobs import ModelConfig

pytestmark = pytest.mark.filterwarnings("default")  # of napari and its libraries

MANIFEST = Path(widget.__file__).with_name("napari.yaml")


@pytest.fixture
def layer() -> Image:
    """A layer of 5 planes 4 mm apart, off the origin and turned in its plane."""
    voxels = np.random.default_rng(0).normal(0, 50, (5, 24, 20)).astype(np.int16)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, 0.8, -0.6], [0.0, 0.6, 0.8]])
    how = {"scale": (4.0, 0.8, 0.8), "translate": (10.0, -3.0, 7.0), "rotate": turn, "contrast_limits": (-160, 240)}
    return Image(voxels, name="chest", colormap="bone", units=("mm",) * 3, **how)


def options(model_config: ModelConfig) -> dict[str, Any]:
    """Keywords of ``upsample`` with tiny networks."""
    return {"model": model_config.model, "device": "cpu", "precision": "fp32", "threads": 1, "modality": "CT"}


def run(
    image: sitk.Image, keywords: dict[str, Any], *more: Callable[..., Any]
) -> tuple[list[widget.Report], sitk.Image]:
    """Run a job to its end: its reports, and its result."""
    return finish(widget.upsample_image(image, keywords, *more))


def finish(job: Generator[widget.Report, None, sitk.Image]) -> tuple[list[widget.Report], sitk.Image]:
    """What a job still reports, and its result."""
    reports = list[widget.Report]()
    while True:
        try:
            reports.append(next(job))
        except StopIteration as end:
            return reports, end.value


def test_the_manifest_is_valid_and_its_command_is_there() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(MANIFEST)
    assert manifest.contributions.commands is not None
    (command,) = manifest.contributions.commands
    module, _, name = command.python_name.partition(":")
    assert module == widget.__name__
    assert getattr(widget, name) is widget.make_widget
    assert callable(widget.make_widget)


def test_a_result_covers_the_planes_of_its_layer(layer: Image, model_config: ModelConfig) -> None:
    _, result = run(widget.read_layer(layer), {**options(model_config), "factor": 4})
    viewer = ViewerModel()
    added = widget.add_result(viewer, layer, result)
    assert added in viewer.layers
    assert added.data.shape == (17, 24, 20)
    assert added.data.dtype == np.int16
    np.testing.assert_array_equal(added.data[::4], layer.data)
    np.testing.assert_allclose(added.scale, (1.0, 0.8, 0.8))
    for j in range(5):  # voxel (4j, h, w) lies where (j, h, w) lay
        np.testing.assert_allclose(added.data_to_world((4 * j, 3, 5)), layer.data_to_world((j, 3, 5)), atol=1e-9)
    assert (added.name, added.colormap.name, tuple(added.contrast_limits)) == ("chest (SAINT)", "bone", (-160, 240))
    assert added.units == layer.units


@pytest.mark.parametrize(("unit", "scale"), [("um", (4000.0, 800.0, 800.0)), ("pixel", (4.0, 0.8, 0.8))])
def test_units_are_converted_and_come_back(unit: str, scale: tuple[float, ...], model_config: ModelConfig) -> None:
    layer = Image(np.zeros((4, 20, 20), np.int16) + np.arange(20, dtype=np.int16), scale=scale, units=(unit,) * 3)
    image = widget.read_layer(layer)
    np.testing.assert_allclose(image.GetSpacing(), (0.8, 0.8, 4.0))
    _, result = run(image, {**options(model_config), "spacing_mm": 2.0})
    added = widget.add_result(ViewerModel(), layer, result)
    np.testing.assert_allclose(added.scale, np.multiply(scale, (0.5, 1, 1)))


def test_the_job_runs_in_another_thread_and_reports_while_it_runs(layer: Image) -> None:
    go_on, threads = threading.Event(), list[threading.Thread]()

    def upsample(image: sitk.Image, *, on_progress: Callable[..., None]) -> sitk.Image:
        threads.append(threading.current_thread())
        on_progress("coronal slices", 3, 7)
        assert go_on.wait(60)
        return image

    image = widget.read_layer(layer)
    job = widget.upsample_image(image, {}, upsample)
    report = next(job)
    while report[0] == "starting":
        report = next(job)
    assert report == ("coronal slices", 3, 7)
    go_on.set()
    assert finish(job)[1] is image
    assert threads[0] is not threading.current_thread()


def test_a_failure_reaches_the_window_as_one_sentence(layer: Image) -> None:
    with pytest.raises(saint_cli.UsageError, match="`factor=40` is outside 2"):
        run(widget.read_layer(layer), {"factor": 40})


@pytest.mark.parametrize("shape", [(24, 20), (2, 5, 24, 20)])
def test_layers_that_are_no_volume_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(saint_cli.UsageError, match="3-D grey image"):
        widget.read_layer(Image(np.zeros(shape, np.int16), name="flat"))


@pytest.mark.parametrize("kind", [np.float16, np.bool_])
def test_voxels_that_are_no_image_are_refused(kind: type) -> None:
    with pytest.raises(saint_cli.UsageError, match="pass integers, float32 or float64"):
        widget.read_layer(Image(np.ones((5, 24, 20), kind), name="odd", contrast_limits=(0, 1)))


def test_a_negative_scale_is_refused() -> None:
    with pytest.raises(saint_cli.UsageError, match="scale -4, 1, 1; pass a layer of positive scale"):
        widget.read_layer(Image(np.zeros((5, 24, 20), np.int16), name="turned", scale=(-4.0, 1.0, 1.0)))
