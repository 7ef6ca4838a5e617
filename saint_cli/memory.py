"""How much memory a job may take, and what is kept on disk where that is too little. No torch, no arrays."""

import contextlib
import ctypes
import errno
import mmap
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from saint_cli import control_groups
from saint_cli.errors import UsageError

GB = 1_000_000_000

BEYOND_BYTES = 1_500_000_000
"""What a job is to take beyond its input and its output at most, unless the user allows more or less."""

PROCESS_BYTES = 300_000_000
"""Interpreter, torch, readers and weights, all in memory before a job's needs are counted."""

NETWORK_BYTES_PER_VOXEL = 4

ROUNDED_UP = 1.005
"""So that three digits of what a job needs are never less than that."""

ZEROS_BYTES = 4_000_000
"""Zeros written at once where a file's blocks cannot be had otherwise."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's malloc.h."""

KEPT_BLOCK_BYTES = 1 << 25
"""Larger blocks go back to the system at once; the most that glibc allows."""

KEPT_BYTES = 1 << 28
"""What may lie free at the end of the heap."""

CGROUP_FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""Limit and use of a group by version, and the line of ``memory.stat`` that tells of cached files it can give up."""


def available_bytes() -> int | None:
    """Free memory of this machine or of the tightest control group around the process; None where nobody tells."""
    free = list(_free_of_cgroups())
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    return max(0, min(free)) if free else None


def _free_of_cgroups() -> Iterator[int]:
    """What each group that holds the process, from its own to the root, leaves of its limit."""
    for group, version in control_groups.find_groups("memory", ("memory",)):
        with contextlib.suppress(OSError, ValueError, StopIteration):  # "max" is no number, and no limit
            yield _free_of(group, *CGROUP_FILES[version])


def _free_of(group: Path, limit: str, used: str, cached: str) -> int:
    """Limit less use, where files that are cached but could be dropped count as free."""
    stat = (group / "memory.stat").read_text(encoding="ascii").splitlines() if (group / "memory.stat").exists() else []
    droppable = next((int(line.split()[1]) for line in stat if line.startswith(f"{cached} ")), 0)
    bounds = [int((group / name).read_text(encoding="ascii")) for name in (limit, used)]
    return bounds[0] - max(0, bounds[1] - droppable)


def residual_bytes(
    read_bytes: int, read_voxels: int, written_bytes: int, work_bytes: int, allowed: int | None = None
) -> int:
    """How much of the networks' residuals may be held in memory; the rest goes to temporary files.

    read_bytes, read_voxels: the input, which is in memory already; work_bytes: what the networks take (``footprint``);
    allowed: ``--max-memory``, or None.

    Raises:
        UsageError: more is needed than is allowed, or than the machine has.
    """
    network = NETWORK_BYTES_PER_VOXEL * read_voxels
    needed = read_bytes + written_bytes + network + work_bytes
    parts = (
        f"{_gb(ROUNDED_UP * needed)} (input {_gb(read_bytes)}, output {_gb(written_bytes)}, "
        f"what the networks see {_gb(network)}, networks at work {_gb(work_bytes)})"
    )
    if allowed is not None and allowed < needed:
        raise UsageError(
            f"--max-memory {_gb(allowed)} is too little for this scan, which needs about {parts}; allow that much"
        )
    free, held = available_bytes(), read_bytes + PROCESS_BYTES
    if free is not None and free + held < needed:
        raise UsageError(
            f"this scan needs about {parts}, and {_gb(free)} are free here; try a smaller --factor, or a larger machine"
        )
    limit = read_bytes + written_bytes + BEYOND_BYTES if allowed is None else allowed
    return max(0, min(limit, limit if free is None else free + held) - needed)


def check_voxels(path: Path, size: int, allowed: int | None = None) -> None:
    """Refuse voxels of ``size`` bytes before they are read; ``allowed``: ``--max-memory``, or None.

    Raises:
        UsageError: they take more than is allowed, or than is free.
    """
    if allowed is not None and allowed < size:
        raise UsageError(
            f"{path}: its voxels alone take {_gb(size)}, and {_gb(allowed)} of memory are allowed; allow more"
        )
    free = available_bytes()
    if free is not None and free < size:
        raise UsageError(f"{path}: its voxels alone take {_gb(size)}, and {_gb(free)} are free here")


def keep_freed() -> None:
    """Have the C library keep what was freed for the next allocation, where it is glibc; elsewhere do nothing.

    Networks free and allocate the same few megabytes hundreds of times a second. By default glibc returns them to the
    system in between; getting their pages anew took half of the system's time, a twentieth of all, with ``fast``.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK_BYTES)
        library.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def trim() -> None:
    """Have the C library give back what lies free between blocks in use, where it is glibc; elsewhere do nothing.

    Planes cut to the patient differ in length, and what the networks free of one seldom fits the next: without this,
    gaps grew to 0.7 GB in a scan of 512 x 512 x 200.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def check_temporary_folder() -> str | None:
    """A sentence where ``TMPDIR`` names a folder that cannot be written, so that another is used; else None.

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


def scratch(size: int) -> mmap.mmap:
    """``size`` bytes of zeros in a file without a name in the folder for temporary files, gone with the last user.

    The disk's blocks are taken at once, for a mapped file that finds the disk full later kills the process. Where that
    folder is a tmpfs, as /tmp may be, the file itself is memory: set TMPDIR to a folder on a disk.

    Raises:
        UsageError: that folder cannot take them.
    """
    try:
        with tempfile.TemporaryFile(prefix="saint-") as file:
            _allocate(file.fileno(), size)
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise UsageError(
            f"{tempfile.gettempdir()}: no room for {_gb(size)} of intermediate results ({error.strerror}); "
            "name another folder in TMPDIR, or allow more by --max-memory"
        ) from None


def _allocate(file: int, size: int) -> None:
    """Make an empty file ``size`` bytes of zeros, with blocks of its own."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file, 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # what file systems say that cannot do it
                raise
    zeros = bytes(min(size, ZEROS_BYTES))
    while size > 0:
        size -= os.write(file, zeros[:size])


def _gb(size: float) -> str:
    return f"{size / GB:.2f} GB" if size >= GB else f"{size / 1e6:.3g} MB"
