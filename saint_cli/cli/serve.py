"""``saint serve``: a DICOM node that upsamples what it receives and sends the results on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saint_cli.cli.parameters import PathOption, Typed, takes_options
from saint_cli.cli.parsing import list_of, parse_local_path, positive
from saint_cli.errors import SaintError, UsageError
from saint_cli.options.fields import Option, Panel, count_option, from_typed, list_options, pick_options
from saint_cli.options.model import ModelConfig
from saint_cli.options.values import parse_memory

if TYPE_CHECKING:
    from saint_cli.node.config import NodeConfig

LOOPBACK = ("127.0.0.1", "localhost", "::1")

MACHINE_OPTIONS = pick_options(ModelConfig, "device", "precision", "threads", "max_memory")
"""Options of jobs that hold for every rule."""


def _not_negative(flag: str, number: float) -> float:
    if not 0 <= number < float("inf"):
        raise UsageError(f"{flag} {number:g} is not a number from 0 on")
    return number


def _port(flag: str, number: int) -> int:
    if not 0 < number < 1 << 16:
        raise UsageError(f"{flag} {number} is not a port from 1 to 65535")
    return number


PortOption = partial(Option, type=int, metavar="PORT")

DaysOption = partial(Option, panel=Panel.OUTPUT, type=float, metavar="DAYS")

SizeOption = partial(Option, panel=Panel.MACHINE, type=str, metavar="SIZE")


@dataclass(frozen=True)
class ServeOptions:
    """Who may send what, what is done with it, and for how long it is kept."""

    rules: Path | None = PathOption(
        "--rules", "Which series, and how (.toml); default: CT, 2 mm and more.", panel=Panel.INPUT, metavar="FILE"
    ).as_field()
    aet: str = Option("--aet", "AE title of this node.", Panel.INPUT, str, "SAINT", "AET").as_field()
    host: str = Option(
        "--host", "Address to listen on; 0.0.0.0: every one of this machine.", Panel.INPUT, str, LOOPBACK[0], "ADDRESS"
    ).as_field()
    port: int = PortOption(
        "--port", "Port to listen on.", Panel.INPUT, default=11112, parse=partial(_port, "--port")
    ).as_field()
    allow: tuple[str, ...] | None = Option(
        "--allow", "AE titles that may send: AET, or AET@HOST:PORT for storage commitment.", Panel.INPUT, str, None,
        "LIST", parse=list_of("--allow"),
    ).as_field()  # fmt: skip
    quiet: float = Option(
        "--quiet", "Seconds without a new instance after which a series is complete.", Panel.INPUT, float, 30.0,
        "SECONDS", parse=positive("--quiet"),
    ).as_field()  # fmt: skip
    keep: float = DaysOption(
        "--keep", "Keep forwarded and skipped series so long.", default=0.0, parse=partial(_not_negative, "--keep")
    ).as_field()
    keep_failed: float = DaysOption(
        "--keep-failed", "Keep failed series so long.", default=14.0, parse=partial(_not_negative, "--keep-failed")
    ).as_field()
    max_disk: int = SizeOption(
        "--max-disk", "Refuse instances beyond this size of the queue.", default="20GB",
        parse=partial(parse_memory, name="--max-disk {}"),
    ).as_field()  # fmt: skip
    max_instance: int = SizeOption(
        "--max-instance",
        "Refuse a larger instance.",
        default="2GB",
        parse=partial(parse_memory, name="--max-instance {}"),
    ).as_field()
    associations: int = count_option("--associations", "Associations at a time.", Panel.MACHINE, default=10).as_field()
    tries: int = count_option("--tries", "Times that a series is tried to compute.", Panel.RUN, default=5).as_field()
    health: int | None = PortOption(
        "--health",
        "Say how the node is at http://127.0.0.1:PORT/health.",
        Panel.RUN,
        default=None,
        parse=partial(_port, "--health"),
    ).as_field()


@takes_options(*list_options(ServeOptions), *MACHINE_OPTIONS)
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

    config = _make_config(forward, parse_local_path(out), from_typed(ServeOptions, typed), typed)
    console.print_message(_describe_access(config))
    try:
        run_node(
            config, lambda line: console.print_message(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}"), threading.Event()
        )
    except SystemExit:  # SIGTERM is how services are stopped
        return


def _require_libraries() -> None:
    """Refuse to start without the packages of the extra.

    Raises:
        SaintError: one is missing.
    """
    from importlib.util import find_spec

    missing = [name for name in ("pynetdicom", "dicomweb_client") if find_spec(name) is None]
    if missing:
        raise SaintError(f"saint serve needs {' and '.join(missing)}; pip install 'saint-cli[node]'")


def _make_config(forward: str, folder: Path, options: ServeOptions, typed: Mapping[str, Any]) -> "NodeConfig":
    """The node that the command line describes.

    Raises:
        UsageError: a value that an option cannot have, options that exclude each other, or wrong rules.
        UnreadableError: rules that cannot be read.
    """
    from saint_cli.node.config import NodeConfig, ReceiveConfig, parse_peer
    from saint_cli.node.forward import check_title, parse_destination
    from saint_cli.node.rules import make_default_rules, read_rules

    if options.host not in LOOPBACK and not options.allow:
        raise UsageError(f"--host {options.host} needs --allow: the AE titles that may send from other machines")
    machine = {option.name: typed[option.name] for option in MACHINE_OPTIONS}
    aet = check_title(options.aet)
    return NodeConfig(
        ReceiveConfig(
            aet,
            options.port,
            options.host,
            tuple(map(parse_peer, options.allow or ())),
            options.max_disk,
            options.max_instance,
            options.associations,
        ),
        folder,
        parse_destination(forward, aet),
        make_default_rules(machine) if options.rules is None else read_rules(options.rules, machine),
        options.quiet,
        options.keep,
        options.keep_failed,
        options.tries,
        options.health,
    )


def _describe_access(config: "NodeConfig") -> str:
    """Who can reach the node."""
    if config.receive.host in LOOPBACK:
        return f"only programs on this machine reach {config.receive.host}; --host 0.0.0.0 --allow AET lets others send"
    return "AE titles are no proof of identity: let a firewall admit only the machines that send"
