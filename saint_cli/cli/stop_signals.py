"""Ctrl-C, SIGTERM and SIGHUP, from the first moment of the program to its last; imports nothing slow.

While a command runs they are raised, as KeyboardInterrupt and SystemExit, so that half-written files are removed on
the way out. Before and after, there is nothing to remove and the process ends at once: an exception during an import
may be lost, or be turned into another one.
"""

# Built in; ``signal`` is the same and imports ``enum``.
import _signal  # type: ignore[import-not-found]
import os
import sys
import time
from _signal import SIG_IGN, SIGINT, getsignal, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

SIGNALS = tuple(getattr(_signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(_signal, name))
"""Windows has no SIGHUP, which closed terminals send."""

INTERRUPTED_CODE = 128 + SIGINT
"""Exit code of a command stopped by Ctrl-C, as shells report it."""

MESSAGE = "interrupted"

LINE = f"saint: {MESSAGE}\n".encode()

DOCUMENT = (
    f'{{\n  "error": "{MESSAGE}",\n  "error_class": "KeyboardInterrupt",\n  "exit_code": {INTERRUPTED_CODE}\n}}\n'
).encode()
"""What ``--json`` prints then."""

REPEATED_S = 2.0
"""A second Ctrl-C within this time may come from a parent program; after it, the user is in a hurry."""

RESEND_S = 0.05
"""Time after which a signal that was lost, or came during the import of ``FRAGILE_MODULE``, is sent again."""

FRAGILE_MODULE = "torch"
"""Its C++ runs Python while it is imported, and aborts the process over an exception."""

IMPORT_S = 1.0
"""Time that this import may go on before the process ends."""


class _State:
    """has_begun, is_running: of the command. stopped_by, at ``stopped_s``: the signal that stopped it.
    pending, since ``pending_since_s``: a signal that waits for an import.
    """

    has_begun = is_running = False
    stopped_by: "int | None" = None
    stopped_s = 0.0
    pending: "int | None" = None
    pending_since_s: "float | None" = None


def install() -> None:
    """Handle these signals from here on, unless the parent had them ignored (as ``nohup`` and ``&`` in scripts do)."""
    for number in SIGNALS:
        if getsignal(number) != SIG_IGN:
            signal(number, _handle)
    sys.unraisablehook = _resend_if_lost


class CommandRun:
    """The time during which signals are raised; whatever a library turns one into, it leaves as what it was."""

    def __enter__(self) -> None:
        _State.has_begun = _State.is_running = True

    def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "Any") -> None:
        _State.is_running = False
        if _State.pending is not None and _State.stopped_by is None:  # the command ended first
            _State.stopped_by = _State.pending
            raise _make_exception(_State.pending) from None
        if _State.stopped_by is not None and kind is not None and not issubclass(kind, (KeyboardInterrupt, SystemExit)):
            raise _make_exception(_State.stopped_by) from None


def exit_process(code: int) -> "NoReturn":
    """Leave the program: in order, or at once if it was stopped, for other threads may go on for long."""
    if _State.stopped_by is None:
        sys.exit(code)
    import atexit

    atexit._run_exitfuncs()
    os._exit(code)


def _handle(number: int, frame: "Any") -> None:
    now = time.monotonic()
    if _State.is_running and _State.stopped_by is None:
        if not _is_in_fragile_import(frame):
            _State.stopped_by, _State.stopped_s, _State.pending = number, now, None
            raise _make_exception(number)
        _State.pending, _State.pending_since_s = number, _State.pending_since_s or now
        if now - _State.pending_since_s < IMPORT_S:
            _resend(number)
            return
    if _State.stopped_by is not None and (number != SIGINT or now - _State.stopped_s < REPEATED_S):
        return  # what is half-written is being removed
    if number == SIGINT and _State.stopped_by is None:
        _write(2, LINE)
        if (_State.is_running or not _State.has_begun) and "--json" in sys.argv:
            _write(1, DOCUMENT)
    os._exit(128 + number)


def _make_exception(number: int) -> BaseException:
    return KeyboardInterrupt() if number == SIGINT else SystemExit(128 + number)


def _resend_if_lost(lost: "Any") -> None:
    """Send a signal again that Python could not raise, as in a destructor; report other errors as ever."""
    if _State.stopped_by is None or not issubclass(lost.exc_type, (KeyboardInterrupt, SystemExit)):
        sys.__unraisablehook__(lost)
        return
    number, _State.stopped_by = _State.stopped_by, None
    _resend(number)


def _is_in_fragile_import(frame: "Any") -> bool:
    while frame is not None:
        if (
            frame.f_code.co_name == "<module>"
            and str(frame.f_globals.get("__name__")).partition(".")[0] == FRAGILE_MODULE
        ):
            return True
        frame = frame.f_back
    return False


def _resend(number: int) -> None:
    import threading

    timer = threading.Timer(RESEND_S, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()


def _write(descriptor: int, line: bytes) -> None:
    try:
        os.write(descriptor, line)
    except OSError:  # nobody reads it
        return
