"""``saint serve``: a DICOM node that upsamples what it receives and sends the results on."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saint_cli.cli.parameters import PathOption, Typed, takes_options
from saint_cli.cli.parsing import parse_local_path
from saint_cli.errors import UsageError
from saint_cli.node.options import LOOPBACK, NodeOptions
from saint_cli.options.fields import Panel, from_typed, list_options, pick_options
from saint_cli.options.model import ModelConfig

if TYPE_CHECKING:
    from saint_cli.node.serve import NodeConfig

LOCAL_HOSTS = (LOOPBACK, "localhost", "::1")

RULES = PathOption(
    "--rules", "Which series, and how (.toml); default: CT, 2 mm and more.", panel=Panel.INPUT, metavar="FILE"
)

MACHINE_OPTIONS = pick_options(ModelConfig, "device", "precision", "threads", "max_memory")
"""Options of jobs that hold for every rule."""


@takes_options(RULES, *list_options(NodeOptions), *MACHINE_OPTIONS)
def serve(
    *,
    forward: Annotated[
        str,
        typer.Option(
            "--forward",
            metavar="DESTINATION",
            help="Where results go: AET@HOST:PORT, or the URL of a DICOMweb service.",
            rich_help_panel=Panel.OUTPUT,
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "-o", "--out", metavar="FOLDER", help="Folder of the queue, for this node alone.",
            rich_help_panel=Panel.OUTPUT,
        ),
    ],
    typed: Typed,
) -> None:  # fmt: skip
    """Receive DICOM series, upsample those that rules name, and send the results to an archive."""
    import threading

    from saint_cli.cli import console

    _require_libraries()
    from saint_cli.node.serve import run_node

    config = _make_config(forward, parse_local_path(out), typed)
    console.print_message(_describe_access(config.options.host))
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
    machine = {option.name: typed[option.name] for option in MACHINE_OPTIONS}
    return NodeConfig(
        options=options,
        folder=folder,
        destination=parse_destination(forward, options.aet),
        rules=make_default_rules(machine) if rules is None else read_rules(rules, machine),
    )


def _describe_access(host: str) -> str:
    """Who can reach the node."""
    if host in LOCAL_HOSTS:
        return f"only programs on this machine reach {host}; --host 0.0.0.0 --allow AET lets others send"
    return "AE titles are no proof of identity: let a firewall admit only the machines that send"
