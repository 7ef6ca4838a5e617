"""The one place where failures become one line on stderr, one JSON object for scripts, and an exit code."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from typing import Any

import typer

from saint_cli.cli import console, stop_signals, streams
from saint_cli.errors import OutputError, SaintError, UsageError, wrap_unexpected
from saint_cli.errors.parameter_names import naming_options
from saint_cli.errors.plain_text import hide_secrets

CLICK_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
"""What typer raises on a wrong command line: click's UsageError, which newer versions of typer carry inside."""

HINTS = {"--factor": "for a fractional factor, give the distance between slices: --spacing MM"}
"""What to do next if the value of an option has the wrong type."""


@contextmanager
def handle_failures(arguments: Sequence[str]) -> Iterator[None]:
    """Turn every failure into one line and ``typer.Exit``; with ``--json`` among the arguments, into JSON too."""
    try:
        with naming_options():
            yield
    except (typer.Exit, typer.Abort):
        raise
    except BrokenPipeError:
        streams.silence(sys.stdout)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        error, code = KeyboardInterrupt(stop_signals.MESSAGE), stop_signals.INTERRUPTED_CODE
        _report_and_exit(error, code, as_json="--json" in arguments)
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # not a failure: typer shows the help
            raise
        failure, code = _classify(error, arguments)
        _report_and_exit(failure, code, as_json="--json" in arguments)


def _classify(error: Exception, arguments: Sequence[str]) -> tuple[Exception, int]:
    """A failure whose message is a sentence for the user, and the exit code."""
    if isinstance(error, SaintError):
        return error, error.exit_code
    if isinstance(error, CLICK_USAGE_ERROR):
        return UsageError(_describe_usage_error(error) + _advise_on_dashes(arguments)), UsageError.exit_code
    if isinstance(error, ImportError):  # a library that is missing, or one of those that it needs itself
        return SaintError(f"{error}; saint is not installed as it should be"), SaintError.exit_code
    if isinstance(error, OSError):
        return OutputError.from_os_error(error), OutputError.exit_code
    if isinstance(error, MemoryError):
        sentence = "not enough memory for this volume; give the machine more, or a smaller region"
        return MemoryError(sentence), SaintError.exit_code
    return wrap_unexpected(error), SaintError.exit_code


def _report_and_exit(error: BaseException, code: int, *, as_json: bool) -> None:
    sentence = hide_secrets(str(error))
    if as_json:
        with suppress(OSError, OutputError):  # the line is printed all the same
            console.print_json({"error": sentence, "error_class": type(error).__name__, "exit_code": code})
    console.print_error(sentence)
    raise typer.Exit(code) from None


def _describe_usage_error(error: Any) -> str:
    """What is wrong with the command line, and what to do next."""
    message = error.format_message().rstrip(".")
    kind = next((word for word in ("integer", "number", "float") if f"valid {word}" in message), None)
    option = max(getattr(getattr(error, "param", None), "opts", None) or [""], key=len)
    if kind is not None and option:
        noun = "whole number" if kind == "integer" else "number"
        return f"{option} {_refused_value(error)}is not a {noun}" + (f"; {HINTS[option]}" if option in HINTS else "")
    command = "saint" if error.ctx is None else error.ctx.command_path
    arguments = [] if error.ctx is None else [p for p in error.ctx.command.params if p.param_type_name == "argument"]
    if len(arguments) > 1 and getattr(error, "param", None) in arguments:
        message = f"{command} needs {' and '.join(p.metavar or p.name for p in arguments)}, in this order"
        lists = [p for p in error.ctx.command.params if (p.metavar or "").endswith("...") and p not in arguments]
        message += f"; labels go last, {lists[0].opts[0]} too" if lists else ""
        return f"{message}; {command} --help lists what there is"
    advice = f"{command} --help lists what there is"
    if command == "saint upsample" and "unexpected extra argument" in message:
        advice = "saint upsample takes one scan, saint batch takes several"
    separator = "" if message.endswith("?") else ";"  # click asks whether a similar command was meant
    return f"{message[:1].lower()}{message[1:]}{separator} {advice}"


def _advise_on_dashes(arguments: Sequence[str]) -> str:
    """How to name a file or folder whose name was taken for options; empty if none of the arguments is one."""
    options = takewhile(lambda one: one != "--", arguments)  # what follows was taken for names
    name = next((one for one in options if one.startswith("-") and os.path.lexists(one)), None)
    return "" if name is None else f"; to name the file, write ./{name}"


def _refused_value(error: Any) -> str:
    """The value that was refused and a space, where the error has it."""
    causes = getattr(error.__cause__, "errors", None)
    return f"{causes()[0].get('input')} " if causes else ""
