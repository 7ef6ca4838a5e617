"""Work shared out among devices, here numbers."""

import threading
import time

import pytest
import torch

from saint_cli.runtime.device_pool import PENDING_PER_DEVICE, run_on_devices


@pytest.mark.parametrize("devices", [1, 2, 5])
def test_results_come_in_the_order_of_the_parts(devices: int) -> None:
    def work(device: int, part: int) -> int:
        time.sleep(0.001 * (part % 3))
        return part * part

    assert list(run_on_devices(range(devices), range(40), work)) == [(n, n * n) for n in range(40)]


def test_a_device_has_one_part_at_a_time_and_all_devices_work() -> None:
    busy, used, together = set(), set(), threading.Barrier(3, timeout=30)

    def work(device: int, part: int) -> None:
        assert device not in busy
        busy.add(device)
        if part < 3:
            together.wait()  # only passes if three are at work at once
        used.add(device)
        busy.remove(device)

    list(run_on_devices(range(3), range(30), work))
    assert used == {0, 1, 2}


def test_no_more_results_wait_than_memory_is_meant_for() -> None:
    taken = []
    parts = (taken.append(part) or part for part in range(100))  # type: ignore[func-returns-value]
    results = run_on_devices(range(2), parts, lambda _, part: part)
    assert next(results) == (0, 0)
    assert len(taken) == PENDING_PER_DEVICE * 2 + 1
    results.close()


@pytest.mark.parametrize("devices", [1, 2])
def test_a_failure_reaches_the_caller_and_ends_the_work(devices: int) -> None:
    begun = []

    def work(_: int, part: int) -> None:
        begun.append(part)
        if part == 3:
            raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        list(run_on_devices(range(devices), range(100), work))
    assert len(begun) < 100


@pytest.mark.parametrize("wanted", [True, False])
def test_the_threads_keep_the_callers_inference_mode(wanted: bool) -> None:
    with torch.inference_mode(wanted):
        found = [mode for _, mode in run_on_devices(range(2), range(4), lambda *_: torch.is_inference_mode_enabled())]
    assert found == [wanted] * 4
