"""Training of AMI and RFN; the only part that knows optimisers, checkpoints and random patches."""
