import numpy as np
import pytest

from saint_cli.method import noise_patches
from saint_cli.method.noise_patches import PATCH, STRIDE


@pytest.mark.parametrize("shape", [(16, 16), (23, 40), (15, 40), (5, 3)])
def test_windows_are_the_patches_at_every_stride(shape: tuple[int, int]) -> None:
    plane = np.arange(np.prod(shape)).reshape(shape)
    windows = noise_patches.cut_windows(plane)
    assert windows.shape == (*noise_patches.count_places(shape), PATCH, PATCH)
    for i, k in np.ndindex(windows.shape[:2]):
        corner = plane[i * STRIDE : i * STRIDE + PATCH, k * STRIDE : k * STRIDE + PATCH]
        np.testing.assert_array_equal(windows[i, k], corner)


def test_surfaces_hold_every_quadratic_function_and_nothing_of_white_noise_but_six_parts() -> None:
    x, y = np.meshgrid(*[np.linspace(-1, 1, PATCH)] * 2, indexing="ij")
    surfaces = noise_patches.quadratic_surfaces()
    quadratic = (3 - x + 2 * y + 4 * x * y - y**2).ravel()
    np.testing.assert_allclose(surfaces @ (surfaces.T @ quadratic), quadratic, atol=1e-12)
    np.testing.assert_allclose(surfaces.T @ surfaces, np.eye(6), atol=1e-12)


def test_the_window_keeps_the_variance_of_white_noise() -> None:
    assert np.mean(noise_patches.hann_window() ** 2) == pytest.approx(1)
    assert noise_patches.frequency_radius()[0, 0] == 0
    assert noise_patches.frequency_radius().max() == pytest.approx(np.hypot(PATCH / 2, PATCH / 2))
