"""The paragraph for the Methods section of a paper: program, weights, options, what was done, and the citation."""

from saint_cli.errors.plain_text import format_count
from saint_cli.evaluation.selfcheck import SelfCheck
from saint_cli.method import intensity
from saint_cli.method.pipeline import Restoration
from saint_cli.report.job_facts import JobFacts
from saint_cli.report.texts import format_gaps
from saint_cli.runtime.version import __version__
from saint_cli.volume import Volume

CITATION = (
    "Peng C, Lin W-A, Liao H, Chellappa R, Zhou SK. SAINT: Spatially Aware Interpolation NeTwork for Medical Slice "
    "Synthesis. Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR) 2020, "
    "7750\N{EN DASH}7759."
)
"""The paper that CITATION.cff names."""

NOISE_SENTENCES = {
    "match": "Random noise was added to the synthesised slices, to match that of the acquired ones.",
    "smooth": "Noise of the acquired slices was reduced to that of the synthesised ones.",
}
"""What ``--noise`` did, by its value; nothing for ``keep``."""

HASH_LETTERS = 12
"""Of the weights' hash, enough to tell weights apart; the page has all of it."""


def write_methods(facts: JobFacts, restoration: Restoration, result: Volume, check: SelfCheck | str) -> str:
    """Sentences to paste into a paper; of the scan only its spacing and number of slices."""
    grid = restoration.grid
    after, before = facts.spacing_after_mm[grid.axis], format_gaps(restoration, digits=4)
    kind = "CT" if intensity.is_ct(restoration.source) else restoration.source.header.modality or ""
    weights = f"model {facts.model}, weights SHA-256 {facts.weights_sha256[:HASH_LETTERS]}"
    with_options = f"options {facts.options_text}" if facts.options else "default options"
    sentences = [
        f"The distance between {kind} slices was reduced from {before} mm to {after:.4g} mm ".replace("  ", " ")
        + f"({grid.acquired} to {grid.count} slices) with saint {__version__} ({weights}; {with_options}), "
        "an independent implementation of SAINT [1].",
        _describe_acquired(facts.acquired_kept, grid.acquired),
    ]
    noise = facts.options.get("--noise", "")
    if noise in NOISE_SENTENCES:
        sentences.append(NOISE_SENTENCES[noise])
    if grid.slab is not None:
        sentences.append(_describe_slabs(facts, restoration, result))
    if isinstance(check, SelfCheck):
        sentences.append(_describe_check(check, changes_noise=noise in NOISE_SENTENCES))
    return " ".join([*sentences, f"[1] {CITATION}"])


def _describe_slabs(facts: JobFacts, restoration: Restoration, result: Volume) -> str:
    thick = restoration.grid.slab_thickness_mm(restoration.source.affine_lps)
    taken = f"Acquired slices were taken for slabs {thick:.4g} mm thick"
    if result.header.derivation is not None and result.header.derivation.means_differ:
        return f"{taken}; the means of the result over them are near the acquired slices, not equal to them."
    means = "its means over the slabs are"
    if facts.resamples_planes:
        means = "its means over the slabs were, before slices were resampled in their plane,"
    return f"{taken}, and the result was made consistent with them: {means} the acquired slices but for rounding."


def _describe_acquired(kept: int, acquired: int) -> str:
    if kept == acquired:
        return "All acquired slices were kept unchanged; the slices between them are estimates."
    if kept == 0:
        return "All slices of the result are estimates; none is an acquired slice kept unchanged."
    verb = "was" if kept == 1 else "were"
    return f"{kept} of {acquired} acquired slices {verb} kept unchanged; all other slices are estimates."


def _describe_check(check: SelfCheck, *, changes_noise: bool) -> str:
    data_range = f"{check.data_range:.5g} {check.unit}".rstrip()
    checked = format_count(check.slices, "slice") + (", without this change of noise" if changes_noise else "")
    return (
        "When every second acquired slice was left out and predicted from the others "
        f"({checked}), the PSNR was {check.psnr_db:.1f} dB, and {check.cubic_db:.1f} dB "
        f"with cubic interpolation (data range {data_range})."
    )
