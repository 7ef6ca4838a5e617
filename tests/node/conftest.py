"""Fixtures of the tests that connect to nodes."""

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture
def collected_sockets() -> Iterator[None]:
    """For tests whose connections fail: pynetdicom leaves such a socket to be collected, which Python warns of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)
        yield
        gc.collect()
