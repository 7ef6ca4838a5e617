"""The node as a whole, in this process: it goes on after failures and restarts, and ends when it is told to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from node.archives import free_port, wait_until
from node.queues import add, open_queue
from node.test_work import Shelf

from saint_cli.node import serve
from saint_cli.node.options import NodeOptions
from saint_cli.node.records import QueuedSeries, SeriesState
from saint_cli.node.rules import Rules
from saint_cli.node.serve import NodeConfig
from saint_cli.node.work import Steps


@contextmanager
def run_node(folder: Path, log: list[str]) -> Iterator[None]:
    """A node in a thread."""
    config = NodeConfig(NodeOptions(port=free_port(), quiet_s=0.1), folder / "queue", Shelf(), Rules(()))
    stop = threading.Event()
    thread = threading.Thread(target=serve.run_node, args=(config, log.append, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    assert log[-1] == "stopped"


def test_a_step_that_raises_is_logged_without_its_text_and_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, log = [0], list[str]()

    def fail(_: Steps) -> bool:
        calls[0] += 1
        raise ZeroDivisionError("SECRET")

    monkeypatch.setattr(serve, "PAUSE_S", 0.05)
    monkeypatch.setattr(Steps, "send", fail)
    with run_node(tmp_path, log):
        wait_until(lambda: calls[0] >= 3)
    assert "SECRET" not in "".join(log)
    assert any("sending pauses" in line and "ZeroDivisionError (test_serve.py:" in line for line in log)


def test_a_series_that_was_being_received_goes_on_after_a_restart(tmp_path: Path) -> None:
    spool, log = open_queue(tmp_path), list[str]()
    series: QueuedSeries = add(spool, 1, b"SECRET, and no DICOM")
    spool.set_released([series.series_uid])
    spool.close()
    with run_node(tmp_path, log):
        wait_until(lambda: any("series 1: skipped" in line for line in log))
    assert "queue: 1 receiving, 0.0 MB" in log
    assert "series 1: complete, 1 instance" in log
    assert "SECRET" not in "".join(log)
    spool = open_queue(tmp_path)
    assert spool.count_states()[SeriesState.SKIPPED] == 1
    assert spool.budget.used_bytes == 0
