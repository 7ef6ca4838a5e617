"""The ``saint`` command: one file per subcommand; ``failures`` turns what goes wrong into an exit code.

A command's module imports only the standard library and typer at its top, and everything else inside the command,
so that ``saint --help`` stays instant.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from saint_cli import console, stop_signals, streams
from saint_cli.cli import failures
from saint_cli.cli.batch import batch
from saint_cli.cli.evaluate import evaluate
from saint_cli.cli.info import info
from saint_cli.cli.models import models
from saint_cli.cli.panels import SaintCommand, without_types
from saint_cli.cli.train import train
from saint_cli.cli.upsample import upsample

WORDS = "saint.words"
"""Where the context keeps the command line."""


class SaintGroup(TyperGroup):
    """Runs a subcommand; what fails, here or in it, is told in one line."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        """Read the words before the subcommand, and keep all of them for :meth:`invoke`."""
        streams.tolerate_narrow_encodings()
        words = tuple(args)
        with failures.told(words):
            context = super().make_context(info_name, args, *rest, **extra)
            context.meta[WORDS] = words
            return context

    def get_params(self, ctx: Any) -> Any:
        """The options before the subcommand."""
        return without_types(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        """Run the command line; ``typer.Exit`` carries the code out."""
        from saint_cli import temporary

        temporary.sweep()
        with failures.told(ctx.meta[WORDS]), stop_signals.CommandRun():
            return super().invoke(ctx)


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


for _command in (upsample, batch, info, evaluate, models, train):
    app.command(cls=SaintCommand)(_command)
