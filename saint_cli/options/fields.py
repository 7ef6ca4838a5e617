"""How an option is declared: as a field of a frozen dataclass that carries everything known about it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum, StrEnum
from typing import Any, NamedTuple, TypeVar

from saint_cli.options.completion import word_completer
from saint_cli.options.values import at_least, match_word

METADATA_KEY = "option"

OptionClass = TypeVar("OptionClass")


class Panel(StrEnum):
    """The group of ``--help`` that lists an option; groups stand in this order."""

    OUTPUT = "Output"
    GRID = "Grid"
    INPUT = "Input"
    LABELS = "Labels"
    METHOD = "Model and method"
    COMPARISON = "Comparison"
    TRAINING = "Training"
    MACHINE = "Machine"
    RUN = "Run"


class InKey(Enum):
    """Whether an option is part of the key of a batch job, so that a job with another value runs again.

    IF_SET: for options that were added later; keys of results that were made before remain valid.
    AS_DEFAULT: with its default whatever its value, for the old name of another option, which is in the key itself.
    """

    ALWAYS = "always"
    IF_SET = "if set"
    AS_DEFAULT = "as default"
    NEVER = "never"


def _page_text(value: Any) -> str:
    return "" if isinstance(value, bool) else str(value)


def hide_on_page(value: Any) -> None:
    """The ``page_text`` of an option that a quality-control page does not list."""


@dataclass(frozen=True)
class Option:
    """One option.

    flags: as typed; the last one names it. help: its line in ``--help``, under ``panel``.
    type: of the text on the command line and in a table: bool, int, float or str, or list[str] of what may be given
    several times; default: of that type, or None.
    complete: offers values to the shell. parse: turns what was typed into the field's value, or raises UsageError.
    bare: what is meant by the flag without a value, for one that may have none; only a number is taken for its value.
    page_text: what follows the flag on a page if the value is not the default; None hides the option.
    is_column: whether a row of a table may set it. in_key: see ``InKey``.
    """

    flags: str
    help: str
    panel: Panel
    type: type = bool
    default: Any = False
    metavar: str | None = None
    complete: Callable[[str], list[str]] | None = None
    parse: Callable[[Any], Any] | None = None
    bare: str | None = None
    page_text: Callable[[Any], str | None] = _page_text
    is_column: bool = True
    in_key: InKey = InKey.ALWAYS

    @property
    def flag(self) -> str:
        """The flag that names the option, such as ``--factor``."""
        return self.flags.split()[-1].partition("/")[0]

    @property
    def name(self) -> str:
        """The flag as a name in Python and the column of a table, such as ``match_noise``."""
        return self.flag.removeprefix("--").replace("-", "_")

    def as_field(self) -> Any:
        """A field of a dataclass that this option sets."""
        return field(default=self.convert(self.default), metadata={METADATA_KEY: self})

    def convert(self, typed: Any) -> Any:
        """The value of the field.

        Raises:
            UsageError: the option cannot have this value.
        """
        return typed if typed is None or self.parse is None else self.parse(typed)


def word_option(
    flag: str, text: str, panel: Panel, words: Sequence[str], *, is_open: bool = False, convert: Any = None, **more: Any
) -> Option:
    """An option that is one of a few words, by default the first, or None where ``is_open``.

    convert: from the word to the field's value.
    """

    def parse(word: str) -> Any:
        word = match_word(flag, word, words)
        return word if convert is None else convert(word)

    default = None if is_open else words[0]
    return Option(flag, text, panel, str, default, "NAME", word_completer(*words), parse, **more)


def count_option(flag: str, text: str, panel: Panel, least: int = 1, default: int | None = None) -> Option:
    """An option that is a whole number from ``least`` on."""
    return Option(flag, text, panel, int, default, "N", parse=at_least(flag, least))


class OptionValue(NamedTuple):
    """The value of an option in one instance of the dataclass whose field ``name`` it is."""

    option: Option
    name: str
    value: Any
    default: Any

    @property
    def is_default(self) -> bool:
        """Whether nothing else was asked for."""
        return bool(self.value == self.default)


def get_options(kind: Any) -> dict[str, Option]:
    """The options that a dataclass declares, by the names of their fields, in order."""
    return {one.name: one.metadata[METADATA_KEY] for one in fields(kind) if METADATA_KEY in one.metadata}


def list_options(*kinds: Any) -> list[Option]:
    """The options that dataclasses declare, in order."""
    return [option for kind in kinds for option in get_options(kind).values()]


def pick_options(kind: Any, *names: str) -> list[Option]:
    """The options of some fields of a dataclass."""
    return [get_options(kind)[name] for name in names]


def list_option_values(*groups: Any) -> Iterator[OptionValue]:
    """The options of instances of such dataclasses, with their values."""
    for group in groups:
        for name, option in get_options(group).items():
            yield OptionValue(option, name, getattr(group, name), option.convert(option.default))


def from_typed(kind: type[OptionClass], typed: Mapping[str, Any]) -> OptionClass:
    """A dataclass made of what was typed, by the names of its options; what is missing or None has its default.

    Raises:
        UsageError: a value that an option cannot have, or options that exclude each other.
    """
    values = {name: option.convert(typed.get(option.name)) for name, option in get_options(kind).items()}
    return kind(**{name: value for name, value in values.items() if value is not None})
