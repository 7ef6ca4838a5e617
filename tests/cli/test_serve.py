"""``saint serve``: what is refused before it listens, and how it ends."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from importlib import util
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import saint_cli
from saint_cli.cli.app import app
from saint_cli.node.tls import TlsContexts

ARCHIVE = "ARCHIVE@127.0.0.1:9"


def serve(*arguments: str | Path) -> Result:
    """What a command line that is refused prints."""
    return CliRunner().invoke(app, ["serve", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "missing option '--forward'"),
        (("--forward", ARCHIVE), 2, "missing option '-o' / '--out'"),
        (("-o", "Q", "--forward", "ARCHIVE"), 2, "--forward ARCHIVE: neither AET@HOST:PORT nor the URL"),
        (("-o", "Q", "--forward", ARCHIVE, "--host", "0.0.0.0"), 2, "--host 0.0.0.0 needs --allow"),
        (("-o", "Q", "--forward", ARCHIVE, "--allow", "A,B@C"), 2, "--allow B@C: neither AET nor AET@HOST:PORT"),
        (("-o", "Q", "--forward", ARCHIVE, "--allow", "A" * 17), 2, "1 to 16 ASCII characters"),
        (("-o", "Q", "--forward", ARCHIVE, "--aet", "back\\slash"), 2, "1 to 16 ASCII characters"),
        (("-o", "Q", "--forward", ARCHIVE, "--port", "70000"), 2, "--port 70000 is not a port from 1 to 65535"),
        (("-o", "Q", "--forward", ARCHIVE, "--health", "0"), 2, "--health 0 is not a port"),
        (("-o", "Q", "--forward", ARCHIVE, "--quiet", "0"), 2, "--quiet 0 is not a positive number"),
        (("-o", "Q", "--forward", ARCHIVE, "--keep", "-1"), 2, "--keep -1 is not a number from 0 on"),
        (("-o", "Q", "--forward", ARCHIVE, "--max-disk", "much"), 2, "--max-disk much is not an amount"),
        (("-o", "Q", "--forward", ARCHIVE, "--tries", "0"), 2, "--tries 0: at least 1"),
        (("-o", "Q", "--forward", ARCHIVE, "--rules", "none.toml"), 3, "none.toml: cannot be read"),
        (("-o", "Q", "--forward", ARCHIVE, "--device", "toaster"), 2, "toaster"),
        (("-o", "Q", "--forward", ARCHIVE, "--tls-ca", "ca.pem"), 2, "--tls-ca needs --tls-cert"),
        (("-o", "Q", "--forward", ARCHIVE, "--tls-cert", "none.pem"), 3, "none.pem: cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = serve(*arguments)
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "is_warned"),
    [
        ("http://archive.example/dicom-web", True),
        ("http://archive.example:8042", True),
        ("http://127.0.0.1:8042/dicom-web", False),
        ("https://archive.example/dicom-web", False),
        (ARCHIVE, False),
    ],
)
def test_with_tls_a_url_without_encryption_to_another_machine_is_warned_of(
    url: str, is_warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saint_cli.node.tls.make_tls", lambda *files: TlsContexts(*[ssl.create_default_context()] * 2))
    monkeypatch.setattr("saint_cli.node.serve.run_node", lambda *given: None)
    result = serve("-o", "Q", "--forward", url, "--tls-cert", "node.pem")
    assert result.exit_code == 0, result.stderr
    assert ("is not encrypted; https:// would be" in result.stderr) == is_warned


def test_a_queue_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = serve("-o", tmp_path / "file", "--forward", ARCHIVE)
    assert result.exit_code == 5
    assert "file: cannot be written" in result.stderr


def test_without_its_packages_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *rest: None if name == "pynetdicom" else found(name, *rest))
    result = serve("-o", tmp_path / "Q", "--forward", ARCHIVE)
    assert result.exit_code == 2
    assert "saint serve needs pynetdicom; pip install 'saint-cli[node]'" in result.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_the_node_in_order(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "saint_cli", "serve", "-o", "queue", "--forward", ARCHIVE, "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(Path(saint_cli.__file__).parents[1])}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(3)]
        time.sleep(0.2)
        process.send_signal(number)
        lines += process.stderr.readlines()
    assert process.returncode == code, lines
    assert "only programs on this machine reach 127.0.0.1" in lines[0]
    assert f"SAINT listens on 127.0.0.1:{port} for everybody" in lines[1]
    assert lines[2].endswith("queue: empty, 0.0 MB\n")
    assert any(line.endswith(" stopped\n") for line in lines)
    assert "Traceback" not in "".join(lines)
