"""Average the AMI of runs that began from the same weights (Wortsman et al., "Model soups", ICML 2022).

    python benchmarks/average.py OUT WEIGHTS WEIGHTS... --rfn WEIGHTS [--rfn-fewest 2]

Each run ends somewhere else in the same valley; their mean lies nearer to its middle, and generalises better. RFN is
that of one file; --rfn-fewest says how many slices must lie between two acquired ones for it to be used.
"""

from pathlib import Path

import torch
from arguments import make_parser

from saint_cli.models.weights import load_model, save_model


def main() -> None:
    """Read, average, write."""
    parser = make_parser(__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("weights", nargs="+")
    parser.add_argument("--rfn", required=True)
    parser.add_argument("--rfn-fewest", type=int)
    options = parser.parse_args()
    states = [load_model(word).ami.state_dict() for word in options.weights]
    rfn, ami = load_model(options.rfn).rfn, load_model(options.weights[0]).ami
    ami.load_state_dict({name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]})
    if options.rfn_fewest is not None:
        rfn.fewest.fill_(options.rfn_fewest)
    print(save_model(ami, rfn, options.out))


if __name__ == "__main__":
    main()
