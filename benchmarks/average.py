"""Average the AMI of runs that began from the same weights (Wortsman et al., "Model soups", ICML 2022).

    python benchmarks/average.py OUT WEIGHTS WEIGHTS... --rfn WEIGHTS... [--rfn-fewest 2]

Each run ends somewhere else in the same valley; their mean lies nearer to its middle, and generalises better. Plain
networks are folded where others are. RFN is that of one file, or the mean of those of several; --rfn-fewest says how
many slices must lie between two acquired ones for it to be used.
"""

import copy
from pathlib import Path
from typing import TypeVar

import torch
from arguments import make_parser

from saint_cli.models.weights import load_model, save_model
from saint_cli.nets import AMI, RFN
from saint_cli.nets.folding import fold_network

Network = TypeVar("Network", AMI, RFN)


def main() -> None:
    """Read, average, write."""
    parser = make_parser(__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("weights", nargs="+")
    parser.add_argument("--rfn", nargs="+", required=True)
    parser.add_argument("--rfn-fewest", type=int)
    options = parser.parse_args()
    amis = [load_model(word).ami for word in options.weights]
    fold = max(ami.features.size.fold for ami in amis)
    ami = average([ami if ami.features.size.fold == fold else fold_network(ami, fold) for ami in amis])
    rfn = average([load_model(word).rfn for word in options.rfn])
    if options.rfn_fewest is not None:
        rfn.fewest.fill_(options.rfn_fewest)
    print(save_model(ami, rfn, options.out))


def average(networks: list[Network]) -> Network:
    """A network whose weights are the means of those of some; what is no weight is that of the first."""
    states, mean = [network.state_dict() for network in networks], copy.deepcopy(networks[0])
    weights = {
        name: [state[name] for state in states] for name, value in states[0].items() if value.is_floating_point()
    }
    mean.load_state_dict(states[0] | {name: torch.stack(values).mean(0) for name, values in weights.items()})
    return mean


if __name__ == "__main__":
    main()
