import pytest
import torch

from saint_cli import compute
from saint_cli.compute import Compute
from saint_cli.errors import UsageError

without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")


@without_cuda
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1"])
def test_a_cuda_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match=f"--device {device}: this machine has 0 CUDA devices"):
        compute.choose(device)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has an Apple GPU")
def test_an_apple_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="--device mps"):
        compute.choose("mps")


@pytest.mark.parametrize("device", ["gpu", "", "meta", "xla", "cuda:", "cpu,cuda"])
def test_an_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match="is none of auto, cpu, cuda"):
        compute.choose(device)


@pytest.mark.parametrize("precision", ["", "float32", "int8", "FP32"])
def test_an_unknown_precision_is_refused(precision: str) -> None:
    with pytest.raises(UsageError, match="is none of auto, fp32, bf16, fp16"):
        compute.choose("cpu", precision)


def test_fp16_on_the_cpu_is_refused() -> None:
    with pytest.raises(UsageError, match="fp16 needs a GPU"):
        compute.choose("cpu", "fp16")


@pytest.mark.parametrize("batch_size", [0, -1, -16])
def test_a_batch_of_less_than_one_slice_is_refused(batch_size: int) -> None:
    with pytest.raises(UsageError, match="batch"):
        compute.choose("cpu", "fp32", batch_size)


@pytest.mark.parametrize(("word", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_asked_precision_is_chosen(word: str, dtype: torch.dtype) -> None:
    assert compute.choose("cpu", word, 3) == Compute(torch.device("cpu"), dtype, 3)


def test_auto_is_a_device_and_precision_that_work_here() -> None:
    chosen = compute.choose()
    with chosen.autocast():
        product = torch.ones(2, 2, device=chosen.device) @ torch.ones(2, 2, device=chosen.device)
    assert product.dtype == chosen.precision
    assert float(product[0, 0]) == 2


@pytest.mark.parametrize(("pixels", "batch"), [(26_000, 1), (2_600, 10), (1, 26_000), (10**9, 1)])
def test_auto_batch_fills_the_cache_and_is_at_least_one(pixels: int, batch: int) -> None:
    assert compute.choose("cpu").batch(pixels) == batch


def test_an_asked_batch_size_is_kept() -> None:
    assert compute.choose("cpu", batch_size=7).batch(10**9) == 7


def test_threads_are_limited_and_fewer_than_one_refused() -> None:
    before = torch.get_num_threads()
    try:
        compute.set_threads(1)
        assert torch.get_num_threads() == 1
        compute.set_threads(None)
        assert torch.get_num_threads() == 1
        with pytest.raises(UsageError, match="--threads 0"):
            compute.set_threads(0)
    finally:
        torch.set_num_threads(before)
