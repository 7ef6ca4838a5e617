"""Progress comes in lines that Slicer understands: it never falls, ends at 1, and hides nothing else."""

import itertools
from xml.etree import ElementTree

import slicer_standin

from saint_cli.progress import ProgressStage
from saint_cli.slicer.progress_elements import ProgressElements

COMMENT = "12x8x5 -> 12x8x9 & done"


def run() -> list[str]:
    """The lines of a job of three stages, one of which goes back, as a retried batch does."""
    lines: list[str] = []
    progress = ProgressElements(lines.append, itertools.count().__next__)
    progress.expect(ProgressStage("reading", 1.0), more=True)
    progress("reading", 0, 1)
    progress("reading", 1, 1)
    progress.expect(ProgressStage("sagittal <slices>", 3.0), ProgressStage("writing", 1.0))
    for done in (0, 40, 20, 80, 80, 100):
        progress("sagittal <slices>", done, 100)
    progress("writing", 0, 1)
    progress("writing", 1, 1)
    progress.finish(COMMENT)
    return lines


def test_every_line_is_whole_and_one_element() -> None:
    lines = run()
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in lines)
    assert {ElementTree.fromstring(line).tag for line in lines} == {"filter-start", "filter-progress", "filter-end"}


def test_the_fraction_begins_at_zero_rises_and_ends_at_one() -> None:
    fractions = slicer_standin.read_output("".join(run())).fractions
    assert fractions[0] == 0
    assert fractions[-1] == 1
    assert all(before < after for before, after in itertools.pairwise(fractions))
    assert len(fractions) > 3


def test_each_stage_is_a_filter_that_ends_before_the_next_begins() -> None:
    tags = [ElementTree.fromstring(line).tag for line in run()]
    edges = [tag for tag in tags if tag != "filter-progress"]
    assert edges == ["filter-start", "filter-end"] * 3
    assert (tags[0], tags[-1]) == ("filter-start", "filter-end")


def test_slicer_shows_the_stages_and_the_result_and_no_other_text() -> None:
    output = slicer_standin.read_output("".join(run()))
    assert output.messages == ["reading", "sagittal &lt;slices&gt;", "writing", "12x8x5 -&gt; 12x8x9 &amp; done"]
    assert output.text == ""
    assert ElementTree.fromstring(run()[-1]).findtext("filter-comment") == COMMENT
