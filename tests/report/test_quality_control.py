import re
from dataclasses import replace

import numpy as np
import pytest
from nets import tiny
from nets.tiny import CPU

from saint_cli import geometry
from saint_cli.evaluation import selfcheck
from saint_cli.evaluation.scan_calibration import calibrate_on_scan
from saint_cli.geometry import SliceGrid, grid_by_factor
from saint_cli.method import pipeline
from saint_cli.method.pipeline import Restoration
from saint_cli.models.calibration import Calibration
from saint_cli.options.method import MethodOptions
from saint_cli.report import error_maps, page, quality_control, texts
from saint_cli.report.anatomy import UprightVolume
from saint_cli.report.job_facts import JobFacts
from saint_cli.volume import Header, Volume

FACTS = JobFacts(
    *("in.nii.gz", "out.nii.gz", "tiny", "ab" * 32, "cpu", "float32", 75.0, 7),
    *((20, 18, 25), (0.7, 0.9, 1.25), {"--factor": "2"}),
)


def restored(volume: Volume, grid: SliceGrid, *, calibrated: bool = True, **options: object) -> Restoration:
    model = replace(tiny.model(), calibration=Calibration((0.0, 100.0), (3.0, 53.0)) if calibrated else None)
    return pipeline.restore(volume, model, grid, CPU, replace(MethodOptions(), **options))


def ras(volume: Volume) -> Volume:
    """The same voxels, their first two axes towards the patient's right and front, as most NIfTI files have them."""
    return replace(volume, affine_lps=geometry.RAS_FROM_LPS @ volume.affine_lps)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_error_planes_are_those_of_the_error_volume(axis: int, turned: bool) -> None:
    shape = tuple(np.insert([12, 10], axis, 5))
    volume = tiny.volume((int(shape[0]), int(shape[1]), int(shape[2])), axis)
    restoration = restored(ras(volume) if turned else volume, grid_by_factor(5, axis, 4))
    result = restoration.result()
    error = UprightVolume.from_voxels(restoration.error().voxels, result.affine_lps).voxels
    after = UprightVolume.from_voxels(result.voxels, result.affine_lps)
    at = (3, 7, 2)
    planes = error_maps.make_error_maps(restoration, result, after, at)
    assert len(planes) == 2
    for fixed, plane in planes.items():
        np.testing.assert_allclose(plane, error.take(at[fixed], fixed), rtol=1e-5)


def test_where_no_error_was_measured_the_disagreement_is_shown_and_named_so() -> None:
    volume, grid = tiny.volume((12, 10, 5)), grid_by_factor(5, 2, 4)
    unknown = {
        "no calibration": restored(volume, grid, calibrated=False),
        "flips": restored(volume, grid, tta=True),
        "four directions": restored(volume, grid, directions=4),
        "not CT": restored(tiny.volume((12, 10, 5), modality="MR"), grid),
        "beyond the end": restored(volume, grid_by_factor(5, 2, 4, extrapolate=True)),
    }
    for name, restoration in unknown.items():
        assert not restoration.has_known_error, name
        assert "Disagreement |I_sag" in texts.describe_error_maps(restoration).title
    restoration = unknown["no calibration"]
    result = restoration.result()
    after = UprightVolume.from_voxels(result.voxels, result.affine_lps)
    planes = error_maps.make_error_maps(restoration, result, after, (3, 7, 2))
    np.testing.assert_array_equal(planes[0][:, restoration.plan.synthesised], restoration.difference()[3])
    assert (planes[0][:, ::4] == 0).all()
    assert restored(volume, grid).has_known_error


def test_the_note_on_errors_names_the_self_check_only_where_it_calibrated_them() -> None:
    restoration = restored(tiny.volume((40, 36, 9)), grid_by_factor(9, 2, 4))
    check = selfcheck.try_self_check(restoration, CPU)
    assert isinstance(check, selfcheck.SelfCheck)
    perfect = replace(check, errors=replace(check.errors, error=np.zeros_like(check.errors.error)))
    by_check = "by the self-check, on this scan"
    assert by_check in texts.describe_error_maps(calibrate_on_scan(restoration, check)).note
    for one in (perfect, "only 4 slices were acquired"):
        assert by_check not in texts.describe_error_maps(calibrate_on_scan(restoration, one)).note


@pytest.mark.parametrize(
    ("options", "is_copied"), [({}, True), ({"regenerate": True}, False), ({"noise": "smooth"}, False)]
)
@pytest.mark.parametrize("calibrated", [True, False])
def test_acquired_slices_are_called_copied_only_where_they_are(
    options: dict[str, object], is_copied: bool, calibrated: bool
) -> None:
    restoration = restored(tiny.volume((12, 10, 5)), grid_by_factor(5, 2, 4), calibrated=calibrated, **options)
    assert ("which are copied" in texts.describe_error_maps(restoration).note) == is_copied
    resampled = texts.describe_error_maps(restoration, resamples_planes=True).note
    assert "which are copied" not in resampled
    assert ("before they are resampled" in resampled) == is_copied


@pytest.mark.parametrize("handling", ["keep", "match", "smooth"])
def test_the_note_on_the_acquired_picture_tells_where_the_result_is_smoothed(handling: str) -> None:
    restoration = restored(tiny.volume((12, 10, 5)), grid_by_factor(5, 2, 4), noise=handling)
    between = quality_control.make_pictures(restoration, restoration.result()).between
    assert between is not None
    options = {} if handling == "keep" else {"--noise": handling}
    note = texts.describe_comparison(replace(between, noise_hu=(5.0, 6.0, 12.0)), replace(FACTS, options=options)).note
    assert "(all counted from 0)" in note
    assert ("as acquired; in the result it is smoothed" in note) == (handling == "smooth")
    assert ("Noise cannot be predicted" in note) == (handling == "keep")


def test_regenerated_slices_have_no_error() -> None:
    restoration = restored(tiny.volume((12, 10, 5)), grid_by_factor(5, 2, 4), regenerate=True)
    result = restoration.result()
    after = UprightVolume.from_voxels(result.voxels, result.affine_lps)
    assert (error_maps.make_error_maps(restoration, result, after, (3, 7, 2))[1][:, ::4] == 0).all()


def test_the_check_is_made_where_the_pictures_are() -> None:
    volume = tiny.volume((12, 10, 5))
    volume.voxels[:] = -1000
    volume.voxels[8:11, 2:5, 3:] = 40
    restoration = restored(ras(volume), grid_by_factor(5, 2, 4))
    pictures = quality_control.make_pictures(restoration, restoration.result())
    x, y, z = selfcheck.find_middle(restoration)
    assert (x, y, z) == pytest.approx((9, 3, 4), abs=1)
    assert [cut.place for cut in pictures.cuts] == [f"y = {y}", f"x = {x}"]


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("shape", [(8, 8, 3), (9, 8, 2), (20, 18, 7)])
def test_even_the_smallest_volume_has_a_page(shape: tuple[int, int, int], modality: str) -> None:
    volume = replace(tiny.volume(shape, dtype="float32"), header=Header(modality))
    volume.voxels[2, 2, 1], volume.voxels[3, 3, 0] = np.nan, np.inf
    restoration = restored(volume, grid_by_factor(shape[2], 2, 4))
    result = restoration.result()
    pictures = quality_control.make_pictures(restoration, result)
    check = selfcheck.try_self_check(restoration, CPU)
    found = quality_control.make_page_content(FACTS, pictures, restoration, result, check)
    assert (isinstance(found.check, str)) == (shape[2] < 5)
    text = re.sub('base64,[^"]+', "", page.render_page(found))
    assert ("HU" in text) == (modality == "CT")
    assert not re.search(r"\b(None|nan|inf)\b", text.split("<body>")[1].split("<script>")[0])


def test_the_page_shows_geometry_provenance_and_the_region_that_was_checked() -> None:
    restoration = restored(tiny.volume((20, 18, 7)), grid_by_factor(7, 2, 4))
    result = restoration.result()
    pictures = quality_control.make_pictures(restoration, result)
    found = quality_control.make_page_content(
        FACTS, pictures, restoration, result, selfcheck.try_self_check(restoration, CPU)
    )
    assert dict(found.headline)["Distance between slices"] == "5 → 1.25 mm"
    assert [row[1:] for row in found.geometry][:3] == [
        (texts.TIMES.join(("20", "18", "7")), texts.TIMES.join(("20", "18", "25"))),
        (texts.TIMES.join(("0.7", "0.9", "5")), texts.TIMES.join(("0.7", "0.9", "1.25"))),
        (texts.TIMES.join(("13.3", "15.3", "30")), texts.TIMES.join(("13.3", "15.3", "30"))),
    ]
    written = replace(FACTS, shape_after=(14, 16, 25), spacing_after_mm=(1.0, 1.0, 1.2))
    resampled = quality_control.make_page_content(written, pictures, restoration, result, "not asked for")
    assert dict(resampled.headline)["Distance between slices"] == "5 → 1.2 mm"
    assert "from 5 mm to 1.2 mm" in resampled.methods
    assert [row[2] for row in resampled.geometry][:3] == [
        texts.TIMES.join(values) for values in (("14", "16", "25"), ("1", "1", "1.2"), ("13", "15", "28.8"))
    ]
    facts = dict(found.facts)
    assert facts["Weights"] == f"tiny, sha256 {'ab' * 32}"
    assert facts["Options"] == "--factor 2"
    assert not isinstance(found.check, str)
    assert "3 of 7 slices over their whole planes" in found.check.note
    assert "10 mm apart instead of 5 mm" in found.check.note


def test_the_note_on_tilt_has_the_angle_that_the_warning_has() -> None:
    tilted = np.diag([0.5, 0.5, 2.5, 1.0])
    tilted[1, 2] = 2.5 * np.tan(np.radians(18.5))
    volume = Volume(np.zeros((4, 4, 4), np.int16), tilted)
    (note,) = texts.describe_orientation(volume, 2)
    assert note.startswith("Gantry tilt 18.5°")
    angle = np.radians(30)
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    (note,) = texts.describe_orientation(replace(volume, affine_lps=turned), 2)
    assert "30.0° oblique" in note
    assert texts.describe_orientation(replace(volume, affine_lps=np.eye(4)), 2) == ()


def test_the_note_on_labels_says_what_holds_for_the_result() -> None:
    plain, slab = grid_by_factor(7, 2, 4), geometry.grid_of_slabs(grid_by_factor(7, 2, 4), geometry.SlabProfile(1.0))
    kept, ends, resampled = "acquired slices have the same labels", "ends in the middle", "volumes are those after it"
    for grid, options, words in (
        (plain, {}, {kept, ends}),
        (grid_by_factor(7, 2, 4, extrapolate=True), {"--extrapolate": ""}, {kept}),
        (slab, {"--slab": ""}, set()),
    ):
        note = texts.describe_labels(replace(FACTS, options=options), grid)
        assert {one for one in (kept, ends, resampled) if one in note} == words
        note = texts.describe_labels(replace(FACTS, options=options, resamples_planes=True), grid)
        assert {one for one in (kept, ends, resampled) if one in note} == {*words, resampled}


def test_options_that_changed_no_pixels_are_no_reason_to_speak_of_resampled_slices() -> None:
    facts = replace(FACTS, options={"--untilt": "", "--in-plane": "0.7"})
    assert "resampled" not in texts.describe_labels(facts, grid_by_factor(7, 2, 4))


def test_the_note_on_labels_says_where_a_result_ends_whose_spacing_does_not_divide_the_old() -> None:
    for spacing, words in (
        (0.7, "ends 0.6 mm before the middle of the last"),
        (0.75, "ends in the middle of the last"),
    ):
        facts = replace(FACTS, spacing_after_mm=(1.0, 1.0, spacing))
        assert words in texts.describe_labels(facts, geometry.grid_by_spacing(7, 2, 5.0, spacing))
    uneven = geometry.grid_of_uneven((0.0, 1.0, 3.0), 2, np.diag([1.0, 1.0, 5.0, 1.0]), 0.7)
    facts = replace(FACTS, spacing_after_mm=(1.0, 1.0, 0.7))
    assert ("ends 0.3 mm before" in texts.describe_labels(facts, uneven)) == (uneven.origin == 0)


@pytest.mark.parametrize(("seconds", "text"), [(4.26, "4.3 s"), (75.0, "1 min 15 s"), (7260.0, "2 h 1 min")])
def test_times_read_well(seconds: float, text: str) -> None:
    assert texts.format_exact_duration(seconds) == text
