"""Matplotlib where the home folder cannot be written: its caches go to a folder that lasts as long as the process."""

import atexit
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from saint_cli.runtime.temporary import TemporaryFolder

MATPLOTLIB_FOLDER, CACHE_FOLDER = "MPLCONFIGDIR", "XDG_CACHE_HOME"
"""Where matplotlib keeps settings and lists of fonts; where fontconfig, which it asks for fonts, keeps its own."""


@cache
def prepare_matplotlib() -> None:
    """Call before matplotlib is imported: it and fontconfig complain on stderr of folders that they cannot write.

    Processes that are started afterwards share the folder.
    """
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # it reports that it lists the fonts
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  (Path raises where there is no home)
    caches = Path(os.environ.get(CACHE_FOLDER) or home / ".cache")
    settings = [Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "matplotlib", caches / "matplotlib"]
    if os.environ.get(MATPLOTLIB_FOLDER):
        settings = [Path(os.environ[MATPLOTLIB_FOLDER])]
    elif not sys.platform.startswith(("linux", "freebsd")):
        settings = [home / ".matplotlib"]
    if not all(map(_is_writable, settings)):
        os.environ[MATPLOTLIB_FOLDER] = _private_folder()
    if not _is_writable(caches):
        os.environ[CACHE_FOLDER] = _private_folder()


@contextmanager
def literal_text() -> Iterator[None]:
    """While a figure is made and written, ``$`` in a name is no mathematics, and missing glyphs raise no warning."""
    prepare_matplotlib()
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False, "text.usetex": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def _is_writable(folder: Path) -> bool:
    """Whether a folder exists or can be made, and can be written; no below an unknown home."""
    try:
        if not folder.is_absolute():
            return False
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


@cache
def _private_folder() -> str:
    """A new temporary folder, removed when the process ends."""
    folder = TemporaryFolder()
    atexit.register(folder.remove)  # which also keeps it until then
    return str(folder.path)
