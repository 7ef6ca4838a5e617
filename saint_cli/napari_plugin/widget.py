"""The widget: an image layer in, a layer with finer slices out, computed in a thread.

napari's arrays are [plane, row, column]; its ``scale`` has the same order. The first voxel does not move, so that all
other placement of the layer (translate, rotate, shear, affine) is kept.
"""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import napari
import numpy as np
import SimpleITK as sitk
from magicgui import magic_factory
from napari.layers import Image
from napari.utils import progress
from napari.utils.notifications import show_error, show_warning

import saint_cli
from saint_cli.options.completion import list_model_names
from saint_cli.options.method import NOISE_WORDS

POLL_S = 0.2
"""Seconds between looks at a running job."""

Report = tuple[str, int, int]
"""A stage, its finished steps, and all of them."""

KEPT = ("translate", "rotate", "shear", "affine", "units", "axis_labels", "contrast_limits", "gamma", "colormap")
"""What a result has from its layer."""


@magic_factory(  # type: ignore[untyped-decorator]
    call_button="Upsample",
    layer={"label": "Layer"},
    factor={"max": 16, "label": "Factor (0: not set)"},
    spacing_mm={"max": 100.0, "step": 0.1, "label": "Slice spacing, mm (0: not set)"},
    model={"choices": list_model_names(), "label": "Model"},
    modality={"choices": ["CT", "MR"], "label": "Modality"},
    noise={"choices": list(NOISE_WORDS), "label": "Noise of CT"},
)
def make_widget(
    viewer: napari.Viewer, layer: Image, factor: int, spacing_mm: float, model: str, modality: str, noise: str
) -> None:
    """Start the job of what the widget shows; neither factor nor spacing: isotropic voxels."""
    from napari.qt.threading import create_worker  # needs a Qt binding, which the rest does not

    options: dict[str, Any] = {"factor": factor or None, "spacing_mm": spacing_mm or None}
    options |= {"model": model, "modality": modality, "noise": noise}
    try:
        image = read_layer(layer)
    except saint_cli.SaintError as error:
        show_error(str(error))
        return
    bar = progress(total=100, desc="SAINT")

    def show(report: Report) -> None:
        stage, done, total = report
        bar.set_description(stage)
        bar.n = 100 * done // max(1, total)
        bar.refresh()

    worker = create_worker(upsample_image, image, options, _ignore_errors=True)
    worker.yielded.connect(show)
    worker.returned.connect(lambda result: add_result(viewer, layer, result))
    worker.errored.connect(lambda error: show_error(str(error)))
    worker.warned.connect(lambda warning: show_warning(str(warning[0])))
    worker.finished.connect(bar.close)
    worker.start()


def read_layer(layer: Image) -> sitk.Image:
    """The voxels of a layer with its spacing in mm; pixels count as mm.

    Raises:
        UsageError: a layer that is not 3-D and grey, of float16 or bool, or of negative scale.
    """
    if layer.ndim != 3 or layer.rgb or layer.multiscale:
        raise saint_cli.UsageError(f"layer {layer.name}: {layer.ndim}-D, RGB or multiscale; pass a 3-D grey image")
    if layer.dtype.kind not in "iuf" or layer.dtype == np.float16:
        raise saint_cli.UsageError(f"layer {layer.name}: voxels are {layer.dtype}; pass integers, float32 or float64")
    if not all(step > 0 for step in layer.scale):
        scale = ", ".join(f"{step:g}" for step in layer.scale)
        raise saint_cli.UsageError(f"layer {layer.name}: scale {scale}; pass a layer of positive scale")
    image = sitk.GetImageFromArray(np.asarray(layer.data))
    image.SetSpacing(tuple(map(float, reversed(layer.scale * _mm_per_unit(layer)))))
    return image


def _mm_per_unit(layer: Image) -> np.ndarray:
    """Millimetres in the unit of each axis; 1 for pixels."""
    return np.array([(1 * unit).m_as("mm") if unit.is_compatible_with("mm") else 1.0 for unit in layer.units])


def upsample_image(
    image: sitk.Image, options: dict[str, Any], upsample: Callable[..., sitk.Image] = saint_cli.upsample
) -> Generator[Report, None, sitk.Image]:
    """Upsample in a thread; yields how far it is, and returns the result."""
    reports = deque([("starting", 0, 1)], maxlen=1)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(upsample, image, on_progress=lambda *report: reports.append(report), **options)
        while not future.done():
            yield reports[-1]
            wait([future], POLL_S)
    return future.result()


def add_result(viewer: napari.Viewer, layer: Image, result: sitk.Image) -> Image:
    """Show a result where its layer lies."""
    scale = np.array(result.GetSpacing())[::-1] / _mm_per_unit(layer)
    kept = {name: getattr(layer, name) for name in KEPT}
    return viewer.add_image(sitk.GetArrayFromImage(result), name=f"{layer.name} (SAINT)", scale=scale, **kept)
