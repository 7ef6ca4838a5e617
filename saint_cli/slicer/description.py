"""The description of ``saint slicer`` that Slicer turns into a form, made of the declared options.

Source: the XML schema of the Common Toolkit (``ctkCmdLineModule.xsd``), which is stricter than Slicer's own parser: the
order of elements counts, and flags have no ``-``. ``reference`` is Slicer's: the result lies beside the scan.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from saint_cli.options.completion import list_model_names
from saint_cli.options.fields import Option, Panel
from saint_cli.runtime.version import __version__
from saint_cli.slicer.form import UNSET_WORD

DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'
"""Slicer refuses anything before it."""

HEAD = {
    "category": "Filtering",
    "title": "SAINT Upsample",
    "description": "Synthesise the slices between those of a thick-slice CT or MR volume (SAINT, CVPR 2020). Acquired "
    "slices are kept. Not for diagnosis.",
    "version": __version__,
    "documentation-url": "",
    "license": "Apache-2.0",
    "contributor": "The saint contributors",
    "acknowledgements": "Peng C, Lin W-A, Liao H, Chellappa R, Zhou SK. SAINT: Spatially Aware Interpolation NeTwork "
    "for Medical Slice Synthesis. CVPR 2020, 7750-7759.",
}

GROUPS = {
    Panel.GRID: "How fine to make it. With neither factor nor spacing (0), voxels become isotropic.",
    Panel.LABELS: "A label map of the scan, brought to the new grid.",
    Panel.OUTPUT: "Other results; what exists is replaced.",
    Panel.METHOD: "Networks, and how they are used.",
    Panel.INPUT: "How the volume is read.",
    Panel.MACHINE: "Where it is computed; 0 threads: free cores.",
}
"""What is said of each group of options, in the order of the form."""

ADVANCED = (Panel.INPUT, Panel.MACHINE)
"""Groups that are folded at first."""


class DataKind(NamedTuple):
    """How an option that names a file is shown: ``image`` (a volume of the scene) or ``file``."""

    tag: str
    channel: str
    attributes: dict[str, str]


DATA = {
    "labels": DataKind("image", "input", {"type": "label"}),
    "labels_out": DataKind("image", "output", {"type": "label"}),
    "uncertainty": DataKind("image", "output", {"type": "scalar"}),
    "report": DataKind("file", "output", {"fileExtensions": ".html"}),
    "preview": DataKind("file", "output", {"fileExtensions": ".png,.jpg"}),
    "weights": DataKind("file", "input", {"fileExtensions": ".safetensors"}),
}
"""Options whose values are files, by name."""

VOLUMES = (
    DataKind("image", "input", {"type": "scalar"}),
    DataKind("image", "output", {"type": "scalar", "reference": "inputVolume"}),
)
"""The two arguments without flags, in order."""


def render_description(options: Sequence[Option]) -> str:
    """The XML document, in ASCII, of a module with an input, an output and these options."""
    root = Element("executable")
    _add_texts(root, HEAD)
    _add_volumes(root)
    for panel, text in GROUPS.items():
        group = _add_group(root, panel, text, is_advanced=panel in ADVANCED)
        for option in options:
            if option.panel == panel:
                _add_option(group, option)
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="us-ascii", xml_declaration=False)
    return f"{DECLARATION}{document.decode()}\n"


def _add_group(root: Element, label: str, description: str, *, is_advanced: bool) -> Element:
    group = SubElement(root, "parameters", {"advanced": "true"} if is_advanced else {})
    _add_texts(group, {"label": label, "description": description})
    return group


def _add_volumes(root: Element) -> None:
    """The two arguments without flags."""
    group = _add_group(root, "Volumes", "The scan, and the volume to make of it.", is_advanced=False)
    for index, (tag, channel, attributes) in enumerate(VOLUMES):
        label = f"{channel.capitalize()} volume"
        texts = {"name": f"{channel}Volume", "index": str(index), "description": label, "label": label}
        _add_texts(SubElement(group, tag, attributes), texts | {"channel": channel})


def _add_option(group: Element, option: Option) -> None:
    label = option.name.replace("_", " ").capitalize()
    texts = {"name": option.name, "longflag": option.name, "description": option.help, "label": label}
    if (data := DATA.get(option.name)) is not None:
        _add_texts(SubElement(group, data.tag, data.attributes), texts | {"channel": data.channel})
        return
    words = _list_words(option)
    element = SubElement(group, _find_tag(option, words))
    default = _find_default(option, words)
    _add_texts(element, texts if default is None else texts | {"default": default})
    for word in words:
        SubElement(element, "element").text = word


def _add_texts(parent: Element, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        SubElement(parent, name).text = text


def _list_words(option: Option) -> list[str]:
    """The words to choose from, where there are some."""
    if option.name == "model":  # whose completion offers files of the current folder too
        return list_model_names()
    if option.type is int and option.metavar is not None and "|" in option.metavar:
        return option.metavar.split("|")
    if option.type is not str or option.complete is None:
        return []
    return [UNSET_WORD, *option.complete("")] if option.default is None else option.complete("")


def _find_tag(option: Option, words: Sequence[str]) -> str:
    """The name of the element, which says what can be typed."""
    name = {bool: "boolean", int: "integer", float: "double", str: "string"}[option.type]
    return f"{name}-enumeration" if words else name


def _find_default(option: Option, words: Sequence[str]) -> str | None:
    """The value that the form begins with; None where a text is empty."""
    if option.type is bool:
        return "false"
    if option.default is None:
        return UNSET_WORD if words else {int: "0", float: "0", str: None}[option.type]
    return str(option.default) or None
