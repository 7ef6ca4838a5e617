"""AMI as the paper publishes it: intensities are predicted, not residuals over linear interpolation."""

import torch
from torch import Tensor

from saint_cli.nets.ami import AMI
from saint_cli.nets.filter_generation import INITIAL_FILTER_SCALE

MARK = "intensities"
"""Name of the tensor by which weights of this network are told from those of saint's own AMI."""


class PublishedAMI(AMI):
    """AMI whose generated filters yield the voxels themselves (Eq. 5); nothing else differs."""

    predicts_intensities = True
    intensities: Tensor

    def __init__(self, width: int, growth: int, layers: int, blocks: int) -> None:
        super().__init__(width, growth, layers, blocks)
        self.register_buffer(MARK, torch.ones(1))
        with torch.no_grad():
            for parameter in self.filters.layers[-1].parameters():
                parameter.div_(INITIAL_FILTER_SCALE)
