"""A network for slabs that computes what one for thin slices does, so that training starts from what that learnt."""

import torch

from saint_cli.nets.ami import AMI

FIRST = "filters.layers.0.weight"
"""The weights of the filter generator that see the distance matrices."""


def make_slab_network(ami: AMI) -> AMI:
    """The AMI with a second matrix of distances, whose weights are zero.

    Raises:
        ValueError: it has one already.
    """
    if ami.slabs:
        raise ValueError("the network is one for slabs already")
    size = ami.features.size
    wider = AMI(size.width, size.growth, size.layers, size.blocks, size.fold, slabs=True)
    state = ami.state_dict()
    state[FIRST] = torch.cat([state[FIRST], torch.zeros_like(state[FIRST])], 1)
    wider.load_state_dict(state)
    return wider
