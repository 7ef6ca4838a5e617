"""Training of AMI and RFN; the only room that knows optimisers, checkpoints and random patches."""
