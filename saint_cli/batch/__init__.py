"""Many scans: find them, plan what is left to do, do it on a Dask cluster, keep a manifest of every job.

``inputs`` (what the user named) → ``find`` (stacks, from headers) → ``names`` (where each result goes) → ``plan`` (what
the manifest leaves to do) → ``run`` (the engine, one record per job) → ``finish`` (what came of it). Dask and torch are
imported where jobs are run or their time is told, so that a run with nothing left to do is over at once.
"""
