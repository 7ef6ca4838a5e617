"""Write docs/cli.md, the reference of the command line, from the app itself: ``python docs/make_cli.py``."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from saint_cli.cli.app import app

TARGET = Path(__file__).with_name("cli.md")

HEAD = """# Command line

All commands and their options, as `saint COMMAND --help` shows them.
This page is made by `python docs/make_cli.py`; edit the declarations in `saint_cli/options/` and `saint_cli/cli/`.
"""

MARKUP = re.compile(r"\[/?(?:bold|green|cyan)\]")
"""The rich markup that help texts use."""


def render() -> str:
    """The page."""
    group: Any = typer.main.get_command(app)
    context = group.context_class(group, info_name="saint", **group.context_settings)
    commands = [group.get_command(context, name) for name in group.list_commands(context)]
    links = [f"- [`saint {one.name}`](#saint-{one.name}): {_first_sentence(one.help)}" for one in commands]
    return "\n".join([HEAD, *links, "", *(line for one in commands for line in _render_command(one, context))])


def _first_sentence(text: str) -> str:
    return " ".join(text.partition("\n")[0].split())


def _render_command(command: Any, parent: Any) -> Iterator[str]:
    context = command.context_class(command, info_name=command.name, parent=parent)
    params = [param for param in command.get_params(context) if not getattr(param, "hidden", False)]
    arguments = [param for param in params if param.param_type_name == "argument"]
    usage = " ".join(["saint", command.name, *(_metavar(param) for param in arguments), "[OPTIONS]"])
    yield from (f"## saint {command.name}", "", "```sh", usage, "```", "", *_render_help(command.help), "")
    if arguments:
        yield from ("| argument | |", "|---|---|")
        yield from (f"| `{_metavar(param)}` | {_cell(param.help or '')} |" for param in arguments)
        yield ""
    options = [param for param in params if param.param_type_name == "option"]
    for panel in dict.fromkeys(param.rich_help_panel or "Options" for param in options):
        yield from (f"| {panel} | | default |", "|---|---|---|")
        yield from (_render_option(one) for one in options if (one.rich_help_panel or "Options") == panel)
        yield ""


def _metavar(argument: Any) -> str:
    return argument.metavar or argument.name.upper()


def _render_option(option: Any) -> str:
    flags = ", ".join(sorted([*option.opts, *option.secondary_opts], key=lambda flag: flag.startswith("--")))
    value = f" {option.metavar}" if option.metavar else ""
    return f"| `{_cell(flags + value)}` | {_cell(option.help or '')} | {_cell(_default(option))} |"


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if option.is_flag and option.default and option.secondary_opts:
        return f"`{option.opts[0]}`"
    is_none = option.default is None or option.default is False or option.default == ""  # 0 is a default
    return "" if is_none else f"`{option.default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _render_help(text: str) -> Iterator[str]:
    """Help as Markdown: a command that stands alone, and lines of a file, become a block of code."""
    is_code = is_file = False
    for line in text.splitlines():
        plain, is_command = MARKUP.sub("", line).replace("\\[", "["), "[green]" in line
        if "[cyan]" in line:
            is_file = True
            yield "```toml"
        elif is_command != is_code:
            yield from (("", "```sh") if is_command else ("```",))
            is_code = is_command
        yield plain.strip() if is_command or is_file else line.replace("[bold]", "**").replace("[/bold]", "**")
        if "[/cyan]" in line:
            is_file = False
            yield "```"
    if is_code:
        yield "```"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
