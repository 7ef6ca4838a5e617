"""The networks that the paper compares SAINT with (Section 4, Tables 1 and 2), as plain modules.

Each upsamples along the through-plane axis only, and predicts intensities in network range, without interpolation.
``PublishedAMI`` is the paper's own network in that form.
"""

from saint_cli.nets.baselines.architectures import ARCHITECTURES, Architecture, Patching, find_architecture
from saint_cli.nets.baselines.heads import Baseline
from saint_cli.nets.baselines.published import PublishedAMI

__all__ = ["ARCHITECTURES", "Architecture", "Baseline", "Patching", "PublishedAMI", "find_architecture"]
