"""The networks as plain modules: they know nothing of files, optimisers or options."""

from saint_cli.nets.ami import AMI
from saint_cli.nets.rfn import RFN

__all__ = ["AMI", "RFN"]
