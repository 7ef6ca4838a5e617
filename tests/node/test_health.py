"""The state of a node over HTTP: numbers for programs on the same machine."""

import json
import urllib.error
import urllib.request
from dataclasses import asdict, replace

import pytest
from node import archives

from saint_cli.errors import OutputError
from saint_cli.node.health import Health, serve_health

WELL = Health({"ready": 3}, None, ("GeometryError",), disk_used=10, disk_limit=20, disk_free=30, version="1.0")


def ask(port: int, path: str = "/health") -> tuple[int, bytes]:
    """Status and body of the answer."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_node_without_a_problem_answers_200_with_its_numbers() -> None:
    with serve_health(0, lambda: WELL) as port:
        status, body = ask(port)
    assert (status, json.loads(body)) == (200, {"status": "ok", **asdict(WELL), "last_errors": ["GeometryError"]})


def test_each_answer_is_of_the_moment() -> None:
    counts = iter(range(3))
    with serve_health(0, lambda: replace(WELL, disk_used=next(counts))) as port:
        assert [json.loads(ask(port)[1])["disk_used"] for _ in range(3)] == [0, 1, 2]


def test_a_node_with_a_problem_answers_503_and_names_it() -> None:
    with serve_health(0, lambda: replace(WELL, problem="the disk is full")) as port:
        status, body = ask(port)
    assert (status, json.loads(body)["status"], json.loads(body)["problem"]) == (503, "problem", "the disk is full")


def test_a_state_that_cannot_be_read_is_a_problem_without_text_of_the_failure() -> None:
    def fail() -> Health:
        raise OSError("SECRET")

    with serve_health(0, fail) as port:
        status, body = ask(port)
    assert (status, json.loads(body)["problem"]) == (503, "the state cannot be read (OSError)")


@pytest.mark.parametrize("path", ["/", "/health/", "/../etc/passwd", "/health?x"])
def test_there_is_one_path(path: str) -> None:
    with serve_health(0, lambda: WELL) as port:
        assert ask(port, path)[0] == 404


def test_it_listens_on_the_loopback_interface_alone() -> None:
    with serve_health(0, lambda: WELL) as port, pytest.raises(OSError, match=r"refused|timed out"):
        archives.connect("127.0.0.2", port)


def test_a_port_in_use_is_named() -> None:
    with (
        serve_health(0, lambda: WELL) as port,
        pytest.raises(OutputError, match=f"--health {port}: cannot listen at 127.0.0.1:{port}"),
        serve_health(port, lambda: WELL),
    ):
        pass
