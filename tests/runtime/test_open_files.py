"""How many manifests are open at once: always one, and never more than the limit of open files has room for."""

import pytest

from saint_cli.runtime.open_files import OTHER_FILES, count_manifests, find_open_files_limit


@pytest.mark.parametrize("limit", [0, 64, 256, 1024, 1 << 20])
def test_manifests_leave_room_for_other_files(limit: int) -> None:
    count = count_manifests(limit)
    assert count >= 1
    assert count == 1 or 2 * count + OTHER_FILES <= limit


def test_the_limit_is_that_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, 4096) if kind == resource.RLIMIT_NOFILE else (0, 0))
    assert find_open_files_limit() == 256
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert find_open_files_limit() == 1024
