"""Fixtures of the tests that connect to nodes."""

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from node.receivers import Node, run_receiver


@pytest.fixture
def collected_sockets() -> Iterator[None]:
    """For tests whose connections fail: pynetdicom leaves such a socket to be collected, which Python warns of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"unclosed <(socket|ssl\.SSLSocket)", ResourceWarning)
        yield
        gc.collect()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node that takes instances of everybody."""
    with run_receiver(tmp_path) as running:
        yield running
