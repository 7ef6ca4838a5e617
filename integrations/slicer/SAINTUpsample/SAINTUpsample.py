#!/usr/bin/env python-real
"""``saint slicer`` by the saint that is installed in Slicer's Python; Slicer runs this file for each job."""

import sys

try:
    from saint_cli.__main__ import main
except ImportError as error:
    sys.exit(f"saint: not installed in Slicer's Python ({error}); press Install in the module SAINT")

sys.argv.insert(1, "slicer")
main()
