"""The description is one that Slicer and the Common Toolkit accept, and says what ``saint upsample`` takes.

The rules are those of ``ctkCmdLineModule.xsd`` (Common Toolkit) and ``ModuleDescriptionParser`` (Slicer).
"""

import re
from xml.etree import ElementTree

import pytest
import slicer_standin

from saint_cli.cli.slicer import FORM_OPTIONS
from saint_cli.cli.upsample import OtherOutputs
from saint_cli.models import shipped
from saint_cli.options.fields import from_typed, list_options
from saint_cli.options.job import JOB_OPTIONS, JobSettings, make_settings
from saint_cli.slicer import form
from saint_cli.slicer.description import render_description

XML = render_description(FORM_OPTIONS)
ROOT = ElementTree.fromstring(XML)
GROUPS = ROOT.findall("parameters")
PARAMETERS = [one for group in GROUPS for one in list(group)[2:]]

HEAD = [
    "category",
    "title",
    "description",
    "version",
    "documentation-url",
    "license",
    "contributor",
    "acknowledgements",
]
SCALARS = ("boolean", "integer", "double", "string")
ENUMERATIONS = ("integer-enumeration", "string-enumeration")
NAME = "[_a-zA-Z][_a-zA-Z0-9]*"
ATTRIBUTES = {
    "image": {"type": "scalar|label", "reference": NAME},
    "file": {"fileExtensions": r"\.\w+(,\.\w+)*"},
}


def names(elements: list[ElementTree.Element]) -> list[str]:
    """Their tags."""
    return [one.tag for one in elements]


def test_the_declaration_comes_first_and_all_is_ascii() -> None:
    assert XML.startswith('<?xml version="1.0" encoding="utf-8"?>\n<executable>')
    assert XML.isascii()


def test_the_head_has_its_elements_in_order_and_groups_follow() -> None:
    assert names(list(ROOT)) == HEAD + ["parameters"] * len(GROUPS)
    assert all(ROOT.findtext(name) for name in ("title", "description"))


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.findtext("label"))
def test_a_group_has_a_label_a_description_and_parameters(group: ElementTree.Element) -> None:
    assert names(list(group)[:2]) == ["label", "description"]
    assert all(group.findtext(name) for name in ("label", "description"))
    assert set(names(list(group)[2:])) <= {*SCALARS, *ENUMERATIONS, "image", "file"}
    assert len(group) > 2
    assert group.attrib in ({}, {"advanced": "true"})


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.findtext("name"))
def test_a_parameter_has_its_elements_in_order_with_values_that_are_allowed(parameter: ElementTree.Element) -> None:
    found = names(list(parameter))
    order = ["name", "longflag", "index", "description", "label", "default", "channel", "element"]
    assert found == sorted(found, key=order.index)
    assert found.count("longflag") + found.count("index") == 1
    for name in ("name", "longflag"):
        assert re.fullmatch(NAME, parameter.findtext(name, "x"))
    assert all(parameter.findtext(name) for name in ("description", "label"))
    allowed = ATTRIBUTES.get(parameter.tag, {})
    assert all(re.fullmatch(allowed.get(name, "(?!)"), value) for name, value in parameter.attrib.items())
    assert (parameter.findtext("channel") in ("input", "output")) == (parameter.tag in ("image", "file"))


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.findtext("name"))
def test_a_default_is_of_the_type_of_its_parameter(parameter: ElementTree.Element) -> None:
    default, words = parameter.findtext("default"), [one.text for one in parameter.findall("element")]
    assert bool(words) == (parameter.tag in ENUMERATIONS)
    if words:
        assert default in words
    elif parameter.tag == "boolean":
        assert default == "false"
    elif parameter.tag in ("integer", "double"):
        assert default is not None
        assert float(default) == 0
    elif parameter.tag == "integer-enumeration":
        assert all(word.isdigit() for word in words)


def test_names_are_unique_and_references_name_a_parameter() -> None:
    found = [one.findtext("name") for one in PARAMETERS]
    assert len(found) == len(set(found))
    assert {one.get("reference") for one in PARAMETERS} - {None} == {"inputVolume"}
    assert [one.findtext("index") for one in PARAMETERS if one.findtext("index")] == ["0", "1"]


def test_every_option_of_upsample_is_in_the_form_or_named_as_left_out() -> None:
    options = {option.name for option in list_options(OtherOutputs, *JOB_OPTIONS)}
    in_form = {one.findtext("name") for one in PARAMETERS} - {"inputVolume", "outputVolume", "weights"}
    assert in_form == options - form.LEFT_OUT
    assert options >= form.LEFT_OUT


def test_help_is_that_of_the_options() -> None:
    texts = {one.findtext("name"): one.findtext("description") for one in PARAMETERS if one.findtext("longflag")}
    assert texts == {option.name: option.help for option in FORM_OPTIONS}


def test_shipped_models_are_offered_by_name() -> None:
    model = next(one for one in PARAMETERS if one.findtext("name") == "model")
    names = [name for name in shipped.read_manifest() if not name.startswith(shipped.SLAB_PREFIX)]
    assert [one.text for one in model.findall("element")] == ["auto", *names]


def test_a_form_that_nobody_filled_in_means_the_defaults() -> None:
    defaults = {one.name: one.default for one in slicer_standin.read_parameters(XML) if one.flag is not None}
    kinds = {option.name: option.type for option in FORM_OPTIONS}
    typed = {
        name: text == "true" if kinds[name] is bool else kinds[name](text) for name, text in defaults.items() if text
    }
    read = form.read_form(typed, FORM_OPTIONS)
    assert make_settings(read) == JobSettings()
    assert from_typed(OtherOutputs, read) == OtherOutputs()


def test_a_weights_file_takes_the_place_of_the_model() -> None:
    assert form.read_form({"model": "auto", "weights": "own.safetensors"}, FORM_OPTIONS) == {"model": "own.safetensors"}
    assert form.read_form({"model": "fast", "weights": ""}, FORM_OPTIONS) == {"model": "fast"}


@pytest.mark.parametrize(("typed", "read"), [(0, None), (4, 4)])
def test_zero_means_that_an_option_without_default_is_not_set(typed: int, read: int | None) -> None:
    assert form.read_form({"factor": typed}, FORM_OPTIONS) == {"factor": read}
