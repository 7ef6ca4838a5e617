"""A Python that finds PyTorch, numpy, safetensors and what these need, and nothing else that is installed."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]

HIDE = """
import sys

class Hide:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        hidden = name.split(".")[0] in {hidden!r}
        return None if hidden else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Hide(finder) for finder in sys.meta_path]
"""


def run_bare(program: str, *arguments: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run a program; paths of the source tree are its own affair, what else is installed is hidden."""
    code = HIDE.replace("{hidden!r}", repr(list_hidden())) + program
    words = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=timeout, check=False)


def list_hidden() -> set[str]:
    """Top-level modules of all installed packages, but for those that a bare machine has."""
    allowed, found = {"saint-cli"}, ["torch", "numpy", "safetensors"]
    while found:
        name = found.pop()
        if name not in allowed and (needs := _list_needs(name)) is not None:
            allowed.add(name)
            found += needs
    return {
        module
        for module, packages in metadata.packages_distributions().items()
        if not {_normalise(package) for package in packages} & allowed
    }


def _list_needs(name: str) -> list[str] | None:
    """The packages that an installed one requires; None where it is not installed."""
    try:
        needs = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return None
    return [_normalise(re.split(r"[^\w.-]", need)[0]) for need in needs if "extra ==" not in need]


def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
