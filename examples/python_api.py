"""The same from Python: read any scan, make it isotropic, write it.

python examples/python_api.py IN OUT
"""

import sys
from pathlib import Path

from saint_cli import read_volume, upsample, write_volume

thick = read_volume(Path(sys.argv[1]))
isotropic = upsample(thick)
write_volume(isotropic, Path(sys.argv[2]), overwrite=True)
