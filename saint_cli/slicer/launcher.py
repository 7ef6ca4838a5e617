"""A program that Slicer finds as a module, and that runs this saint, which lives outside of Slicer's Python."""

import shlex
import sys
from pathlib import Path

SLICER_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "ITK_AUTOLOAD_PATH")
"""What Slicer sets for its own Python and libraries, and what would break another one."""

PROGRAM = "import sys; sys.path.append({package!r}); from saint_cli.__main__ import main; main()"


def render_launcher() -> str:
    """A shell script that runs ``saint slicer`` by the interpreter of this process."""
    package = Path(__file__).absolute().parents[2]
    words = (sys.executable, "-P", "-c", PROGRAM.format(package=str(package)), "slicer")
    return f"""#!/bin/sh
# A module of 3D Slicer, made by saint slicer --launcher
unset {" ".join(SLICER_VARIABLES)}
exec {shlex.join(words)} "$@"
"""
