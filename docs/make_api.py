"""Write docs/api.md from the docstrings of the public names: python docs/make_api.py"""

import inspect
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_overloads

import saint_cli

PAGE = Path(__file__).with_name("api.md")

HEAD = """# Python API

Written by `docs/make_api.py` from the docstrings; a test fails when the page is stale.

```python
import saint_cli

volume = saint_cli.read_volume("scan.nii.gz")
x4 = saint_cli.upsample(volume, factor=4, model="fast", tta=True)
saint_cli.write_volume(x4, "x4.nii.gz")
```

Importing `saint_cli` loads nothing heavy and changes no global setting; the first call that needs torch loads it.
All names below are attributes of `saint_cli`. Distances are in mm, axes are 0, 1, 2 for x, y, z, and world
coordinates are LPS, as in DICOM.
"""

FUNCTIONS = (
    *("upsample", "restore", "read_volume", "write_volume", "load_model"),
    *("convert_labels", "read_labels", "write_labels"),
)
CLASSES = (
    *("Options", "Stages", "ReadOptions", "Volume", "Header", "SaintModel"),
    *("LabelMap", "Segment", "CodedConcept", "LabelReadOptions"),
)

FIELD = re.compile(r"(?P<names>[a-z_]+(?:, [a-z_]+)*): (?P<text>.*)", re.DOTALL)
"""The start of what a docstring says of a parameter, a field or an exception."""

EXCEPTION = re.compile(r"(?P<names>[A-Z]\w+(?:, [A-Z]\w+)*): (?P<text>.*)", re.DOTALL)


def make_page() -> str:
    """The whole page."""
    errors = [name for name in saint_cli.__all__ if name not in (*FUNCTIONS, *CLASSES) and not name.startswith("_")]
    parts = [HEAD, "## Functions\n", *map(describe_function, FUNCTIONS)]
    parts += ["## Classes\n", *(describe_class(getattr(saint_cli, name)) for name in CLASSES)]
    parts += ["## Errors\n", describe_errors([getattr(saint_cli, name) for name in errors])]
    return "\n".join(parts)


def describe_function(name: str) -> str:
    """A heading, the signatures and the docstring."""
    function = getattr(saint_cli, name)
    signatures = "\n".join(show_signature(name, one) for one in get_overloads(function) or [function])
    return f"### {name}\n\n```python\n{signatures}\n```\n\n{to_markdown(function)}\n"


def describe_class(kind: type) -> str:
    """A heading, the docstring, and a line for each field with a default, property and method."""
    lines = [f"### {kind.__name__}\n\n{to_markdown(kind)}\n"]
    said = inspect.getdoc(kind) or ""
    silent = [field.name for field in fields(kind) if f"{field.name}:" not in said] if is_dataclass(kind) else []
    names = ", ".join(f"`{name}`" for name in silent if not name.startswith("_"))
    lines += [f"Fields: {names}.\n"] if names else []
    for name, member in vars(kind).items():
        if name.startswith("_") or not (isinstance(member, property) or inspect.isfunction(member)):
            continue
        shown = name if isinstance(member, property) else show_signature(name, member)
        lines.append(f"- `{shown}`: {flatten(member)}")
    return "\n".join(lines) + "\n"


def describe_errors(errors: list[type[BaseException]]) -> str:
    """A table of the exceptions, each with its parent and exit code."""
    errors = sorted(errors, key=lambda kind: [one.__name__ for one in reversed(kind.__mro__)])
    rows = ["| exception | is a | exit code | raised for |", "|---|---|---|---|"]
    for kind in errors:
        rows.append(f"| `{kind.__name__}` | `{kind.__bases__[0].__name__}` | {kind.exit_code} | {flatten(kind)} |")
    return "\n".join(rows) + "\n"


def show_signature(name: str, function: Any) -> str:
    """``name(parameters) -> result`` without modules, on one line if it is short."""
    signature = inspect.signature(function)
    parameters = [show_parameter(one) for one in signature.parameters.values() if one.name != "self"]
    if any(one.kind is one.KEYWORD_ONLY for one in signature.parameters.values()):
        first = next(i for i, one in enumerate(signature.parameters.values()) if one.kind is one.KEYWORD_ONLY)
        parameters.insert(first, "*")
    result = "" if signature.return_annotation is signature.empty else f" -> {show_type(signature.return_annotation)}"
    line = f"{name}({', '.join(parameters)}){result}"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {one},\n" for one in parameters) + f"){result}"


def show_parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    kind = "" if parameter.annotation is parameter.empty else f": {show_type(parameter.annotation)}"
    value = parameter.default
    shown = f"{type(value).__name__}()" if is_dataclass(value) else re.sub(r"<.* at 0x\w+>", "...", repr(value))
    default = "" if value is parameter.empty else f" = {shown}"
    return f"{stars}{parameter.name}{kind}{default}"


def show_type(annotation: Any) -> str:
    """An annotation without the names of modules."""
    shown = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    shown = re.sub(r"^\*<class '(.*)'>$", r"Unpack[\1]", shown)
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z])", "", shown.replace("'", "")).replace("~", "")


def flatten(subject: Any) -> str:
    """The first paragraph of a docstring on one line."""
    return plain((inspect.getdoc(subject) or "").partition("\n\n")[0].replace("\n", " ")).replace("|", "\\|")


def split_fields(subject: Any) -> str:
    """A docstring with a line for each field or parameter that it explains, also where several stand on one."""
    text, names = inspect.getdoc(subject) or "", "|".join(getattr(subject, "__annotations__", {}))
    return re.sub(rf"\. ((?:{names})(?:, (?:{names}))*: )", r".\n\1", text) if names else text


def to_markdown(subject: Any) -> str:
    """A docstring as Markdown: what is said of parameters and exceptions becomes lists."""
    lines: list[str] = []
    raises = False
    for line in split_fields(subject).splitlines():
        if line.strip() == "Raises:":
            raises = True
            lines += ["**Raises**", ""]
        elif not line.strip():
            lines.append("")
        elif (found := (EXCEPTION if raises else FIELD).fullmatch(line.strip())) is not None:
            if lines and lines[-1] and not lines[-1].startswith(("- ", "  ")):
                lines.append("")
            names = ", ".join(f"`{name}`" for name in found["names"].split(", "))
            lines.append(f"- {names}: {found['text']}")
        elif lines and lines[-1].startswith(("- ", "  ")):
            lines.append(f"  {line.strip()}")
        else:
            lines.append(line)
    return plain("\n".join(lines).rstrip())


def plain(text: str) -> str:
    """Without the marks of reStructuredText."""
    return re.sub(r":\w+:`~?(?:\w+\.)*(\w+)`", r"`\1`", text).replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
