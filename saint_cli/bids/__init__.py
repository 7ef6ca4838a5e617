"""The BIDS App: thick anatomical images of a BIDS data set into a BIDS derivative data set.

``names`` (what the schema of BIDS says of file names) → ``dataset`` (participants and images of the raw data set) →
``workflow`` (a part of a batch for each participant) → ``derivative`` (description and sidecars of what a batch made).
"""
