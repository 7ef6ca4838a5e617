import pytest
import torch

from saint_cli.errors import UsageError
from saint_cli.runtime import device_selection
from saint_cli.runtime.device_selection import Compute

without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")


@without_cuda
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1", "gpu:0", "gpu:1"])
def test_a_cuda_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match=f"`device={device}`: this machine has 0 CUDA devices"):
        device_selection.select_compute(device)


CHOICES = {
    "auto": [0, 1, 2],
    "cuda": [0, 1, 2],
    "gpu": [0, 1, 2],
    "cuda:1": [1],
    "gpu:1": [1],
    "cuda:2,cuda:0,cuda:2": [2, 0],
    "gpu:2,gpu:0,cuda:2": [2, 0],
}
"""Devices, and which of three CUDA GPUs they name."""


@pytest.mark.parametrize(
    ("device", "precision", "allowed"),
    [("cpu", "fp32", True), ("cuda:0", "bf16", True), ("cuda:0", "fp16", True), ("cuda:0", "fp32", False)],
)
def test_fp32_on_cuda_is_not_tf32(device: str, precision: str, allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    device_selection.select_compute(device, precision)
    assert torch.backends.cudnn.allow_tf32 is allowed


def test_cuda_and_gpu_are_all_gpus_and_a_list_is_those_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # and back, for fp32 turns it off
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for word, wanted in CHOICES.items():
        chosen = device_selection.select_compute(word, "fp32")
        assert [device.index for device in chosen.devices] == wanted
        assert {device.type for device in chosen.devices} == {"cuda"}
    for kind in ("cuda", "gpu"):
        with pytest.raises(UsageError, match=f"`device={kind}:3`: this machine has 3 CUDA devices"):
            device_selection.select_compute(f"{kind}:0,{kind}:3", "fp32")


@pytest.mark.parametrize(("cuda", "mps", "kind"), [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps")])
def test_gpu_is_cuda_or_else_an_apple_gpu(cuda: bool, mps: bool, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(cuda))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert device_selection.select_compute("gpu", "fp32").device.type == kind
    assert device_selection.count_gpus("gpu") == device_selection.count_gpus("auto") == int(cuda)


def test_gpu_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match="`device=gpu`: torch finds neither a CUDA nor an Apple GPU here"):
        device_selection.select_compute("gpu")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has an Apple GPU")
def test_an_apple_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="`device=mps`"):
        device_selection.select_compute("mps")


@pytest.mark.parametrize(
    "device",
    [
        "",
        "meta",
        "xla",
        "cuda:",
        "gpu:",
        "gpu:01",
        "cuda:00",
        "gpu:0,gpu:99999999999999999999",
        "cpu,cuda",
        "gpu,gpu:1",
    ],
)
def test_an_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match="must be one of auto, cpu, gpu, gpu:N"):
        device_selection.select_compute(device)


@pytest.mark.parametrize("precision", ["", "float32", "int8", "FP32"])
def test_an_unknown_precision_is_refused(precision: str) -> None:
    with pytest.raises(UsageError, match="must be one of auto, fp32, bf16, fp16"):
        device_selection.select_compute("cpu", precision)


def test_fp16_on_the_cpu_is_refused() -> None:
    with pytest.raises(UsageError, match="`precision=fp16` needs a GPU"):
        device_selection.select_compute("cpu", "fp16")


@pytest.mark.parametrize("batch_size", [0, -1, -16])
def test_a_batch_of_less_than_one_slice_is_refused(batch_size: int) -> None:
    with pytest.raises(UsageError, match="batch"):
        device_selection.select_compute("cpu", "fp32", batch_size)


@pytest.mark.parametrize(("word", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_asked_precision_is_chosen(word: str, dtype: torch.dtype) -> None:
    assert device_selection.select_compute("cpu", word, 3) == Compute(torch.device("cpu"), dtype, 3)


def test_auto_is_a_device_and_precision_that_work_here() -> None:
    chosen = device_selection.select_compute()
    with chosen.autocast():
        product = torch.ones(2, 2, device=chosen.device) @ torch.ones(2, 2, device=chosen.device)
    assert product.dtype == chosen.precision
    assert float(product[0, 0]) == 2


@pytest.mark.parametrize(("pixels", "batch"), [(26_000, 1), (2_600, 10), (1, 26_000), (10**9, 1)])
def test_auto_batch_fills_the_cache_and_is_at_least_one(pixels: int, batch: int) -> None:
    assert device_selection.select_compute("cpu").batch_size_for(pixels) == batch


@pytest.mark.parametrize(("free", "pixels"), [(80_000_000_000, 1_000_000), (1_000_000_000, 250_000)])
def test_a_gpu_with_little_memory_gets_smaller_batches(free: int, pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 80_000_000_000))
    compute = Compute(torch.device("cuda", free // 1_000_000_000), torch.float32)  # each is read once
    assert compute.batch_size_for(1000) == pixels // 1000
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (0, 80_000_000_000))
    assert compute.batch_size_for(1000) == pixels // 1000


def test_an_asked_batch_size_is_kept() -> None:
    assert device_selection.select_compute("cpu", batch_size=7).batch_size_for(10**9) == 7


def test_threads_are_limited_and_fewer_than_one_refused() -> None:
    before = torch.get_num_threads()
    try:
        device_selection.set_threads(1)
        assert torch.get_num_threads() == 1
        device_selection.set_threads(None)
        assert torch.get_num_threads() == 1
        with pytest.raises(UsageError, match="`threads=0`"):
            device_selection.set_threads(0)
    finally:
        torch.set_num_threads(before)
