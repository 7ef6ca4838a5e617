"""What a batch finds in a folder, for tests."""

from pathlib import Path

from saint_cli.batch.find import find_scans
from saint_cli.batch.inputs import expand_inputs
from saint_cli.batch.search import Findings, SearchRules
from saint_cli.jobs import GridRequest
from saint_cli.options.job import JobSettings

FACTOR_2 = JobSettings(grid=GridRequest(factor=2))


def found_in(
    folder: Path, *more: Path, settings: JobSettings = FACTOR_2, include: frozenset[str] = frozenset()
) -> Findings:
    return find_scans(
        expand_inputs([folder, *more]), SearchRules(lambda row: settings, folder / "out", include), lambda count: None
    )


def paths(found: Findings) -> list[str]:
    return sorted(scan.path for scan in found.scans if scan.error is None)
