"""How much memory a job may use, and scratch files for what exceeds it. No torch, no arrays."""

import contextlib
import ctypes
import errno
import mmap
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from saint_cli.errors import UsageError
from saint_cli.runtime import control_groups

GB = 1_000_000_000

DEFAULT_EXTRA_BYTES = 1_500_000_000
"""The most that a job uses beyond input and output, unless the user sets a limit."""

PROCESS_BYTES = 300_000_000
"""Interpreter, torch, readers and weights, in memory before a job's needs are counted."""

NETWORK_BYTES_PER_VOXEL = 4

ROUNDING_MARGIN = 1.005
"""So that a need shown with three digits is never less than the need."""

ZEROS_BYTES = 4_000_000
"""Zeros written at once where a file's blocks cannot be reserved otherwise."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's malloc.h."""

MAX_KEPT_BLOCK_BYTES = 1 << 25
"""Larger blocks go back to the system at once; the most that glibc allows."""

MAX_KEPT_BYTES = 1 << 28
"""The most that may remain free at the end of the heap."""

CGROUP_FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""Limit and use of a group by version, and the line of ``memory.stat`` with the cached files that can be dropped."""


def measure_available_bytes() -> int | None:
    """Free memory of this machine or of the tightest control group around the process; None where neither is known."""
    free = list(_read_group_headroom())
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    return max(0, min(free)) if free else None


def _read_group_headroom() -> Iterator[int]:
    """Limit less use of each group that holds the process, from its own to the root."""
    for group, version in control_groups.find_groups("memory", ("memory",)):
        with contextlib.suppress(OSError, ValueError, StopIteration):  # "max" is no number, and no limit
            yield _read_headroom(group, *CGROUP_FILES[version])


def _read_headroom(group: Path, limit: str, used: str, cached: str) -> int:
    """Limit less use, where files that are cached but could be dropped count as free."""
    stat = (group / "memory.stat").read_text(encoding="ascii").splitlines() if (group / "memory.stat").exists() else []
    droppable = next((int(line.split()[1]) for line in stat if line.startswith(f"{cached} ")), 0)
    bounds = [int((group / name).read_text(encoding="ascii")) for name in (limit, used)]
    return bounds[0] - max(0, bounds[1] - droppable)


def plan_residual_bytes(
    read_bytes: int, read_voxels: int, written_bytes: int, work_bytes: int, allowed: int | None = None
) -> int:
    """The most of the networks' residuals to keep in memory; the rest goes to temporary files.

    read_bytes, read_voxels: the input, which is in memory already; work_bytes: what the networks need;
    allowed: ``--max-memory``, or None.

    Raises:
        UsageError: more is needed than is allowed, or than the machine has.
    """
    network = NETWORK_BYTES_PER_VOXEL * read_voxels
    needed = read_bytes + written_bytes + network + work_bytes
    shares = {"input": read_bytes, "output": written_bytes, "network input": network, "networks at work": work_bytes}
    details = ", ".join(f"{name} {_format_bytes(size)}" for name, size in shares.items())
    need = f"{_format_bytes(ROUNDING_MARGIN * needed)} ({details})"
    if allowed is not None and allowed < needed:
        given = _format_bytes(allowed)
        raise UsageError(f"`max_memory={given}` is too little for this scan, which needs about {need}; allow that much")
    free, held = measure_available_bytes(), read_bytes + PROCESS_BYTES
    if free is not None and free + held < needed:
        raise UsageError(
            f"this scan needs about {need}, but {_format_bytes(free)} are free here; try a smaller `factor`, or a "
            "larger machine"
        )
    limit = read_bytes + written_bytes + DEFAULT_EXTRA_BYTES if allowed is None else allowed
    return max(0, min(limit, limit if free is None else free + held) - needed)


def check_voxels_fit(path: Path | str, size: int, allowed: int | None) -> None:
    """Refuse voxels of ``size`` bytes before they are read or made; ``allowed``: ``--max-memory``, or None.

    path: of their file, or another name of them.

    Raises:
        UsageError: they take more than is allowed, or than is free.
    """
    need = f"{path}: its voxels alone need {_format_bytes(size)}"
    if allowed is not None and allowed < size:
        raise UsageError(f"{need}, and {_format_bytes(allowed)} of memory are allowed; allow more")
    free = measure_available_bytes()
    if free is not None and free < size:
        raise UsageError(f"{need}, but {_format_bytes(free)} are free here")


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next allocation; no effect with other C libraries.

    Networks free and allocate the same few megabytes hundreds of times a second. By default glibc returns them to the
    system in between; mapping their pages again took half of the system time, a twentieth of all, with ``fast``.
    """
    if (library := _load_glibc()) is not None:
        library.mallopt(M_MMAP_THRESHOLD, MAX_KEPT_BLOCK_BYTES)
        library.mallopt(M_TRIM_THRESHOLD, MAX_KEPT_BYTES)


def trim_memory() -> None:
    """Let glibc return memory that is free between blocks in use; no effect with other C libraries.

    Planes cut to the body differ in length, and a freed block seldom fits the next plane: without this, gaps grew to
    0.7 GB in a scan of 512 x 512 x 200.
    """
    if (library := _load_glibc()) is not None:
        library.malloc_trim(0)


def _load_glibc() -> ctypes.CDLL | None:
    with contextlib.suppress(OSError):
        library = ctypes.CDLL("libc.so.6") if sys.platform == "linux" else None
        return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
    return None


def check_temporary_folder() -> str | None:
    """A warning where ``TMPDIR`` is a folder that cannot be written, so that another is used; else None.

    Raises:
        UsageError: no folder for temporary files can be written.
    """
    try:
        used = tempfile.gettempdir()
    except OSError:
        raise UsageError("no folder for temporary files can be written; name one in TMPDIR") from None
    wanted = os.environ.get("TMPDIR")
    if not wanted or Path(wanted).absolute() == Path(used).absolute() or os.access(wanted, os.W_OK | os.X_OK):
        return None
    return f"TMPDIR {wanted} cannot be written; temporary files go to {used}"


def map_scratch_file(size: int) -> mmap.mmap:
    """``size`` bytes of zeros in a nameless file in the folder for temporary files, which vanishes when unmapped.

    The disk's blocks are reserved at once: a full disk later would kill the process. Where that folder is a tmpfs, as
    /tmp may be, the file itself is memory: set TMPDIR to a folder on a disk.

    Raises:
        UsageError: too little space in that folder.
    """
    try:
        with tempfile.TemporaryFile(prefix="saint-") as file:
            _allocate(file.fileno(), size)
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise UsageError(
            f"{tempfile.gettempdir()}: no space for {_format_bytes(size)} of intermediate results ({error.strerror}); "
            "name another folder in TMPDIR, or allow more by `max_memory`"
        ) from None


def _allocate(file: int, size: int) -> None:
    """Extend an empty file to ``size`` bytes of zeros whose blocks are reserved."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file, 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # of file systems that cannot do it
                raise
    zeros = bytes(min(size, ZEROS_BYTES))
    while size > 0:
        size -= os.write(file, zeros[:size])


def _format_bytes(size: float) -> str:
    return f"{size / GB:.2f} GB" if size >= GB else f"{size / 1e6:.3g} MB"
