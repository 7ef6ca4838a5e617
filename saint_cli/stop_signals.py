"""Ctrl-C, SIGTERM and SIGHUP, from the first moment of the program to its last; imports nothing that takes time.

While a command runs they are raised, as KeyboardInterrupt and SystemExit, so that what is half-written is removed on
the way out. Before and after there is nothing to remove: the process ends at once, for an exception amid an import may
be lost, or come out as another one.
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

NUMBERS = tuple(getattr(_signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(_signal, name))
"""Windows has no SIGHUP, which closed terminals send."""

INTERRUPTED = 128 + SIGINT
"""Exit code of a command stopped by Ctrl-C, as shells report it."""

MESSAGE = "interrupted"

LINE = f"saint: {MESSAGE}\n".encode()

DOCUMENT = (
    f'{{\n  "error": "{MESSAGE}",\n  "error_class": "KeyboardInterrupt",\n  "exit_code": {INTERRUPTED}\n}}\n'.encode()
)
"""What ``--json`` prints of it."""

REPEATED_S = 2.0
"""Terminals and programs that start others may both send Ctrl-C; later, the user does, and will not wait."""

AGAIN_S = 0.05
"""After so long what was lost, or came amid the import of ``FRAGILE``, is raised again."""

FRAGILE = "torch"
"""Its C++ runs Python while it is imported, and aborts the process over an exception."""

IMPORT_S = 1.0
"""So long that import may go on before the process ends amid it."""


class _State:
    """Whether a command has begun, and whether it runs; the signal that stopped it, and when; one that waits for an
    import, and since when.
    """

    begun = running = False
    number: "int | None" = None
    time_s = 0.0
    waiting: "int | None" = None
    waits_since_s: "float | None" = None


def install() -> None:
    """Answer these signals from here on, unless the parent had them ignored (as ``nohup`` and ``&`` in scripts do)."""
    for number in NUMBERS:
        if getsignal(number) != SIG_IGN:
            signal(number, _answer)
    sys.unraisablehook = _raise_again


class CommandRun:
    """The time in which signals are raised. Whatever a library makes of one, it leaves as what it was."""

    def __enter__(self) -> None:
        _State.begun = _State.running = True

    def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "Any") -> None:
        _State.running = False
        if _State.waiting is not None and _State.number is None:  # the command came to its end first
            _State.number = _State.waiting
            raise _error(_State.waiting) from None
        if _State.number is not None and kind is not None and not issubclass(kind, (KeyboardInterrupt, SystemExit)):
            raise _error(_State.number) from None


def end(code: int) -> "NoReturn":
    """Leave the program: in order, or at once if it was stopped, for what other threads still do may take long."""
    if _State.number is None:
        sys.exit(code)
    import atexit

    atexit._run_exitfuncs()
    os._exit(code)


def _answer(number: int, frame: "Any") -> None:
    now = time.monotonic()
    if _State.running and _State.number is None:
        if not _is_fragile(frame):
            _State.number, _State.time_s, _State.waiting = number, now, None
            raise _error(number)
        _State.waiting, _State.waits_since_s = number, _State.waits_since_s or now
        if now - _State.waits_since_s < IMPORT_S:
            _send_again(number)
            return
    if _State.number is not None and (number != SIGINT or now - _State.time_s < REPEATED_S):
        return  # what is half-written is being removed
    if number == SIGINT and _State.number is None:
        _write(2, LINE)
        if (_State.running or not _State.begun) and "--json" in sys.argv:
            _write(1, DOCUMENT)
    os._exit(128 + number)


def _error(number: int) -> BaseException:
    return KeyboardInterrupt() if number == SIGINT else SystemExit(128 + number)


def _raise_again(lost: "Any") -> None:
    """What Python cannot raise, as amid a destructor, is told as ever; but a signal comes once more."""
    if _State.number is None or not issubclass(lost.exc_type, (KeyboardInterrupt, SystemExit)):
        sys.__unraisablehook__(lost)
        return
    number, _State.number = _State.number, None
    _send_again(number)


def _is_fragile(frame: "Any") -> bool:
    while frame is not None:
        if frame.f_code.co_name == "<module>" and str(frame.f_globals.get("__name__")).partition(".")[0] == FRAGILE:
            return True
        frame = frame.f_back
    return False


def _send_again(number: int) -> None:
    import threading

    timer = threading.Timer(AGAIN_S, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()


def _write(descriptor: int, line: bytes) -> None:
    try:
        os.write(descriptor, line)
    except OSError:  # nobody reads it
        return
