"""The networks as plain modules: they do not depend on files, optimisers or options."""

from saint_cli.nets.ami import AMI
from saint_cli.nets.rfn import RFN

__all__ = ["AMI", "RFN"]
