"""The Linux control groups around this process, whose limits are tighter than the machine's."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

OWN_GROUPS_FILE = Path("/proc/self/cgroup")
"""Lists the control groups of this process: ``0::/PATH``, or ``4:memory:/PATH`` of version 1."""

GROUPS_FOLDER = Path("/sys/fs/cgroup")
"""Where control groups are mounted; those of version 1 in a folder for each controller."""


def find_groups(controller: str, folders: tuple[str, ...]) -> Iterator[tuple[Path, int]]:
    """Folder and version (1 or 2) of each group that holds the process, from its own to the root.

    controller: ``cpu`` or ``memory``; folders: where those of version 1 are mounted. A folder need not exist.
    """
    try:
        lines = OWN_GROUPS_FILE.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        own = PurePosixPath("/", path).relative_to("/")
        for group in (own, *own.parents):  # a container may see its own group as the root, and its path not at all
            for root in [GROUPS_FOLDER / folder for folder in folders] if controllers else [GROUPS_FOLDER]:
                yield root / group, 1 if controllers else 2
