"""Names of results are those that the BIDS schema has for derivatives, and raw images are told from everything else."""

import re
from functools import cache

import pytest
from bidsschematools.rules import regexify_filename_rules
from bidsschematools.schema import load_schema

from saint_cli.bids.names import ImageName, find_reason_to_skip, list_suffixes, split_name
from saint_cli.bids.workflow import name_resolution
from saint_cli.options.grid import GridRequest

ENTITIES = {
    "VFA": "_flip-1",
    "IRT1": "_inv-2",
    "MP2RAGE": "_inv-1",
    "MEGRE": "_echo-1",
    "MESE": "_echo-1",
    "MPM": "_flip-1_mt-on",
    "MTS": "_flip-1_mt-on",
    "MTR": "_mt-off",
}
"""What a suffix needs in its name."""


@cache
def compile_rules(group: str) -> list[re.Pattern[str]]:
    """The rules of the schema for files, of ``raw`` or ``deriv`` data sets."""
    schema = load_schema()
    return [re.compile(r["regex"]) for r in regexify_filename_rules(schema.rules.files[group], schema, level=2)]


def matches_a_rule(path: str, group: str) -> bool:
    """Whether there is a rule for a path."""
    return any(rule.match(path) for rule in compile_rules(group))


@pytest.mark.parametrize("suffix", list_suffixes())
@pytest.mark.parametrize(
    ("folder", "name"),
    [("sub-01/", "sub-01"), ("sub-A1/ses-b/", "sub-A1_ses-b_acq-ax_ce-gd_rec-n_run-02")],
    ids=["short", "long"],
)
def test_a_result_has_a_name_of_derivatives_and_none_of_raw_images(folder: str, name: str, suffix: str) -> None:
    image = ImageName.parse(f"{folder}anat/{name}{ENTITIES.get(suffix, '')}_{suffix}.nii.gz")
    assert image is not None
    result = f"sub-{image.entities['sub']}/{image.derive_path('iso')}"
    assert result.endswith(f"_res-iso_desc-saint_{suffix}")
    for ending in (".nii.gz", ".json"):
        assert matches_a_rule(result + ending, "deriv")
        assert not matches_a_rule(result + ending, "raw")
    assert ImageName.parse(f"{result}.nii.gz") is None


@pytest.mark.parametrize(
    ("name", "suffixes", "reason"),
    [
        ("sub-1_T2w", (), ""),
        ("sub-1_part-mag_T2w", (), ""),
        ("sub-1_UNIT1", (), ""),
        ("sub-1_T1map", ("T1map",), ""),
        ("sub-1_T1map", (), "a quantitative map (--suffix T1map takes it)"),
        ("sub-1_part-phase_T2w", (), "a phase, real or imaginary part, whose values are no intensities"),
        ("sub-1_res-iso_desc-saint_T2w", (), "derived already (res-iso)"),
        ("sub-1_desc-preproc_T1w", (), "derived already (desc-preproc)"),
        ("sub-1_mod-T1w_defacemask", (), "a mask"),
        ("sub-2_T2w", (), "not a name of an anatomical image in BIDS 1.11.1"),
        ("sub-1_run-1_acq-a_T2w", (), "not a name of an anatomical image in BIDS 1.11.1"),
        ("scan", (), "not a name of an anatomical image in BIDS 1.11.1"),
    ],
)
def test_what_is_no_thick_image_is_skipped_with_the_reason(name: str, suffixes: tuple[str, ...], reason: str) -> None:
    assert find_reason_to_skip(f"sub-1/anat/{name}.nii.gz", frozenset(suffixes)) == reason


def test_a_name_that_is_not_of_bids_can_be_split() -> None:
    assert split_name("sub-1_foo_desc-a-b_x.nii.gz") == ({"sub": "1", "foo": "", "desc": "a-b"}, "x")


@pytest.mark.parametrize(
    ("grid", "label"),
    [
        (GridRequest(), "iso"),
        (GridRequest(factor=4), "x4"),
        (GridRequest(spacing_mm=2.0), "2mm"),
        (GridRequest(spacing_mm=0.75), "750um"),
        (GridRequest(spacing_mm=1.25), "1250um"),
        (GridRequest(spacing_mm=0.78125), "781250nm"),
        (GridRequest(in_plane_mm=2.0), "isoIn2mm"),
        (GridRequest(axis=1), "isoAxisY"),
        (GridRequest(factor=4, extrapolate=True), "x4Extrapolated"),
        (GridRequest(factor=4, slab=True), "x4Slab"),
        (GridRequest(factor=4, slab=3.5), "x4Slab3500um"),
        (GridRequest(spacing_mm=1.0, in_plane_mm=0.5, axis=2, untilt=True), "1mmIn500umAxisZUntilted"),
    ],
)
def test_results_on_other_grids_have_other_names(grid: GridRequest, label: str) -> None:
    assert name_resolution(grid) == label
    assert re.fullmatch(load_schema().objects.formats.label.pattern, label)
