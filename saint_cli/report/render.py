"""Templates to text and text to files."""

from pathlib import Path

from saint_cli.errors import OutputError
from saint_cli.io.atomic import complete_or_absent


def text(template: str, **values: object) -> str:
    """A template of this package filled in; whatever is put in is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("saint_cli.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)


def write_text(content: str, path: Path) -> None:
    """Write UTF-8; the file appears under its name only when complete. What UTF-8 cannot hold becomes ``?``.

    Raises:
        OutputError: it cannot be written.
    """
    write_bytes(content.encode("utf-8", "replace"), path)


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file that appears under its name only when complete; folders above it are made.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with complete_or_absent(path) as file:
            file.write(content)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from None
