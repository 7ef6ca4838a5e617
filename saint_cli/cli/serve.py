"""``saint serve``: a DICOM node that upsamples what it receives and sends the results on."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from saint_cli.cli.parameters import PathOption, Typed, declare, takes_options
from saint_cli.cli.parsing import parse_local_path
from saint_cli.errors import UsageError
from saint_cli.node.options import LOOPBACK, NodeOptions
from saint_cli.options.fields import Panel, from_typed, list_options, pick_options
from saint_cli.options.model import ModelConfig

if TYPE_CHECKING:
    from saint_cli.node.serve import NodeConfig
    from saint_cli.node.tls import TlsContexts

LOCAL_HOSTS = (LOOPBACK, "localhost", "::1")

RULES = PathOption(
    "--rules", "Which series, and how (.toml); default: CT, 2 mm and more.", panel=Panel.INPUT, metavar="FILE"
)

TLS_OPTIONS = CERTIFICATE, KEY, AUTHORITIES = tuple(
    PathOption(flag, text, panel=Panel.MACHINE, metavar="FILE")
    for flag, text in (
        ("--tls-cert", "Certificate of this node (.pem); all its DICOM connections are TLS then."),
        ("--tls-key", "Its private key (.pem), if not in the same file."),
        ("--tls-ca", "CA certificates (.pem) that callers and archive must be signed by."),
    )
)

MACHINE_OPTIONS = pick_options(ModelConfig, "device", "precision", "threads", "max_memory")
"""Options of jobs that hold for every rule."""


@takes_options(RULES, *TLS_OPTIONS, *list_options(NodeOptions), *MACHINE_OPTIONS)
def serve(
    *,
    forward: Annotated[
        str,
        declare(
            "--forward",
            "Where results go: AET@HOST:PORT, or the URL of a DICOMweb service.",
            Panel.OUTPUT,
            "DESTINATION",
        ),
    ],
    out: Annotated[str, declare("-o --out", "Folder of the queue, for this node alone.", Panel.OUTPUT, "FOLDER")],
    typed: Typed,
) -> None:
    """Receive DICOM series, upsample those that rules name, and send the results to an archive."""
    import threading

    from saint_cli.cli import console

    _require_libraries()
    from saint_cli.node.serve import run_node

    config = _make_config(forward, parse_local_path(out), typed)
    console.print_message(_describe_access(config.options.host, is_proven=typed[AUTHORITIES.name] is not None))
    if config.tls is not None and _is_open(forward):
        console.print_message(f"what goes to {config.destination.name} is not encrypted; https:// would be")
    try:
        run_node(
            config, lambda line: console.print_message(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}"), threading.Event()
        )
    except SystemExit:  # SIGTERM is how services are stopped
        return


def _require_libraries() -> None:
    """Refuse to start without the packages of the extra.

    Raises:
        UsageError: one is missing.
    """
    from importlib.util import find_spec

    missing = [name for name in ("pynetdicom", "dicomweb_client") if find_spec(name) is None]
    if missing:
        raise UsageError(f"saint serve needs {' and '.join(missing)}; pip install 'saint-cli[node]'")


def _make_config(forward: str, folder: Path, typed: Mapping[str, Any]) -> "NodeConfig":
    """The node that the command line describes.

    Raises:
        UsageError: a value that an option cannot have, options that exclude each other, or wrong rules.
        UnreadableError: rules that cannot be read.
    """
    from saint_cli.node.forward import parse_destination
    from saint_cli.node.rules import make_default_rules, read_rules
    from saint_cli.node.serve import NodeConfig

    options, rules = from_typed(NodeOptions, typed), RULES.convert(typed["rules"])
    if options.host not in LOCAL_HOSTS and not options.allowed:
        raise UsageError(f"--host {options.host} needs --allow: the AE titles that may send from other machines")
    tls = _make_tls(typed)
    machine = {option.name: typed[option.name] for option in MACHINE_OPTIONS}
    return NodeConfig(
        options=options,
        folder=folder,
        destination=parse_destination(forward, options.aet, tls),
        rules=make_default_rules(machine) if rules is None else read_rules(rules, machine),
        tls=tls,
    )


def _make_tls(typed: Mapping[str, Any]) -> "TlsContexts | None":
    """TLS as the command line describes it; None without a certificate.

    Raises:
        UsageError: a key or an authority, and no certificate.
        UnreadableError: files that cannot be used.
    """
    certificate, key, authorities = (option.convert(typed[option.name]) for option in TLS_OPTIONS)
    if certificate is None:
        if alone := next((option.flag for option in (KEY, AUTHORITIES) if typed[option.name] is not None), None):
            raise UsageError(f"{alone} needs --tls-cert, the certificate of this node")
        return None
    from saint_cli.node.tls import make_tls

    return make_tls(certificate, key, authorities)


def _is_open(destination: str) -> bool:
    """Whether it is a URL by which data would leave this machine without encryption."""
    url = urlsplit(destination)
    return url.scheme == "http" and url.hostname not in LOCAL_HOSTS


def _describe_access(host: str, *, is_proven: bool) -> str:
    """Who can reach the node; ``is_proven``: callers need a certificate."""
    if host in LOCAL_HOSTS:
        return f"only programs on this machine reach {host}; --host 0.0.0.0 --allow AET lets others send"
    if is_proven:
        return "callers need a certificate signed by one in --tls-ca"
    return "AE titles are no proof of identity: let a firewall admit only the machines that send"
