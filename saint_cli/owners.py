"""Which process made a temporary file, told by a mark in its name, and whether that process still runs.

``HOST-PID-START-BOOT-SPACE``: hashes of the machine, the boot and the space of process numbers, and when the process
started, so that neither a number that was given again nor a container or machine that shares the folder is mistaken.
"""

import hashlib
import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path

MARK = r"[0-9a-f]{8}-[0-9]{1,10}-[0-9]{1,20}-[0-9a-f]{8}-[0-9a-f]{8}"
"""A regular expression of marks."""

PROC = Path("/proc")

MACHINE_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")
"""Where Linux keeps what tells machines of one name apart."""


def own_mark() -> str:
    """The mark of this process."""
    pid = os.getpid()
    return f"{_host()}-{pid}-{_start_of(pid) or 0}-{_boot()}-{_space()}"


def is_gone(mark: str) -> bool:
    """Whether the process of a mark certainly runs no more; of other machines and containers that cannot be known."""
    host, pid, start, boot, space = mark.split("-")
    if host != _host():
        return False
    if boot != _boot():
        return True
    return space == _space() and not _runs(int(pid), int(start))


def _runs(pid: int, start: int) -> bool:
    """Whether a process of this number runs that started then; yes where that cannot be asked."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    found = _start_of(pid)
    return found is None or start in (found, 0)


def _start_of(pid: int) -> int | None:
    """When a process started, in a unit of the system's; -1 of one that is dead but still listed, None if not told."""
    if not (PROC / "self" / "stat").exists():
        return _start_elsewhere(pid)
    try:
        words = (PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()  # a name may hold blanks
    except OSError:
        return None
    if len(words) < 20:
        return None
    return -1 if words[0] in (b"Z", b"X") else int(words[19])


def _start_elsewhere(pid: int) -> int | None:
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
    """What tells the process numbers of a container from those of its machine."""
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
