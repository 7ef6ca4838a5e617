import errno
import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from saint_cli.errors import UsageError
from saint_cli.method import residuals
from saint_cli.options.values import parse_memory
from saint_cli.runtime import control_groups, memory
from saint_cli.runtime.device_selection import Compute

MB = 1_000_000
CPU = Compute(torch.device("cpu"), torch.float32)


def test_a_job_that_needs_more_than_is_allowed_is_refused_with_the_numbers() -> None:
    with pytest.raises(UsageError, match=r"`max_memory=1\.00 GB` .* about 1\.44 GB \(input 105 MB, output 418 MB"):
        memory.plan_residual_bytes(105 * MB, 52 * MB, 418 * MB, 700 * MB, 1000 * MB)


def test_a_job_that_needs_more_than_the_machine_has_is_refused_with_the_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "measure_available_bytes", lambda: 600 * MB)
    with pytest.raises(UsageError, match=r"1\.44 GB .*600 MB are free"):
        memory.plan_residual_bytes(105 * MB, 52 * MB, 418 * MB, 700 * MB)


@pytest.mark.parametrize(("allowed", "held"), [(None, 592), (2000, 569), (1500, 69), (9000, 7569)])
def test_what_is_allowed_and_not_needed_is_for_the_residuals(
    allowed: int | None, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "measure_available_bytes", lambda: None)
    found = memory.plan_residual_bytes(105 * MB, 52 * MB, 418 * MB, 700 * MB, None if allowed is None else allowed * MB)
    assert found // MB == held


NAMES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def group(folder: Path, version: int, limit: object, used: int, cached: int | None = None) -> None:
    """A control group as the kernel shows it."""
    folder.mkdir(parents=True, exist_ok=True)
    names = NAMES[version]
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    if cached is not None:
        (folder / "memory.stat").write_text(f"anon 7\ninactive_anon 9\n{names[2]} {cached}\nactive_file 1\n")


@pytest.fixture(params=[1, 2], ids=["version 1", "version 2"])
def cgroups(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, int]:
    """Root of the groups that limit memory, of a process in ``/job/step``, and their version."""
    version = int(request.param)
    own = tmp_path / "cgroup"
    own.write_text({1: "9:cpu,cpuacct:/elsewhere\n4:hugetlb,memory:/job/step\n0::/\n", 2: "0::/job/step\n"}[version])
    monkeypatch.setattr(control_groups, "OWN_GROUPS_FILE", own)
    monkeypatch.setattr(control_groups, "GROUPS_FOLDER", tmp_path / "fs")
    return (tmp_path / "fs" / "memory" if version == 1 else tmp_path / "fs"), version


@pytest.mark.parametrize("tight", ["", "job", "job/step"])
def test_the_tightest_of_all_groups_around_the_process_counts(cgroups: tuple[Path, int], tight: str) -> None:
    root, version = cgroups
    for place in ("job/step", "job", ""):
        limit = 5_000_000 if place == tight else {1: 9223372036854771712, 2: "max"}[version]
        group(root / place, version, limit, 2_000_000)
    assert memory.measure_available_bytes() == 3_000_000


def test_cached_files_that_can_be_dropped_are_free(cgroups: tuple[Path, int]) -> None:
    root, version = cgroups
    group(root / "job" / "step", version, 5_000_000, 4_900_000, 4_000_000)
    assert memory.measure_available_bytes() == 4_100_000
    group(root / "job" / "step", version, 5_000_000, 6_000_000, 0)
    assert memory.measure_available_bytes() == 0


def test_a_container_that_sees_its_group_as_the_root_is_limited_by_it(cgroups: tuple[Path, int]) -> None:
    root, version = cgroups
    group(root, version, 5_000_000, 2_000_000, 500_000)
    assert memory.measure_available_bytes() == 3_500_000


def test_groups_of_other_processes_and_without_a_limit_do_not_count(cgroups: tuple[Path, int]) -> None:
    root, version = cgroups
    group(root / "other", version, 1_000, 0)
    group(root / "job" / "step", version, "max", 2_000_000)
    free = memory.measure_available_bytes()
    assert free is None or free > 5_000_000


@pytest.mark.parametrize("y_first", [False, True])
def test_residuals_in_a_file_are_those_in_memory(y_first: bool) -> None:
    shape = (3, 5, 7)
    held, filed = (
        residuals.allocate_residuals(shape, replace(CPU, residual_bytes=size), y_first=y_first)
        for size in (3 * 2 * 105, 3 * 2 * 105 - 1)
    )
    assert held.file is None
    assert filed.file is not None
    for volume in (held, filed):
        assert volume.values.shape == shape
        volume.values[1, 2] += 3
        volume.release_memory()
        volume.values[:, :, 4] += 1
        volume.release_memory()
    assert torch.equal(held.values, filed.values)
    assert float(filed.values[1, 2, 4]) == 4


@pytest.mark.parametrize("call", ["posix_fallocate", "write"])
def test_a_full_disk_is_reported_before_anything_is_computed(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "write":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    monkeypatch.setattr(os, call, full, raising=False)
    with pytest.raises(UsageError, match=r"no space for 3\.00 GB .*No space left .*TMPDIR"):
        memory.map_scratch_file(3000 * MB)


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
    assert memory.map_scratch_file(100_001)[:] == bytes(100_001)
    assert taken[0] >= 100_001


@pytest.mark.parametrize(
    ("word", "size"), [("4GB", 4e9), ("1.5g", 1.5e9), ("800MB", 8e8), ("64 M", 6.4e7), ("1TB", 1e12)]
)
def test_amounts_of_memory_are_read(word: str, size: float) -> None:
    assert parse_memory(word) == size


@pytest.mark.parametrize("word", ["", "4", "GB", "-1GB", "four GB", "1.2.3GB"])
def test_what_is_no_amount_of_memory_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match=r"max.memory"):
        parse_memory(word)


FAULTS = """
import resource, sys, torch
from saint_cli.runtime import memory
if sys.argv[1] == "kept":
    memory.keep_freed_memory()
def work():  # many blocks at a time, each far smaller than all of them
    return [torch.ones(250_000) for _ in range(30)]
for _ in range(3):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such choice")
def test_freed_memory_is_taken_again_without_asking_the_system() -> None:
    returning = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}  # what glibc starts with, and may leave by itself
    kept, returned = (
        int(subprocess.check_output([sys.executable, "-c", FAULTS, word], env=returning))
        for word in ("kept", "returned")
    )
    assert 10 * kept < returned


GAPS = """
import torch
from saint_cli.runtime import memory
def resident_mb():
    return next(int(line.split()[1]) / 1e3 for line in open("/proc/self/status") if line.startswith("VmRSS:"))
memory.keep_freed_memory()
blocks = [torch.ones(25_000) for _ in range(2000)]  # 200 MB
del blocks[::2]
before = resident_mb()
memory.trim_memory()
print(before - resident_mb())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such choice")
def test_memory_between_blocks_in_use_is_given_back() -> None:
    assert 80 < float(subprocess.check_output([sys.executable, "-c", GAPS])) < 120


@pytest.mark.parametrize("work", [420_440_000, 1_004_900_000, 999_600_000, 100_400_000])
def test_the_amount_that_a_refusal_names_is_accepted(work: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "measure_available_bytes", lambda: None)
    with pytest.raises(UsageError) as refused:
        memory.plan_residual_bytes(0, 0, 0, work, 1)
    number, unit = str(refused.value).split("about ")[1].split()[:2]
    assert memory.plan_residual_bytes(0, 0, 0, work, parse_memory(number + unit)) >= 0


def test_a_folder_for_temporary_files_that_cannot_be_written_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert memory.check_temporary_folder() is None
    monkeypatch.setenv("TMPDIR", "/no/such/folder")
    warning = f"TMPDIR /no/such/folder cannot be written; temporary files go to {tmp_path}"
    assert memory.check_temporary_folder() == warning
    monkeypatch.delenv("TMPDIR")
    assert memory.check_temporary_folder() is None


def test_no_folder_for_temporary_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(memory.tempfile, "gettempdir", refuse)
    with pytest.raises(UsageError, match="name one in TMPDIR"):
        memory.check_temporary_folder()
