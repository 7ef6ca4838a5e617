"""A disk that is unmounted while a job runs."""

import pytest

from saint_cli import io
from saint_cli.method import pipeline


def unmount_while_computing(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first computation of slices on, all folders lie on another disk than before."""
    found, restore = io.find_disk, pipeline.restore

    def unmounted(*arguments: object) -> object:
        monkeypatch.setattr(io, "find_disk", lambda path: found(path) + 1)
        return restore(*arguments)

    monkeypatch.setattr(pipeline, "restore", unmounted)
