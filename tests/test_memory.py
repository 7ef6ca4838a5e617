import errno
import os
from pathlib import Path

import pytest
import torch

from saint_cli import memory, residuals
from saint_cli.cli import words
from saint_cli.errors import UsageError

MB = 1_000_000
CPU = torch.device("cpu")


def test_a_job_that_needs_more_than_is_allowed_is_refused_with_the_numbers() -> None:
    with pytest.raises(UsageError, match=r"--max-memory 1\.00 GB .* about 1\.43 GB \(input 105 MB, output 418 MB"):
        memory.residual_bytes(105 * MB, 52 * MB, 418 * MB, 1000 * MB)


def test_a_job_that_needs_more_than_the_machine_has_is_refused_with_the_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 600 * MB)
    with pytest.raises(UsageError, match=r"1\.43 GB .*600 MB are free"):
        memory.residual_bytes(105 * MB, 52 * MB, 418 * MB, None)


@pytest.mark.parametrize(("allowed", "held"), [(None, 592), (2000, 569), (1500, 69), (9000, 7569)])
def test_what_is_allowed_and_not_needed_is_for_the_residuals(
    allowed: int | None, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    found = memory.residual_bytes(105 * MB, 52 * MB, 418 * MB, None if allowed is None else allowed * MB)
    assert found // MB == held


def test_a_cgroup_with_less_than_the_machine_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, used = tmp_path / "max", tmp_path / "current"
    limit.write_text("5000000\n")
    used.write_text("2000000\n")
    monkeypatch.setattr(memory, "CGROUPS", ((str(limit), str(used)),))
    assert memory.available_bytes() == 3_000_000
    limit.write_text("max\n")
    unlimited = memory.available_bytes()
    assert unlimited is None or unlimited > 3_000_000


@pytest.mark.parametrize("y_first", [False, True])
def test_residuals_in_a_file_are_those_in_memory(y_first: bool) -> None:
    shape = (3, 5, 7)
    held, filed = (residuals.zeros(shape, CPU, allowed, y_first=y_first) for allowed in (3 * 2 * 105, 3 * 2 * 105 - 1))
    assert held.file is None
    assert filed.file is not None
    for volume in (held, filed):
        assert volume.values.shape == shape
        volume.values[1, 2] += 3
        volume.settle()
        volume.values[:, :, 4] += 1
        volume.settle()
    assert torch.equal(held.values, filed.values)
    assert float(filed.values[1, 2, 4]) == 4


@pytest.mark.parametrize("call", ["posix_fallocate", "write"])
def test_a_full_disk_is_told_before_anything_is_computed(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "write":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    monkeypatch.setattr(os, call, full, raising=False)
    with pytest.raises(UsageError, match=r"no room for 3\.00 GB .*No space left .*TMPDIR"):
        memory.scratch(3000 * MB)


@pytest.mark.parametrize("cannot", [None, errno.EOPNOTSUPP, "absent"])
def test_a_scratch_file_has_blocks_for_all_its_zeros(cannot: int | str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(*_: object) -> None:
        raise OSError(cannot, "not supported")

    if cannot == "absent":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    elif cannot is not None:
        monkeypatch.setattr(os, "posix_fallocate", unable, raising=False)
    monkeypatch.setattr(memory, "ZEROS_BYTES", 1000)
    taken: list[int] = []
    kept = memory.mmap.mmap

    def mapped(file: int, size: int) -> object:
        taken.append(512 * os.fstat(file).st_blocks)
        return kept(file, size)

    monkeypatch.setattr(memory.mmap, "mmap", mapped)
    assert memory.scratch(100_001)[:] == bytes(100_001)
    assert taken[0] >= 100_001


@pytest.mark.parametrize(
    ("word", "size"), [("4GB", 4e9), ("1.5g", 1.5e9), ("800MB", 8e8), ("64 M", 6.4e7), (None, None)]
)
def test_amounts_of_memory_are_read(word: str | None, size: float | None) -> None:
    assert words.memory(word) == size


@pytest.mark.parametrize("word", ["", "4", "GB", "-1GB", "four GB", "1.2.3GB"])
def test_what_is_no_amount_of_memory_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="--max-memory"):
        words.memory(word)
