"""The volumes into which a folder of slices falls, for tests."""

from pathlib import Path

from saint_cli.io import describe, read_volume


def volumes(folder: Path, **options: object) -> list[list[int]]:
    """The stored values of every usable volume's slices, in order."""
    found = []
    for stack in describe(folder, **options).stacks:
        if stack.problem is None:
            voxels = read_volume(folder, series=str(stack.number), **options).voxels
            found.append([int(v) + 1024 for v in voxels[0, 0]])
    return sorted(found)


def values(start: int, count: int) -> list[int]:
    return list(range(start, start + count))


LONG = [5.0 * k for k in range(12)]
