"""A mark in the name of a temporary file for the process that made it, and whether that process still runs.

``HOST-PID-START-BOOT-SPACE``: hashes of the machine, the boot and the PID namespace, and the start of the process, so
that a reused PID, or another container or machine that shares the folder, is not mistaken for it.
"""

import hashlib
import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path

MARK_PATTERN = r"[0-9a-f]{8}-[0-9]{1,10}-[0-9]{1,20}-[0-9a-f]{8}-[0-9a-f]{8}"
"""A regular expression that matches marks."""

PROC = Path("/proc")

MACHINE_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")
"""Linux's identity of a machine, which two machines of one name do not share."""


def own_mark() -> str:
    """The mark of this process."""
    pid = os.getpid()
    return f"{_host()}-{pid}-{_read_start(pid) or 0}-{_boot()}-{_space()}"


def is_gone(mark: str) -> bool:
    """Whether the process of a mark has certainly ended; False for other machines and containers."""
    host, pid, start, boot, space = mark.split("-")
    if host != _host():
        return False
    if boot != _boot():
        return True
    return space == _space() and not _is_running(int(pid), int(start))


def _is_running(pid: int, start: int) -> bool:
    """Whether the process with this PID and start runs; True where that cannot be determined."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    actual = _read_start(pid)
    return actual is None or start in (actual, 0)


def _read_start(pid: int) -> int | None:
    """Start of a process in units of the system; -1 if it is dead but still listed, None if unknown."""
    if not (PROC / "self" / "stat").exists():
        return _read_start_without_proc(pid)
    try:
        words = (PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()  # a name may contain blanks
    except OSError:
        return None
    if len(words) < 20:
        return None
    return -1 if words[0] in (b"Z", b"X") else int(words[19])


def _read_start_without_proc(pid: int) -> int | None:
    """The same where there is no /proc."""
    import psutil

    with suppress(psutil.Error):
        return int(psutil.Process(pid).create_time() * 1000)
    return None


def _host() -> str:
    return _hash("\n".join([platform.node(), *(_text(file) for file in MACHINE_FILES)]))


def _boot() -> str:
    return _hash(_text("/proc/sys/kernel/random/boot_id"))


def _space() -> str:
    """A hash of the PID namespace, which differs between a container and its machine."""
    with suppress(OSError):
        return _hash(os.readlink(PROC / "self/ns/pid"))  # noqa: PTH115  (no path, but a name)
    return _hash("")


@cache
def _text(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    return ""


def _hash(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]
