"""How much memory a job may take, and what is kept on disk where that is too little. No torch, no arrays."""

import contextlib
import errno
import mmap
import os
import tempfile
from pathlib import Path

from saint_cli.errors import UsageError

GB = 1_000_000_000

BEYOND_BYTES = 1_500_000_000
"""What a job takes beyond its input and its output at most, unless the user allows more or less."""

WORK_BYTES = 700_000_000
"""Interpreter, torch, weights, and the activations of one batch of the larger model on a CPU."""

NETWORK_BYTES_PER_VOXEL = 4

ZEROS_BYTES = 4_000_000
"""Zeros written at once where a file's blocks cannot be had otherwise."""

CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Limit and use of the containing cgroup, versions 2 and 1."""


def available_bytes() -> int | None:
    """Free memory of this machine or of the cgroup that holds the process, the lesser; None where nobody tells."""
    free = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    for limit, used in CGROUPS:
        with contextlib.suppress(OSError, ValueError):  # "max" is no number, and no limit
            free.append(int(Path(limit).read_text(encoding="ascii")) - int(Path(used).read_text(encoding="ascii")))
    return max(0, min(free)) if free else None


def residual_bytes(read_bytes: int, read_voxels: int, written_bytes: int, allowed: int | None) -> int:
    """How much of the networks' residuals may be held in memory; the rest goes to temporary files.

    read_bytes, read_voxels: the input, which is in memory already; allowed: ``--max-memory``, or None.

    Raises:
        UsageError: more is needed than is allowed, or than the machine has.
    """
    network = NETWORK_BYTES_PER_VOXEL * read_voxels
    needed = read_bytes + written_bytes + network + WORK_BYTES
    parts = (
        f"{_gb(needed)} (input {_gb(read_bytes)}, output {_gb(written_bytes)}, what the networks see {_gb(network)}, "
        f"networks at work {_gb(WORK_BYTES)})"
    )
    if allowed is not None and allowed < needed:
        raise UsageError(f"--max-memory {_gb(allowed)} is too little for this scan, which needs about {parts}")
    free = available_bytes()
    if free is not None and free + read_bytes < needed:
        raise UsageError(
            f"this scan needs about {parts}, and {_gb(free)} are free here; try a smaller --factor, or a larger machine"
        )
    limit = read_bytes + written_bytes + BEYOND_BYTES if allowed is None else allowed
    return max(0, min(limit, limit if free is None else free + read_bytes) - needed)


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
