"""What ``benchmarks/training.py`` counts."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from nets import tiny
from torch.utils.flop_counter import FlopCounterMode

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, under another name than that of this folder of tests."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    spec = importlib.util.spec_from_file_location("training_benchmark", BENCHMARKS / "training.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("fold", [1, 2])
def test_multiply_adds_of_a_patch_are_those_that_torch_counts(fold: int, benchmark: ModuleType) -> None:
    ami, patch = tiny.ami(fold=fold), benchmark.PATCH
    slices, fdm = torch.rand(1, 3, patch.height, patch.acquired), torch.rand(1, benchmark.OFFSET_COUNT, 3, 3)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        ami(slices, fdm)
    counted = counter.get_total_flops() / 2
    assert benchmark.count_patch(ami) == pytest.approx(benchmark.FORWARD_AND_BACKWARD * counted, rel=0.02)
