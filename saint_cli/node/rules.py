"""Which series are upsampled, and how: the rules of a TOML file, of which the first that matches holds."""

import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from saint_cli.errors import SaintError, UnreadableError, UsageError
from saint_cli.io import StackInfo
from saint_cli.io.error_conversion import convert_os_errors
from saint_cli.options.fields import Option
from saint_cli.options.job import COLUMNS, JobSettings, make_settings
from saint_cli.options.method import NoiseHandling
from saint_cli.options.values import match_word

MODALITIES = ("CT", "MR", "PT")

OPTIONS = {
    name: option
    for name, option in COLUMNS.items()
    if name not in ("series", "volume", "labels", "segments", "no_guide")
}
"""Options of a rule: those of a row of a table but for what the node chooses itself or what needs another file."""

OPTION_TYPES: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((float, int), "a number"),
    str: ((str,), "a text in quotes"),
}
"""Of the types of options: those of values in TOML, and how messages call them."""

DEFAULT_LEAST_SPACING_MM = 2.0

Make = Callable[[Mapping[str, Any]], JobSettings]
"""From the options of a rule to the settings of its jobs."""


@dataclass(frozen=True)
class Rule:
    """What a series must be, and how it is upsampled.

    name: stands in log lines. modality: CT, MR or PT; None: any. description: a pattern with ``*`` and ``?`` for the
    whole SeriesDescription, in any case. least_spacing_mm: distance between slices from which on it matches.
    skip: a series that matches is not processed.
    """

    name: str
    modality: str | None = None
    description: str = "*"
    least_spacing_mm: float = 0.0
    skip: bool = False
    settings: JobSettings = field(default_factory=JobSettings)

    def explain_mismatch(self, stack: StackInfo) -> str:
        """What of a stack does not match, without text from its headers; empty if all does."""
        if self.modality not in (None, stack.modality):
            return f"is not {self.modality}"
        pattern = self.description.lower().replace("[", "[[]")  # which stands for itself, not for a set of letters
        if not fnmatchcase((stack.series_description or "").lower(), pattern):
            return "has another description"
        spacing = _find_spacing(stack)
        if spacing < self.least_spacing_mm:
            return f"has slices every {spacing:.4g} mm, below {self.least_spacing_mm:.4g} mm"
        return ""


def _find_spacing(stack: StackInfo) -> float:
    """Distance between slices, mm, of an uneven stack the median; infinity where positions do not tell.

    What headers say of it does not count: some devices write the gap between slices as SpacingBetweenSlices.
    """
    return stack.slice_distance_mm or stack.median_distance_mm or math.inf


@dataclass(frozen=True)
class Rules:
    """Rules in order."""

    rules: tuple[Rule, ...]

    def match(self, stack: StackInfo) -> Rule | str:
        """The rule by which a stack is upsampled; else why it is not, without text from its headers."""
        if stack.secondary:
            return f"it is {stack.secondary}"
        if stack.shape is not None and stack.shape[2] == 1:
            return "it is a single slice"
        reasons = []
        for rule in self.rules:
            reason = rule.explain_mismatch(stack)
            if not reason:
                return f'rule "{rule.name}" skips it' if rule.skip else rule
            reasons.append(f'"{rule.name}": it {reason}')
        return f"no rule matches ({'; '.join(reasons)})"

    def check(self) -> None:
        """Refuse what would make every job fail.

        Raises:
            UsageError, WeightsError: a model or device that cannot be had.
        """
        for rule in self.rules:
            rule.settings.model_config.check(slabs=bool(rule.settings.grid.slab))


def make_default_rules(machine: Mapping[str, Any]) -> Rules:
    """Without a file: every CT series with slices 2 mm apart or more becomes isotropic."""
    rule = Rule("CT", "CT", least_spacing_mm=DEFAULT_LEAST_SPACING_MM, settings=make_settings(machine))
    return Rules((rule,))


def read_rules(path: Path, machine: Mapping[str, Any]) -> Rules:
    """Read the rules of a file: tables ``[[rule]]`` with the keys name, match, options, skip.

    machine: values of options that hold for all, by their names, such as device and threads.

    Raises:
        UnreadableError: it cannot be read, or is no TOML; the message names line and column.
        UsageError: a key or value that no rule has; the message names rule and key.
    """
    with convert_os_errors(path, "read"):
        data = path.read_bytes()
    try:
        document = tomllib.loads(data.decode())
    except ValueError as error:  # of both; the message of TOML names line and column
        raise UnreadableError(f"{path}: not a TOML file of rules: {error}") from None
    if "rules" in document and "rule" not in document:
        raise UsageError(f'{path}: "rules" is no key of this file; write [[rule]] before each rule')
    _check_keys(f"{path}", document, ("rule",))
    tables = document.get("rule")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{path}: holds no rules; begin each one with a line [[rule]]")

    def make(options: Mapping[str, Any]) -> JobSettings:
        return make_settings({**machine, **options})

    rules = tuple(_parse_rule(f"{path}: rule {number}", table, make) for number, table in enumerate(tables, 1))
    names = [rule.name for rule in rules]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f'{path}: two rules are called "{twice[0]}"; give each a name of its own')
    return Rules(rules)


def _parse_rule(where: str, table: Mapping[str, Any], make: Make) -> Rule:
    """One rule. Raises UsageError, whose message begins with ``where``."""
    _check_keys(where, table, ("name", "match", "options", "skip"))
    name = _take(where, table, "name", str)
    if not isinstance(name, str) or not re.fullmatch(r"[\w .,+-]{1,40}", name):
        raise UsageError(f'{where}: needs a name of up to 40 letters, digits, blanks and .,+-, such as name = "chest"')
    where = f'{where} ("{name}")'
    match, options = _take(where, table, "match", dict, {}), _take(where, table, "options", dict, {})
    skip = _take(where, table, "skip", bool, False)
    if skip and options:
        raise UsageError(f"{where}: skip = true has no options")
    _check_keys(f"{where}, match", match, ("modality", "description", "least_spacing"))
    modality = _take(f"{where}, match", match, "modality", str)
    if modality is not None:
        modality = match_word(f"{where}, match: modality", modality, MODALITIES)
    least = _take(f"{where}, match", match, "least_spacing", float, 0.0)
    if not 0 <= least < math.inf:
        raise UsageError(f"{where}, match: least_spacing = {least} is not a distance in mm")
    settings = _parse_options(f"{where}, options", options, make)
    _check_noise(f"{where}, options", modality, settings)
    return Rule(name, modality, _take(f"{where}, match", match, "description", str, "*"), least, skip, settings)


def _parse_options(where: str, options: Mapping[str, Any], make: Make) -> JobSettings:
    """The settings of a rule's jobs. Raises UsageError, whose message begins with ``where``."""
    typed: dict[str, Any] = {}
    for key in options:
        option: Option | None = OPTIONS.get(key.replace("-", "_"))
        if option is None:
            raise UsageError(f'{where}: "{key}" is none of {", ".join(OPTIONS)}')
        is_number = option.bare is not None and isinstance(options[key], bool | int | float)
        typed[option.name] = str(options[key]) if is_number else _take(where, options, key, option.type)
    try:
        return make(typed)
    except SaintError as error:
        raise UsageError(f"{where}: {error}") from None


def _check_noise(where: str, modality: str | None, settings: JobSettings) -> None:
    """Refuse to change noise of what is never CT. Raises UsageError, whose message begins with ``where``."""
    noise, read_as = settings.method_options.noise, settings.modality or modality
    if noise is not NoiseHandling.KEEP and read_as not in (None, "CT"):
        raise UsageError(f'{where}: noise = "{noise}" needs CT, and the rule is for {read_as}; leave it out')


def _check_keys(where: str, table: Mapping[str, Any], allowed: Sequence[str]) -> None:
    for key in table:
        if key not in allowed:
            raise UsageError(f'{where}: "{key}" is none of {", ".join(allowed)}')


def _take(where: str, table: Mapping[str, Any], key: str, kind: type, default: Any = None) -> Any:
    """The value of a key, checked for its type; the default where it is absent."""
    if key not in table:
        return default
    value = table[key]
    kinds, text = OPTION_TYPES.get(kind, ((kind,), "a table, such as { … }"))
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise UsageError(f"{where}: {key} = {value!r} is not {text}")
    return value
