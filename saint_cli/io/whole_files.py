"""Text and bytes as files that appear under their names only when complete."""

from pathlib import Path

from saint_cli.errors import OutputError
from saint_cli.io.atomic import open_atomic_file
from saint_cli.io.error_conversion import convert_os_errors


def write_text(content: str, path: Path, *, overwrite: bool = True) -> None:
    """Write UTF-8, as :func:`write_bytes` does. What UTF-8 cannot hold becomes ``?``.

    Raises:
        OutputError: it cannot be written.
    """
    write_bytes(content.encode("utf-8", "replace"), path, overwrite=overwrite)


def write_bytes(content: bytes, path: Path, *, overwrite: bool = True) -> None:
    """Write a file that appears under its name only when complete; folders above it are made.

    overwrite: whether it may replace what is at ``path`` by then.

    Raises:
        OutputError: it cannot be written.
    """
    with convert_os_errors(path, "written", OutputError), open_atomic_file(path, overwrite=overwrite) as file:
        file.write(content)
