"""pydicom's checks of values, off while saint reads or writes: hospitals' files break length and character rules."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from pydicom import config


class _Setting:
    """Process-wide in pydicom, so that callers in several threads share it: the last one to leave restores it."""

    lock = Lock()
    callers = 0
    before: int | None = None


@contextmanager
def ignore_invalid_values() -> Iterator[None]:
    """Read values as they are written, without warnings or errors about their form."""
    with _Setting.lock:
        if not _Setting.callers:
            _Setting.before = config.settings._reading_validation_mode
            config.settings.reading_validation_mode = config.IGNORE
        _Setting.callers += 1
    try:
        yield
    finally:
        with _Setting.lock:
            _Setting.callers -= 1
            if not _Setting.callers:
                config.settings._reading_validation_mode = _Setting.before
