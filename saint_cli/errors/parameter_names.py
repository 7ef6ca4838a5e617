"""How messages name parameters: `factor=40` in Python, --factor 40 while a command runs, factor = 40 in a rule.

The one place that knows a parameter by all its names. Messages are written with the name in Python, in backticks.
"""

import json
import re
from collections.abc import Container, Iterator
from contextlib import contextmanager

PARAMETERS = (
    *("factor", "spacing_mm", "isotropic", "axis", "extrapolate", "modality", "allow_labels"),
    *("in_plane_mm", "untilt", "slab", "slab_profile"),
    *("series", "volume", "split_runs", "irregular", "merge", "outside_data", "overwrite", "segments"),
    *("model", "directions", "tta", "noise", "match_noise", "regenerate"),
    *("device", "precision", "batch_size", "threads", "max_memory"),
)
"""Parameters that are options of the command line too."""

OPTION_NAMES = {"spacing_mm": "spacing", "in_plane_mm": "in-plane"}
"""Options that are not called as their parameter."""

PARAMETER = re.compile(rf"`({'|'.join(PARAMETERS)})(?:=([^`]*))?`")

_commands = 0
"""How many commands run in this process."""


@contextmanager
def naming_options() -> Iterator[None]:
    """Messages that are made meanwhile name options of the command line."""
    global _commands
    _commands += 1
    try:
        yield
    finally:
        _commands -= 1


def adapt_message(message: str) -> str:
    """The message in the words of whoever called: a command line or Python."""
    return to_options(message) if _commands else message


def to_options(message: str) -> str:
    """The message with ``--factor 40`` for `factor=40`, ``--overwrite`` for `overwrite=True`."""
    return PARAMETER.sub(_to_option, message)


def to_rule_options(message: str, names: Container[str]) -> str:
    """The message with ``factor = 40`` for `factor=40`, as in a file of rules; words get quotes.

    names: of the options that rules have, with ``_``; any other one is named as on the command line.
    """
    return PARAMETER.sub(lambda parameter: _to_rule_option(parameter, names), message)


def _to_rule_option(parameter: re.Match[str], names: Container[str]) -> str:
    name, value = OPTION_NAMES.get(parameter[1], parameter[1]), parameter[2]
    if name.replace("-", "_") not in names:
        return _to_option(parameter)
    if value is None:
        return f"{name} in the rule's options"
    is_bare = value in ("True", "False") or re.fullmatch(r"-?\d+(\.\d+)?", value)
    return f"{name} = {value.lower() if is_bare else json.dumps(value)} in the rule's options"


def _to_option(parameter: re.Match[str]) -> str:
    name, value = parameter[1], parameter[2]
    option = f"--{OPTION_NAMES.get(name, name).replace('_', '-')}"
    return option if value in (None, "True") else f"{option} {value}"
