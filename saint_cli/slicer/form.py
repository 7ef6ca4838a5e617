"""Which options a form in Slicer has, and what its values mean.

A form has no empty number: 0 stands for an option that is not set, and ``auto`` for a word that is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from saint_cli.options.fields import InKey, Option, Panel, hide_on_page, list_options

LEFT_OUT = {
    "series", "volume", "split_runs", "irregular", "merge", "outside_data", "slice_thickness", "match_noise",
    "overwrite",
}  # fmt: skip
"""Options without a place in a form: Slicer hands over one volume in one file, and files of its own to write to."""

UNSET_WORD = "auto"

UNSET = (0, "", UNSET_WORD)
"""What stands for an option that is not set, where the option has no default."""


@dataclass(frozen=True)
class WeightsFile:
    """A file in the place of ``--model``, which is a choice of names in a form."""

    weights: str | None = Option(
        "--weights", "A weights file, instead of a model by its name.", Panel.METHOD, str, None, "PATH",
        page_text=hide_on_page, is_column=False, in_key=InKey.NEVER,
    ).as_field()  # fmt: skip


def list_form_options(*kinds: Any) -> list[Option]:
    """The options of a form that dataclasses declare, in order.

    Each can also be typed with ``_`` in the place of ``-``, for Slicer takes no other flags.
    """
    options = [option for option in list_options(*kinds, WeightsFile) if option.name not in LEFT_OUT]
    return [replace(one, flags=" ".join(dict.fromkeys((*one.flags.split(), f"--{one.name}")))) for one in options]


def read_form(typed: Mapping[str, Any], options: Sequence[Option]) -> dict[str, Any]:
    """What a form was filled with, as ``saint upsample`` would have been told: None for what is not set."""
    optional = {option.name for option in options if option.default is None}
    values = {name: None if name in optional and value in UNSET else value for name, value in typed.items()}
    weights = values.pop("weights", None)
    return values if weights is None else values | {"model": weights}
