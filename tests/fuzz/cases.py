"""Every kind of hostile input by its name; seed, kind and number identify a case."""

import random
from collections.abc import Callable

from fuzz import images, records, scans
from fuzz.sample import Sample

KINDS: dict[str, Callable[[random.Random], Sample]] = {
    "nifti": images.nifti,
    "nrrd": images.nrrd,
    "meta": images.meta,
    "series": scans.series,
    "packed": scans.packed_series,
    "multiframe": scans.multiframe,
    "directory": scans.directory,
    "zip": scans.zipped,
    "weights": records.weights,
    "table": records.table,
    "records": records.run_records,
    "folder": records.folder,
}


def make(kind: str, seed: object, number: int) -> Sample:
    """The sample of a case, the same on every machine."""
    return KINDS[kind](random.Random(f"{seed}:{kind}:{number}"))
