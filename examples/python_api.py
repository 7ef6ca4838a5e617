"""The same from Python: make any scan isotropic and say what was done.

python examples/python_api.py IN OUT
"""

import sys

import saint_cli

scan, target = sys.argv[1:]
thick = saint_cli.read_volume(scan)
isotropic = saint_cli.upsample(thick)
saint_cli.write_volume(isotropic, target, overwrite=True)
print(f"{thick}\n{isotropic}", *isotropic.header.warnings, sep="\n")
