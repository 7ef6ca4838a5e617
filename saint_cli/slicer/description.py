"""The description of ``saint slicer`` that Slicer turns into a form, made of the declared options.

Source: the XML schema of the Common Toolkit (``ctkCmdLineModule.xsd``), which is stricter than Slicer's own parser: the
order of elements counts, and flags have no ``-``. ``reference`` is Slicer's: the result lies beside the scan.
"""

from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree

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
    root = ElementTree.Element("executable")
    for name, text in HEAD.items():
        ElementTree.SubElement(root, name).text = text
    _add_volumes(root)
    for panel, text in GROUPS.items():
        group = _add_group(root, panel, text, is_advanced=panel in ADVANCED)
        for option in options:
            if option.panel == panel:
                _add_option(group, option)
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="us-ascii", xml_declaration=False)
    return f"{DECLARATION}{document.decode()}\n"


def _add_group(root: ElementTree.Element, label: str, description: str, *, is_advanced: bool) -> ElementTree.Element:
    group = ElementTree.SubElement(root, "parameters", {"advanced": "true"} if is_advanced else {})
    ElementTree.SubElement(group, "label").text = label
    ElementTree.SubElement(group, "description").text = description
    return group


def _add_volumes(root: ElementTree.Element) -> None:
    """The two arguments without flags."""
    group = _add_group(root, "Volumes", "The scan, and the volume to make of it.", is_advanced=False)
    for index, (tag, channel, attributes) in enumerate(VOLUMES):
        image, label = ElementTree.SubElement(group, tag, attributes), f"{channel.capitalize()} volume"
        texts = {"name": f"{channel}Volume", "index": str(index), "description": label, "label": label}
        for name, text in (texts | {"channel": channel}).items():
            ElementTree.SubElement(image, name).text = text


def _add_option(group: ElementTree.Element, option: Option) -> None:
    data = DATA.get(option.name)
    words = [] if data is not None else _list_words(option)
    tag = data.tag if data is not None else _find_tag(option, words)
    element = ElementTree.SubElement(group, tag, {} if data is None else data.attributes)
    label = option.name.replace("_", " ").capitalize()
    texts = {"name": option.name, "longflag": option.name, "description": option.help, "label": label}
    if data is not None:
        texts["channel"] = data.channel
    elif (default := _find_default(option, words)) is not None:
        texts["default"] = default
    for name, text in texts.items():
        ElementTree.SubElement(element, name).text = text
    for word in words:
        ElementTree.SubElement(element, "element").text = word


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
