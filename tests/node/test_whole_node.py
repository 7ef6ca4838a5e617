"""Source, node and archive on this machine: nothing is lost, nothing is there twice, whatever is killed meanwhile."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from nets import tiny
from node import archives, exchange
from node.exchange import ServeProcess

from saint_cli.models import weights

pytestmark = pytest.mark.usefixtures("collected_sockets")

KINDS = ("good", "good", "missing slice", "good", "duplicate position", "good", "truncated pixels", "good")

OUT_OF_RESOURCES = "refused with status 0xA700"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of networks that compute in milliseconds."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    weights.save_model(tiny.ami(), tiny.rfn(), path)
    return str(path)


@pytest.fixture
def idle_node(tmp_path: Path, model: str) -> Iterator[ServeProcess]:
    """A node that waits for more instances longer than the test lasts."""
    nowhere = f"ARCHIVE@127.0.0.1:{archives.free_port()}"
    with ServeProcess(tmp_path / "node", nowhere, model, quiet_s=3600) as node:
        yield node


def test_every_good_series_is_derived_once_and_every_broken_one_is_named_though_the_node_is_killed(
    tmp_path: Path, model: str
) -> None:
    series = exchange.save_all(tmp_path / "source", KINDS)
    with archives.run_archive() as archive:
        with ServeProcess(tmp_path / "node", f"ARCHIVE@127.0.0.1:{archive.port}", model) as node:
            exchange.send_all(exchange.FileSource(node, series), range(4))
            archives.wait_until(lambda: archive.arrivals, 120)
            node.kill()
            node.start()
            exchange.send_all(exchange.FileSource(node, series), range(4, len(series)))
            archives.wait_until(node.is_idle, 300)
            health, failed = node.read_health(), exchange.find_failed(node)
            assert node.stop() == 0
        assert exchange.collect_studies(list(archive.series.values())) == exchange.expected_studies(KINDS)
    broken = [number for number, kind in enumerate(KINDS) if kind != "good"]
    assert failed == {exchange.make_uid("series", number) for number in broken}
    assert health["queue"] == dict.fromkeys(health["queue"], 0) | {"forwarded": 5, "failed": len(broken)}
    assert health["problem"] is None
    assert "SECRET" not in node.log


@pytest.mark.parametrize("is_web", [False, True], ids=["C-STORE", "STOW-RS"])
def test_orthanc_sends_and_orthanc_gets_one_derived_series_for_each_good_one(
    tmp_path: Path, model: str, is_web: bool
) -> None:
    archives.require_orthanc(is_web=is_web)
    kinds = ("good", "missing slice", "good")
    port = archives.free_port()
    with ExitStack() as stack:
        pacs = stack.enter_context(archives.run_orthanc(tmp_path / "pacs", "PACS", exchange.source_settings(port)))
        archive = stack.enter_context(archives.run_orthanc(tmp_path / "archive", "ARCHIVE"))
        forward = f"{archive.url}/dicom-web" if is_web else f"ARCHIVE@127.0.0.1:{archive.dicom_port}"
        allow = ("--allow", f"PACS@127.0.0.1:{pacs.dicom_port}")
        node = stack.enter_context(ServeProcess(tmp_path / "node", forward, model, allow, port))
        source = exchange.OrthancSource.fill(pacs, exchange.save_all(tmp_path / "source", kinds))
        exchange.send_all(source, range(len(kinds)))
        archives.wait_until(node.is_idle, 300)
        assert exchange.ask_studies(archive) == exchange.expected_studies(kinds)


def test_what_is_acknowledged_is_on_disk_after_a_kill_at_any_moment(idle_node: ServeProcess, tmp_path: Path) -> None:
    series = exchange.save_all(tmp_path / "source", ["good"] * 4)
    acknowledged: set[str] = set()
    for number, files in enumerate(series):
        killer = threading.Timer(0.1 * number, idle_node.kill)
        killer.start()
        acknowledged |= idle_node.send(files).acknowledged
        killer.join()
        on_disk = idle_node.instances_on_disk()
        assert acknowledged <= set(on_disk)
        assert set(on_disk.values()) <= {1}
        idle_node.start()
    for files in series:
        assert idle_node.send(files).failed == {}
    assert idle_node.instances_on_disk() == {exchange.make_uid("instance", n, i): 1 for n in range(4) for i in range(8)}


def test_an_unknown_caller_is_refused_and_nothing_of_it_is_kept(tmp_path: Path, model: str) -> None:
    (files,) = exchange.save_all(tmp_path / "source", ["good"])
    nowhere = f"ARCHIVE@127.0.0.1:{archives.free_port()}"
    with ServeProcess(tmp_path / "node", nowhere, model, ("--allow", "PACS")) as node:
        for caller, title in (("STRANGER", "SAINT"), ("PACS", "OTHER")):
            sent = node.send(files, caller, title)
            assert set(sent.failed.values()) == {"the archive refused the association; is this AE title known to it?"}
        assert not node.instances_on_disk()
        assert node.send(files, "PACS").failed == {}


def test_a_full_queue_refuses_instances_says_so_and_takes_them_once_there_is_room(tmp_path: Path, model: str) -> None:
    (files,) = exchange.save_all(tmp_path / "source", ["good"])
    kept = 3 * files[0].stat().st_size
    extra = ("--max-disk", f"{kept / 1e9:.9f}GB")
    nowhere = f"ARCHIVE@127.0.0.1:{archives.free_port()}"
    with ServeProcess(tmp_path / "node", nowhere, model, extra, quiet_s=3600) as node:
        sent = node.send(files)
        assert set(sent.failed.values()) == {OUT_OF_RESOURCES}
        assert 0 < len(sent.acknowledged) <= 3
        assert set(node.instances_on_disk()) == sent.acknowledged
        assert node.read_health()["problem"] is not None
        node.stop()
        node.extra = ()
        node.start()
        assert node.send(files).failed == {}
        assert len(node.instances_on_disk()) == len(files)


def test_a_full_disk_refuses_instances_and_what_was_acknowledged_is_on_it(tmp_path: Path, model: str) -> None:
    series = exchange.save_all(tmp_path / "source", ["good"] * 4)
    (tmp_path / "node").mkdir()
    nowhere = f"ARCHIVE@127.0.0.1:{archives.free_port()}"
    with (
        small_disk(tmp_path / "node" / "queue"),
        ServeProcess(tmp_path / "node", nowhere, model, quiet_s=3600) as node,
    ):
        filler = node.out / "filler"
        free = shutil.disk_usage(node.out).free
        filler.write_bytes(bytes(free - 12 * series[0][0].stat().st_size))
        sent = [node.send(files) for files in series]
        acknowledged = set[str]().union(*(part.acknowledged for part in sent))
        assert {reason for part in sent for reason in part.failed.values()} == {OUT_OF_RESOURCES}
        assert set(node.instances_on_disk()) == acknowledged
        node.kill()
        assert set(node.instances_on_disk()) == acknowledged
        filler.unlink()
        node.start()
        assert all(node.send(files).failed == {} for files in series)
        assert len(node.instances_on_disk()) == 32


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A file system of 2 MB in memory; the test is skipped where none may be mounted."""
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system may be mounted")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
