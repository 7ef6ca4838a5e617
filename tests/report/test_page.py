import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report.scans import EVIL, page, pair

from saint_cli.errors import OutputError
from saint_cli.report import index_page, plane_cuts
from saint_cli.report.page import WEBP_QUALITIES, OpeningSentence, render_page, write_page
from saint_cli.report.plane_cuts import ScanPair
from saint_cli.report.windows import CT_WINDOWS


def pictures(text: str) -> list[np.ndarray]:
    """Every picture inside a page."""
    found = re.findall(r'src="data:image/webp;base64,([^"]+)"', text)
    return [np.asarray(Image.open(BytesIO(base64.b64decode(data))).convert("L")) for data in found]


def test_a_page_needs_nothing_outside_itself() -> None:
    text = render_page(page())
    assert not re.search(r"https?://|//cdn|@import|url\(|fetch\(|XMLHttp", re.sub(r"base64,[^\"]+", "", text))
    assert set(re.findall(r'(?:src|href)="([^":]*:)', text)) == {"data:"}
    assert "default-src 'none'" in text


@pytest.mark.parametrize(
    "render",
    [
        lambda: render_page(page(EVIL)),
        lambda: index_page.render_index([index_page.IndexRow(EVIL, failure=EVIL)]),
    ],
    ids=["page", "list"],
)
def test_a_page_obeys_its_own_style_and_script_alone(render: Callable[[], str]) -> None:
    text = render()
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', text)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert text.index("Content-Security-Policy") < text.index("<title")
    assert not re.search(r"<[a-z][^>]*\s(style|on[a-z]+)=", text)


@pytest.mark.parametrize(
    ("thumbnails", "sources"),
    [((), "'none'"), (("a.jpg",), "'self' file:"), (("data:image/png;base64,x", "a.jpg"), "'self' file: data:")],
)
def test_a_list_shows_pictures_only_from_where_it_has_some(thumbnails: tuple[str, ...], sources: str) -> None:
    text = index_page.render_index([index_page.IndexRow("a", thumbnail=one) for one in thumbnails])
    assert f"img-src {sources};" in text


def test_characters_that_hide_or_turn_a_name_are_shown() -> None:
    text = render_page(page("a\u202egnp.exe\x1b[31m"))
    assert r"a\u202egnp.exe\x1b[31m" in text


def test_what_users_name_their_files_cannot_become_markup() -> None:
    text = render_page(page(EVIL))
    assert "<script>alert" not in text
    assert unescape(re.findall(r"<h1>(.*?)</h1>", text)[0]) == EVIL
    assert unescape(re.findall(r"<li>(.*?)</li>", text)[0]) == f"{EVIL} looks odd"
    assert unescape(re.findall(r'<p class="quote"[^>]*>(.*?)</p>', text)[0]).startswith(f"Slices of {EVIL}")


def test_a_name_that_no_encoding_holds_can_still_be_written(tmp_path: Path) -> None:
    write_page(page("caf\udce9.nii"), tmp_path / "p.html")
    assert r"caf\udce9.nii" in (tmp_path / "p.html").read_text(encoding="utf-8")


def test_every_window_has_its_own_picture_of_every_plane_before_and_after() -> None:
    text = render_page(page())
    for index, window in enumerate(CT_WINDOWS):
        assert window.name in text
        assert len(re.findall(rf'<img class="(?:before|after)" data-window="{index}"', text)) == 6


def test_a_page_shows_the_values_that_it_was_given() -> None:
    shown = page()
    after, before = pictures(render_page(shown))[:2]
    window = CT_WINDOWS[0]
    assert np.abs(before.astype(float) - window.to_grey(shown.cuts[0].before)).mean() < 3
    assert np.abs(after.astype(float) - window.to_grey(shown.cuts[0].after)).mean() < 3
    assert np.abs(after.astype(float) - window.to_grey(shown.cuts[0].before)).mean() > 5


def test_what_is_missing_is_named_with_its_reason() -> None:
    text = render_page(page(check="only 4 slices were acquired", bone="Only for CT."))
    assert "Not done: only 4 slices were acquired." in text
    assert "Only for CT." in text
    assert "slider-bone" not in text


@pytest.mark.parametrize("is_warning", [False, True])
def test_the_page_opens_with_the_verdict(is_warning: bool) -> None:
    text = render_page(page(verdict=OpeningSentence("1.9 dB better", is_warning=is_warning))).split("<body>")[1]
    assert text.index("1.9 dB better") < min(text.index("<dl"), text.index("<img"))
    assert ('class="verdict warns"' in text) == is_warning


def test_the_window_that_suits_the_anatomy_is_shown_first() -> None:
    text = render_page(page(shown_window=1))
    assert '<html lang="en" data-window="1">' in text
    assert re.findall(r'value="(\d)" checked', text) == ["1"]


def test_a_synthesised_slice_is_beside_an_acquired_one_if_there_is_any() -> None:
    text = render_page(page())
    assert "slide between linear and saint" in text
    assert "linear 20 HU, saint 12 HU" in text
    assert "Acquired slice 0" in text
    assert "A synthesised slice" not in render_page(page(between=None))


def test_noise_without_end_still_makes_a_page_below_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large volume of pure noise, the least compressible picture there is."""
    monkeypatch.setattr("saint_cli.report.page.WEBP_QUALITIES", WEBP_QUALITIES[-2:])  # which it comes to at last
    noise = np.random.default_rng(0).normal(0, 400, (512, 512, 5)).astype(np.int16)
    scan = pair((512, 512, 5), 4)
    turned = replace(scan.after, voxels=np.random.default_rng(1).normal(0, 400, (4, 512, 512)).astype(np.int16))
    before = replace(scan.before, voxels=np.random.default_rng(2).normal(0, 400, (4, 512, 512)).astype(np.int16))
    wide = ScanPair(before, turned, 2, {0: np.abs(noise[..., 0]).astype(np.float32)})
    one = plane_cuts.make_cut(replace(wide, before=turned), 0, (1, 1, 1))
    write_page(page(cuts=(one, replace(one, name="coronal"))), tmp_path / "p.html")
    assert 500_000 < (tmp_path / "p.html").stat().st_size < 3_000_000


def test_a_page_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OutputError, match="cannot be written"):
        write_page(page(), tmp_path / "file" / "p.html")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
