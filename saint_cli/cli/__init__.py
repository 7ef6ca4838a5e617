"""The ``saint`` command: one file per subcommand, and the one place where failures become an exit code.

A command's module imports only the standard library and typer at its top, and everything else inside the command,
so that ``saint --help`` stays instant.
"""

import signal
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from saint_cli import console
from saint_cli.cli.evaluate import evaluate
from saint_cli.cli.info import info
from saint_cli.cli.models import models
from saint_cli.cli.train import train
from saint_cli.cli.upsample import upsample
from saint_cli.errors import OutputError, SaintError

INTERRUPTED = 130
"""Exit code of a command stopped by Ctrl-C (128 + SIGINT), as shells report it."""


class SaintGroup(TyperGroup):
    """Runs a subcommand and turns every expected failure into one line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command line; ``typer.Exit`` carries the code out."""
        console.tolerate_narrow_encodings()
        signal.signal(signal.SIGTERM, _end)  # schedulers send it; half-written files are removed on the way out
        try:
            return super().invoke(ctx)
        except SaintError as error:
            console.fail(str(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            console.fail("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            console.silence_stdout()
            raise typer.Exit(1) from None
        except OSError as error:
            console.fail(_told(error))
            raise typer.Exit(OutputError.exit_code) from None
        except MemoryError:
            console.fail("not enough memory for this volume; give the machine more, or a smaller region")
            raise typer.Exit(SaintError.exit_code) from None


def _end(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)


def _told(error: OSError) -> str:
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or type(error).__name__}{where}"


def _show_version(wanted: bool) -> None:
    if wanted:
        from saint_cli import __version__

        console.show(f"saint {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=SaintGroup,
    name="saint",
    help="Make thick-slice CT and MR volumes isotropic by learned slice interpolation.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _saint(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


for _command in (upsample, info, evaluate, models, train):
    app.command()(_command)
