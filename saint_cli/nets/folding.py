"""A folded network that computes what a plain one does: more weights to train on, from all that was learnt before.

As in Net2Net (Chen et al., ICLR 2016) the larger network starts as the same function: the weights between
rows of different folds follow from the plain convolution, all others are zero, and training may change them.
"""

import torch
from torch import Tensor

from saint_cli.nets.ami import AMI


def fold_network(ami: AMI, fold: int) -> AMI:
    """An AMI of ``fold`` times the width and growth, ``fold`` times the multiply-adds, and the same result.

    Where ``fold`` does not divide the rows of a slice, the result differs near its last row.
    """
    size = ami.features.size
    if size.fold != 1:
        raise ValueError(f"the network is folded already, by {size.fold}")
    folded = AMI(size.width * fold, size.growth * fold, size.layers, size.blocks, fold)
    features = {
        name: fold_kernel(tensor, fold) if tensor.ndim == 4 else tensor.repeat_interleave(fold)
        for name, tensor in ami.features.state_dict().items()
    }
    folded.features.load_state_dict(features)
    folded.filters.load_state_dict(ami.filters.state_dict())
    return folded


def fold_kernel(kernel: Tensor, fold: int) -> Tensor:
    """The kernel (O * fold, I * fold, k, k) that does on folded rows what (O, I, k, k), k odd, does on plain ones."""
    outputs, inputs, length, _ = kernel.shape
    folded = torch.zeros(outputs * fold, inputs * fold, length, length, dtype=kernel.dtype)
    centre = length // 2
    for row in range(fold):
        for tap in range(length):
            folds_away, source = divmod(row + tap - centre, fold)
            folded[row::fold, source::fold, centre + folds_away] = kernel[:, :, tap]
    return folded
