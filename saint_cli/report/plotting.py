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

from saint_cli.temporary import TemporaryFolder

OWN_FOLDER, CACHES = "MPLCONFIGDIR", "XDG_CACHE_HOME"
"""Where matplotlib keeps settings and lists of fonts; where fontconfig, which it asks for fonts, keeps its own."""


@cache
def prepare_matplotlib() -> None:
    """Call before matplotlib is imported: it, and fontconfig, would complain on stderr of a folder they cannot write.

    Processes that are started afterwards share the folder.
    """
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # it tells that it lists the fonts
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  (Path raises where there is no home)
    caches = Path(os.environ.get(CACHES) or home / ".cache")
    settings = [Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "matplotlib", caches / "matplotlib"]
    if os.environ.get(OWN_FOLDER):
        settings = [Path(os.environ[OWN_FOLDER])]
    elif not sys.platform.startswith(("linux", "freebsd")):
        settings = [home / ".matplotlib"]
    if not all(map(_is_writable, settings)):
        os.environ[OWN_FOLDER] = _private_folder()
    if not _is_writable(caches):
        os.environ[CACHES] = _private_folder()


@contextmanager
def plain_words() -> Iterator[None]:
    """While a figure is made and written: no ``$`` in a name is mathematics, and nothing is said of missing letters."""
    prepare_matplotlib()
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False, "text.usetex": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def _is_writable(folder: Path) -> bool:
    """Whether a folder is there, or can be made, and can be written; not so for one below a home that nobody knows."""
    try:
        if not folder.is_absolute():
            return False
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


@cache
def _private_folder() -> str:
    """A new folder for temporary files, removed when the process ends."""
    folder = TemporaryFolder()
    atexit.register(folder.remove)  # which also keeps it until then
    return str(folder.path)
