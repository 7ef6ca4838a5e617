"""Average the AMI of runs that began from the same weights (Wortsman et al., "Model soups", ICML 2022).

    python benchmarks/average.py OUT WEIGHTS WEIGHTS... --rfn WEIGHTS [--rfn-fewest 2]

Each run ends somewhere else in the same valley; their mean lies nearer to its middle, and generalises better. Plain
networks are folded where others are. RFN is that of one file; --rfn-fewest says how many slices must lie between two
acquired ones for it to be used.
"""

from pathlib import Path

import torch
from arguments import make_parser

from saint_cli.models.weights import load_model, save_model
from saint_cli.nets.folding import fold_network


def main() -> None:
    """Read, average, write."""
    parser = make_parser(__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("weights", nargs="+")
    parser.add_argument("--rfn", required=True)
    parser.add_argument("--rfn-fewest", type=int)
    options = parser.parse_args()
    amis = [load_model(word).ami for word in options.weights]
    fold = max(ami.features.size.fold for ami in amis)
    amis = [ami if ami.features.size.fold == fold else fold_network(ami, fold) for ami in amis]
    states, rfn, ami = [ami.state_dict() for ami in amis], load_model(options.rfn).rfn, amis[0]
    ami.load_state_dict({name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]})
    if options.rfn_fewest is not None:
        rfn.fewest.fill_(options.rfn_fewest)
    print(save_model(ami, rfn, options.out))


if __name__ == "__main__":
    main()
