"""What 3D Slicer does with a command-line module, where no Slicer is: its command line, and what it reads from stdout.

Source: ``vtkSlicerCLIModuleLogic::ApplyTask`` and ``qSlicerCLIExecutableModuleFactoryItem`` of Slicer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

TEXT_TAGS = ("file", "directory", "string", "image")
"""Parameters that are left out where they are empty; all other ones are always passed."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a description; flag: None for an argument, which has an index."""

    tag: str
    name: str
    flag: str | None
    default: str


def read_parameters(xml: str) -> list[Parameter]:
    """The parameters of a description, arguments last and in order."""
    assert xml.startswith("<?xml "), "Slicer wants the declaration first"
    found = []
    for group in ElementTree.fromstring(xml).findall("parameters"):
        for one in group:
            if one.tag in ("label", "description"):
                continue
            flag = one.findtext("longflag")
            rank = int(one.findtext("index") or -1)
            found.append((rank, Parameter(one.tag, one.findtext("name", ""), flag, one.findtext("default", ""))))
    return [parameter for _, parameter in sorted(found, key=lambda pair: pair[0])]


def make_arguments(xml: str, values: Mapping[str, str]) -> list[str]:
    """The command line of a form in which some values were set: flags in the order of the form, then arguments."""
    parameters = read_parameters(xml)
    assert values.keys() <= {one.name for one in parameters}
    arguments: list[str] = []
    for one in parameters:
        value = values.get(one.name, one.default)
        if one.flag is None:
            arguments.append(value)
        elif one.tag == "boolean":
            arguments += [f"--{one.flag}"] if value == "true" else []
        elif value or one.tag not in TEXT_TAGS:
            arguments += [f"--{one.flag}", value]
    return arguments


@dataclass(frozen=True)
class Output:
    """What Slicer makes of stdout: the values its bar goes through, the last message, and what is left as text."""

    fractions: list[float]
    messages: list[str]
    text: str


def read_output(stdout: str) -> Output:
    """Read stdout as Slicer does, which removes progress and shows the rest."""
    fractions = [float(text) for text in re.findall("<filter-progress>([^<]*)</filter-progress>", stdout)]
    messages = re.findall("<filter-(?:name|comment)>([^<]*)</filter-(?:name|comment)>", stdout)
    for name in ("progress", "name", "comment", "start", "end"):  # inner elements first
        stdout = re.sub(rf"<filter-{name}>[^<]*</filter-{name}>[ \t\n\r]*", "", stdout)
    return Output(fractions, messages, stdout)


def list_words(xml: str, name: str) -> list[str]:
    """The words that a parameter offers."""
    found = next(one for one in ElementTree.fromstring(xml).iter() if one.findtext("name") == name)
    return [word.text or "" for word in found.findall("element")]
