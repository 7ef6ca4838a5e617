"""Parameters of commands: those that several commands share, and those that are made of declared options."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from itertools import zip_longest
from typing import Annotated, Any

import typer

from saint_cli.cli.parsing import parse_local_path
from saint_cli.options.fields import Option, Panel


def declare(flags: str, text: str, panel: Panel = Panel.RUN, metavar: str | None = None, **more: Any) -> Any:
    """A parameter's flags and its line in ``--help``, as typer reads them from an annotation; ``more``: as of typer."""
    return typer.Option(*flags.split(), help=text, rich_help_panel=panel, metavar=metavar, **more)


Source = Annotated[
    str, typer.Argument(metavar="INPUT", help="NIfTI, NRRD or MHA file, or DICOM: folder, zip, DICOMDIR; or a URL.")
]
Target = Annotated[
    str, declare("-o --output", "File (.nii, .nii.gz, .nrrd, .mha), its URL, or DICOM folder.", Panel.OUTPUT, "PATH")
]
Quiet = Annotated[bool, declare("-q --quiet", "Print nothing but errors.")]
SummaryAsJson = Annotated[bool, declare("--json", "Print the summary as JSON.")]
DryRun = Annotated[bool, declare("--dry-run", "Show the plan and its time; write nothing.")]

PathOption = partial(Option, panel=Panel.OUTPUT, type=str, default=None, metavar="PATH", parse=parse_local_path)
"""An option that names a file or folder of this machine."""

Typed = dict[str, Any]
"""What was typed, by the names of the options (``Option.name``)."""

Command = Callable[..., None]

BARE_FLAGS = "bare_flags"
"""Attribute of a command's function: flags that may stand without a value, and what they mean then."""


def takes_options(*options: Option) -> Callable[[Command], Command]:
    """Give a command these options, where its parameter ``typed`` stands.

    The command itself gets their values as ``typed``; ``from_typed`` makes the dataclasses of them.
    """
    panels = list(Panel)
    ordered = sorted(options, key=lambda option: panels.index(option.panel))

    def decorate(command: Command) -> Command:
        own = inspect.signature(command)
        parameters: list[inspect.Parameter] = []
        for parameter in own.parameters.values():
            parameters += map(_make_parameter, ordered) if parameter.name == "typed" else [parameter]

        @wraps(command)
        def run(**values: Any) -> None:
            typed = {option.name: values.pop(option.name) for option in ordered}
            command(typed=typed, **values)

        vars(run)[BARE_FLAGS] = {option.flag: option.bare for option in ordered if option.bare is not None}
        vars(run)["__signature__"] = own.replace(parameters=parameters)  # what typer reads
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def complete_bare_flags(arguments: Sequence[str], meanings: Mapping[str, str]) -> list[str]:
    """The arguments with a value given to each flag that stands without one.

    Only a number after it, or the word that it means, be it in capitals, is its value.
    """
    completed, is_option = list[str](), True
    for argument, after in zip_longest(arguments, arguments[1:], fillvalue=""):
        is_option = is_option and argument != "--"
        meaning = meanings.get(argument)
        if is_option and meaning is not None and after.lower() != meaning and not _is_number(after):
            argument = f"{argument}={meaning}"
        completed.append(argument)
    return completed


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _make_parameter(option: Option) -> inspect.Parameter:
    """A parameter as typer reads it from a signature."""
    declared = declare(option.flags, option.help, option.panel, option.metavar, autocompletion=option.complete)
    kind = option.type if option.default is not None else option.type | None
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(option.name, keyword_only, default=option.default, annotation=Annotated[kind, declared])
