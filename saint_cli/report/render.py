"""Templates to text."""

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from saint_cli.errors.plain_text import escape_controls

if TYPE_CHECKING:
    from jinja2 import Environment

COMMON_STYLES = "common.css"
"""The style sheet of all pages."""


def render_template(name: str, sources: str, rules: str = "", **values: object) -> str:
    """A template filled in, with its style and script; its content security policy allows no other.

    Values are escaped. sources: of pictures, for the policy; rules: CSS of this page, numbers and colours.
    """
    environment = _environment()
    style = "".join(environment.get_template(sheet).render() + "\n" for sheet in (COMMON_STYLES, f"{name}.css")) + rules
    script = environment.get_template(f"{name}.js").render() + "\n"
    policy = (
        f"default-src 'none'; img-src {sources}; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    template = environment.get_template(f"{name}.html")
    return template.render(values, policy=policy, style=style, script=script)


def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("saint_cli.report"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        finalize=_escape_value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _escape_value(value: Any) -> Any:
    """Text with its control characters visible; markup of the templates as it is."""
    return escape_controls(value) if type(value) is str else value


def _hash(content: str) -> str:
    """A style or script in a policy: the hash of exactly what stands between its tags."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
