"""Copies of which only the first bytes are there: who needs more than a header asks for the rest first."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

Complete = Callable[[Iterable[Path]], None]
"""Makes those of some files whole that are sparse copies."""

_COMPLETE: ContextVar[Complete | None] = ContextVar("complete", default=None)


@contextmanager
def open_sparse(complete: Complete) -> Iterator[None]:
    """Files inside may be sparse copies, which ``complete`` makes whole."""
    token = _COMPLETE.set(complete)
    try:
        yield
    finally:
        _COMPLETE.reset(token)


def require_whole(paths: Iterable[Path]) -> None:
    """Make files whole whose pixels are about to be read; whatever fetching them raises."""
    complete = _COMPLETE.get()
    if complete is not None:
        complete(paths)
