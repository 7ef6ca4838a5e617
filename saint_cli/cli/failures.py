"""The one place where failures become one line on stderr, one JSON object for scripts, and an exit code."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import typer

from saint_cli import console, stop_signals, streams
from saint_cli.errors import OutputError, SaintError, UsageError, fault_of
from saint_cli.plain_text import without_secrets

MISUSE: Any = typer.BadParameter.__mro__[1]
"""What typer raises on a wrong command line: click's UsageError, which newer versions of typer carry inside."""

HINTS = {"--factor": "for a fractional factor, give the distance between slices: --spacing MM"}
"""What to do next where an option's value has not the right type."""


@contextmanager
def told(arguments: Sequence[str]) -> Iterator[None]:
    """Turn every expected failure into one line and ``typer.Exit``; with ``--json`` among the arguments, JSON too."""
    as_json = "--json" in arguments
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except MISUSE as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # not a failure but a question; typer answers it
            raise
        _fail(UsageError(_misuse(error)), UsageError.exit_code, as_json=as_json)
    except SaintError as error:
        _fail(error, error.exit_code, as_json=as_json)
    except KeyboardInterrupt:
        _fail(KeyboardInterrupt(stop_signals.MESSAGE), stop_signals.INTERRUPTED, as_json=as_json)
    except BrokenPipeError:
        streams.silence(sys.stdout)
        raise typer.Exit(1) from None
    except ImportError as error:  # a library that is missing, or one of those that it needs itself
        _fail(SaintError(f"{error}; saint is not installed as it should be"), SaintError.exit_code, as_json=as_json)
    except OSError as error:
        _fail(OutputError.of_system(error), OutputError.exit_code, as_json=as_json)
    except MemoryError:
        sentence = "not enough memory for this volume; give the machine more, or a smaller region"
        _fail(MemoryError(sentence), SaintError.exit_code, as_json=as_json)
    except Exception as error:
        _fail(fault_of(error), SaintError.exit_code, as_json=as_json)


def _fail(error: BaseException, code: int, *, as_json: bool) -> None:
    sentence = without_secrets(str(error))
    if as_json:
        with suppress(OSError, OutputError):  # the line is told all the same
            console.show_json({"error": sentence, "error_class": type(error).__name__, "exit_code": code})
    console.fail(sentence)
    raise typer.Exit(code) from None


def _misuse(error: Any) -> str:
    """What is wrong with the command line, and what to do next."""
    message = error.format_message().rstrip(".")
    kind = next((word for word in ("integer", "number", "float") if f"valid {word}" in message), None)
    option = max(getattr(getattr(error, "param", None), "opts", None) or [""], key=len)
    if kind is not None and option:
        noun = "whole number" if kind == "integer" else "number"
        return f"{option} {_value(error)}is no {noun}" + (f"; {HINTS[option]}" if option in HINTS else "")
    command = "saint" if error.ctx is None else error.ctx.command_path
    return f"{message[:1].lower()}{message[1:]}; {command} --help shows what there is"


def _value(error: Any) -> str:
    """The value that was refused and a space, where the error tells it."""
    causes = getattr(error.__cause__, "errors", None)
    return f"{causes()[0].get('input')} " if causes else ""
