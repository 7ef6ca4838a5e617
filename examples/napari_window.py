"""Draw docs/napari.jpg: the example in a napari window before and after, ``python examples/napari_window.py PICTURE``.

Needs the extra ``napari`` and ``napari[pyside6]``; on a machine without a screen, run it by ``xvfb-run``.
"""

import sys
import time

import napari
from PIL import Image
from qtpy.QtWidgets import QApplication

import saint_cli

TIMEOUT_S = 600


def main(picture: str) -> None:
    """Press the widget's button for a coronal slab of the example, and keep a picture of the window."""
    volume = saint_cli.read_volume("examples/chest_thick.nii.gz")
    slab = volume.voxels[:, 91:119].transpose()[::-1]  # [z, y, x], the head above
    viewer = napari.Viewer()
    viewer.window.resize(1200, 620)
    viewer.add_image(slab, name="chest", scale=volume.spacing_mm[::-1], units=("mm",) * 3, contrast_limits=(-1000, 400))
    _, container = viewer.window.add_plugin_dock_widget("saint-cli", "Upsample slices (SAINT)")
    widget = getattr(container, "_magic_widget", container)
    widget.factor.value, widget.model.value = 4, "fast"
    widget()
    began = time.monotonic()
    while len(viewer.layers) < 2 and time.monotonic() - began < TIMEOUT_S:
        process_events(1)
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_point(1, volume.spacing_mm[1] * slab.shape[1] / 2)
    grid = viewer.canvas.grid
    grid.enabled, grid.shape, grid.stride = True, (2, 1), -1
    viewer.reset_view()
    process_events(30)
    Image.fromarray(viewer.window.screenshot(canvas_only=False)[..., :3]).save(picture, quality=85)
    viewer.close()


def process_events(count: int) -> None:
    """Let the window work for some twentieths of a second."""
    for _ in range(count):
        QApplication.instance().processEvents()
        time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1])
