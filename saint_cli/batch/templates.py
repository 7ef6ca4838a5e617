"""Templates that name a file of each scan: ``--name-template`` and ``--labels``."""

from collections.abc import Mapping
from string import Formatter

from saint_cli.errors import UsageError


def fill_in(option: str, template: str, values: Mapping[str, object]) -> str:
    """The template of an option with values in place of the fields in braces.

    Raises:
        UsageError: other fields, or fields with a format of their own, which could make a text of any length.
    """
    try:
        fields = [(field, form) for _, field, form, _ in Formatter().parse(template) if field is not None]
        if all(field in values and not form for field, form in fields):
            return template.format_map(values)
    except ValueError:  # a brace without its other one
        pass
    raise UsageError(f"{option} {template}: write fields as {', '.join(f'{{{field}}}' for field in values)}")
