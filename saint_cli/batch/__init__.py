"""Many scans: find them, plan what is left to do, run it on a Dask cluster, keep a manifest of every job.

``inputs`` (what the user named) → ``find`` (stacks, from headers) → ``output_names`` (where each result goes) →
``plan`` (what the manifest leaves to do) → ``execute`` (jobs on a ``cluster``, a record each) → ``summary`` (what came
of it), called in this order by ``workflow``. Dask and torch are imported where jobs are run or their time is estimated,
so that a run with nothing left to do is over at once.
"""
