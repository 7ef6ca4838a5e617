"""The ``saint`` command: one file per subcommand; ``exit_codes`` turns what goes wrong into an exit code.

A command's module imports only what is cheap at its top, and everything else inside the command, so that
``saint --help`` stays instant.
"""

import inspect
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from saint_cli.cli import console, exit_codes, help_texts, parsing, stop_signals, streams
from saint_cli.cli.batch import batch
from saint_cli.cli.bids import bids
from saint_cli.cli.evaluate import evaluate
from saint_cli.cli.info import info
from saint_cli.cli.labels import labels
from saint_cli.cli.models import models
from saint_cli.cli.parameters import BARE_FLAGS, complete_bare_flags
from saint_cli.cli.serve import serve
from saint_cli.cli.slicer import slicer
from saint_cli.cli.train import train
from saint_cli.cli.upsample import upsample
from saint_cli.options.fields import Panel

ARGUMENTS_KEY = "saint.arguments"
"""Where the context keeps the arguments as they were typed."""


class SaintCommand(TyperCommand):
    """A command whose help shows no type where the name or the text says what to give."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Read the arguments, in which options may be spelled as other programs do, and ``--slab`` has no value."""
        adapted = parsing.adapt_arguments(args, self.params)
        adapted = complete_bare_flags(adapted, getattr(self.callback, BARE_FLAGS, {}))
        if not ctx.resilient_parsing:  # which completion of the shell sets
            typed = self.make_parser(ctx).parse_args(args=list(adapted))[0]
            if not typed.get("help"):
                parsing.check_names(self.params, typed)
        return super().parse_args(ctx, adapted)

    def get_params(self, ctx: Any) -> Any:
        """The parameters, as the help wants them."""
        params = _hide_types(super().get_params(ctx))
        for param in params:
            if param.name == "help":
                param.rich_help_panel = Panel.RUN
        return params


class SaintGroup(TyperGroup):
    """Runs a subcommand; a failure, here or in it, is reported in one line."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        """Read the options before the subcommand, and keep all arguments for :meth:`invoke`."""
        streams.tolerate_narrow_encodings()
        arguments = tuple(args)
        with exit_codes.handle_failures(arguments):
            context = super().make_context(info_name, args, *rest, **extra)
            context.meta[ARGUMENTS_KEY] = arguments
            return context

    def get_params(self, ctx: Any) -> Any:
        """The options before the subcommand."""
        return _hide_types(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        """Run the command line; ``typer.Exit`` carries the code out."""
        from saint_cli.runtime import temporary

        temporary.remove_abandoned()
        with exit_codes.handle_failures(ctx.meta[ARGUMENTS_KEY]), stop_signals.CommandRun():
            return super().invoke(ctx)


def _hide_types(params: list[Any]) -> list[Any]:
    """The parameters; ``<bool>`` beside an option that takes no value, or ``<str>`` beside INPUT, would say nothing."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
        elif param.param_type_name == "argument":
            param.display_type_rich = lambda ctx: None
    return params


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from saint_cli.runtime.version import __version__

        console.print_result(f"saint {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=SaintGroup,
    name="saint",
    help=f"Make thick-slice CT and MR volumes isotropic by learned slice interpolation.\n{help_texts.SAINT}",
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


for _command in (upsample, batch, bids, serve, labels, info, evaluate, models, train, slicer):
    _examples = getattr(help_texts, _command.__name__.upper(), "")
    app.command(cls=SaintCommand, help=f"{inspect.getdoc(_command)}\n{_examples}")(_command)
