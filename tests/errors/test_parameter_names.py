"""A parameter has one name in Python and one on the command line."""

import inspect
from dataclasses import fields

import pytest

import saint_cli
from saint_cli.errors import SaintError, UsageError
from saint_cli.errors.parameter_names import PARAMETERS, naming_options, to_options, to_rule_options
from saint_cli.io import LabelReadOptions, ReadOptions
from saint_cli.options.fields import list_options
from saint_cli.options.job import JOB_OPTIONS

MESSAGES = {
    "`factor=40` is outside 2...16": "--factor 40 is outside 2...16",
    "give `factor`, or a smaller `spacing_mm`": "give --factor, or a smaller --spacing",
    "pass `overwrite=True`": "pass --overwrite",
    "`max_memory=1.00 GB` is too little": "--max-memory 1.00 GB is too little",
    "a`b.nii: `unknown=3`": "a`b.nii: `unknown=3`",
}


def test_each_parameter_stands_once() -> None:
    assert len(set(PARAMETERS)) == len(PARAMETERS)


@pytest.mark.parametrize("message", MESSAGES)
def test_parameters_become_options(message: str) -> None:
    assert to_options(message) == MESSAGES[message]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("or use `irregular=True`", "or use irregular = true in the rule's options"),
        ("give `spacing_mm=0.5`", "give spacing = 0.5 in the rule's options"),
        ("`noise=match` needs CT", 'noise = "match" in the rule\'s options needs CT'),
        ("leave `in_plane_mm` out", "leave in-plane in the rule's options out"),
        ("`max_memory=1 GB` is too little", "--max-memory 1 GB is too little"),
    ],
)
def test_parameters_become_options_of_rules(message: str, text: str) -> None:
    assert to_rule_options(message, ("irregular", "spacing", "noise", "in_plane")) == text


def test_only_while_a_command_runs_do_errors_name_options() -> None:
    with naming_options(), naming_options():
        inside = UsageError("`batch_size=0`")
    assert str(inside) == "--batch-size 0"
    assert str(SaintError("`batch_size=0`")) == "`batch_size=0`"


def test_every_parameter_is_one_of_python_and_an_option_of_the_command_line() -> None:
    keywords = set(saint_cli.Options.__annotations__) | set(inspect.signature(saint_cli.upsample).parameters)
    keywords |= set(inspect.signature(saint_cli.write_volume).parameters)
    keywords |= {one.name for kind in (ReadOptions, LabelReadOptions) for one in fields(kind)}
    assert set(PARAMETERS) <= keywords
    flags = {option.flag for option in list_options(*JOB_OPTIONS)} | {"--overwrite"}
    assert {to_options(f"`{name}`") for name in PARAMETERS} <= flags
