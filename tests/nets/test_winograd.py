import pytest
import torch
import torch.nn.functional as F

from saint_cli.nets import winograd

WIDE = 64
"""Channels for which the transforms pay."""

needs_nnpack = pytest.mark.skipif(not torch.backends.nnpack.is_available(), reason="torch without NNPACK here")


@pytest.mark.parametrize("pays", [pytest.param(True, marks=needs_nnpack), False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, WIDE, 1, 1), (2, WIDE, 3, 8), (1, WIDE, 17, 13), (3, 5, 20, 6)])
def test_conv3x3_equals_conv2d_without_gradient(
    shape: tuple[int, ...], bias: bool, pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winograd, "_is_faster", lambda: pays)
    torch.manual_seed(9)
    layer, x = winograd.Conv3x3(shape[1], WIDE, bias=bias), torch.randn(shape)
    with torch.inference_mode():
        ours = layer(x)
        direct = F.conv2d(x, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(ours, direct, rtol=0, atol=1e-4)


@needs_nnpack
@pytest.mark.parametrize(("pays", "gradient", "calls"), [(True, False, 1), (False, False, 0), (True, True, 0)])
def test_winograd_is_used_where_it_pays_and_no_gradient_is_wanted(
    pays: bool, gradient: bool, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls_made, convolve = [], torch._nnpack_spatial_convolution
    monkeypatch.setattr(winograd, "_is_faster", lambda: pays)
    monkeypatch.setattr(torch, "_nnpack_spatial_convolution", lambda *a, **k: calls_made.append(a) or convolve(*a, **k))
    with torch.set_grad_enabled(gradient):
        winograd.Conv3x3(WIDE, WIDE)(torch.randn(1, WIDE, 5, 5))
    assert len(calls_made) == calls


@needs_nnpack
def test_conv3x3_has_gradients_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "_is_faster", lambda: True)
    layer = winograd.Conv3x3(WIDE, WIDE)
    layer(torch.randn(1, WIDE, 5, 5)).square().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.any()


@needs_nnpack
def test_conv3x3_follows_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "_is_faster", lambda: True)
    layer = winograd.Conv3x3(WIDE, WIDE)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(1, WIDE, 5, 5)).dtype == torch.bfloat16


def test_parameters_are_those_of_conv2d() -> None:
    shapes = {k: v.shape for k, v in winograd.Conv3x3(4, 6).state_dict().items()}
    assert shapes == {k: v.shape for k, v in torch.nn.Conv2d(4, 6, 3).state_dict().items()}
