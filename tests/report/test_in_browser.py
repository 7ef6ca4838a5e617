"""Pages in a real browser: sliders, windows, keys, sorting, and no word to the network."""

import base64
import http.server
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import browser
import numpy as np
import pytest
from browser import css, keys
from PIL import Image
from report.scans import EVIL, page

from saint_cli.report import render
from saint_cli.report.index_page import IndexRow, write_index
from saint_cli.report.page import write_page
from saint_cli.report.windows import CT_WINDOWS

WIPED = "[data-slider=coronal]"


@pytest.fixture
def opened(chromium: Any, tmp_path: Path) -> Iterator[Any]:
    """The driver with a page in front; in the end nothing may have been complained about or asked of the network."""
    path = tmp_path / "page & co.html"
    write_page(page(EVIL), path)
    chromium.get(path.as_uri())
    yield chromium
    assert browser.complaints(chromium) == []
    assert set(browser.requests(chromium)) <= {path.as_uri()}


def seen(driver: Any, selector: str = f"{WIPED} .frame") -> np.ndarray:
    """What an element looks like, grey levels [rows, columns]."""
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", css(driver, selector))
    with Image.open(BytesIO(base64.b64decode(css(driver, selector).screenshot_as_base64))) as image:
        return np.asarray(image.convert("L")).astype(float)


def slide(driver: Any, value: int, key: str = "coronal") -> None:
    script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
    driver.execute_script(script, css(driver, f"#slider-{key}"), value)


def resembles(shown: np.ndarray, picture: np.ndarray) -> bool:
    """Whether a screenshot shows a grey picture; the inner part, where no letters or lines lie."""
    with Image.fromarray(picture) as image:
        wanted = np.asarray(image.resize(shown.shape[::-1], Image.Resampling.NEAREST)).astype(float)
    rows, columns = (slice(n // 5, 2 * n // 5) for n in shown.shape)
    return bool(np.abs(shown[rows, columns] - wanted[rows, columns]).mean() < 6)


def test_the_slider_moves_the_wipe(opened: Any) -> None:
    cut, window = page().cuts[0], CT_WINDOWS[0]
    slide(opened, 100)
    assert resembles(seen(opened), window.to_grey(cut.before))
    assert not resembles(seen(opened), window.to_grey(cut.after))
    slide(opened, 0)
    assert resembles(seen(opened), window.to_grey(cut.after))
    assert not resembles(seen(opened), window.to_grey(cut.before))


def test_a_slider_obeys_the_arrow_keys_and_says_where_it_is(opened: Any) -> None:
    slider = css(opened, "#slider-coronal")
    slider.send_keys("\ue012" * 3)  # three times to the left
    assert slider.get_attribute("value") == "47"
    assert slider.get_attribute("aria-valuetext").startswith("47 %")
    assert "--slider: 47%" in css(opened, f"{WIPED} .frame").get_attribute("style")
    assert opened.find_elements("css selector", "label[for=slider-coronal]")


def test_dragging_a_picture_moves_its_own_wipe_only(opened: Any) -> None:
    from selenium.webdriver import ActionChains

    frame = css(opened, f"{WIPED} .frame")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", frame)
    width = frame.size["width"]
    ActionChains(opened).move_to_element(frame).click_and_hold().move_by_offset(width // 4, 0).release().perform()
    assert float(css(opened, "#slider-coronal").get_attribute("value")) == pytest.approx(75, abs=2)
    assert css(opened, "#slider-sagittal").get_attribute("value") == "50"


def test_windows_change_the_picture_by_click_and_by_number_key(opened: Any) -> None:
    cut = page().cuts[0]
    slide(opened, 0)
    for index in (1, 2, 0):
        css(opened, f"input[name=window][value='{index}']").click()
        assert resembles(seen(opened), CT_WINDOWS[index].to_grey(cut.after)), index
    for index in (2, 0, 1):
        keys(opened, "body", str(index + 1))
        assert css(opened, f"input[name=window][value='{index}']").is_selected()
        assert resembles(seen(opened), CT_WINDOWS[index].to_grey(cut.after)), index
    keys(opened, "body", "9")
    assert css(opened, "input[name=window][value='1']").is_selected()


def test_the_arrow_keys_choose_a_window_too(opened: Any) -> None:
    keys(opened, "input[name=window][value='0']", "\ue014")  # right
    assert css(opened, "input[name=window][value='1']").is_selected()
    assert css(opened, "html").get_attribute("data-window") == "1"


def test_b_flips_all_pictures_between_before_and_after(opened: Any) -> None:
    sliders = opened.find_elements("css selector", "input[type=range]")
    assert len(sliders) == 4
    for wanted in ("100", "0", "100"):
        keys(opened, "body", "b")
        assert {slider.get_attribute("value") for slider in sliders} == {wanted}


def test_a_table_of_wide_figures_breaks_no_words_of_their_names_on_a_narrow_screen(opened: Any) -> None:
    opened.set_window_size(420, 1000)
    opened.execute_script("document.querySelectorAll('#check .figures td').forEach(cell => cell.append('1234.5 ml'))")
    try:
        names = opened.find_elements("css selector", "#check .figures tbody th")
        assert names
        assert min(name.rect["width"] for name in names) >= 9 * 16  # 9rem
    finally:
        opened.set_window_size(1200, 1000)


COUNT_BROKEN_WORDS = """
let broken = 0;
for (const cell of document.querySelectorAll(arguments[0])) {
  const text = cell.firstChild;
  for (const word of text ? text.data.matchAll(/\\S+/g) : []) {
    const range = document.createRange();
    range.setStart(text, word.index);
    range.setEnd(text, word.index + word[0].length);
    broken += new Set([...range.getClientRects()].map(box => box.top)).size > 1;
  }
}
return broken;
"""


def test_the_table_of_the_geometry_breaks_no_words_on_a_narrow_screen(opened: Any) -> None:
    cells = opened.find_elements("css selector", "#geometry tbody th, #geometry tbody td")
    texts = ("Slices taken for slabs as thick as, mm", "0.7598 x 0.7598 x 4", "at most 0.25 HU from these")
    for cell, text in zip(cells, texts, strict=True):
        opened.execute_script("arguments[0].textContent = arguments[1]", cell, text)
    opened.set_window_size(420, 1000)
    try:
        assert opened.execute_script(COUNT_BROKEN_WORDS, "#geometry th, #geometry td") == 0
        assert opened.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    finally:
        opened.set_window_size(1200, 1000)


@pytest.mark.parametrize("width", [1200, 420])
def test_pictures_keep_their_proportions_and_fit_the_window(opened: Any, width: int) -> None:
    opened.set_window_size(width, 1000)
    for cut in page().cuts:
        size = css(opened, f"[data-slider={cut.name}] .frame").size
        assert size["width"] / size["height"] == pytest.approx(cut.after.shape[1] / cut.after.shape[0], rel=0.02)
    assert opened.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    opened.set_window_size(1200, 1000)


def contrast(one: str, other: str) -> float:
    """The contrast of two CSS colours by WCAG 2."""
    light = []
    for colour in (one, other):
        levels = np.array([float(v) for v in colour.split("(")[1].rstrip(")").split(",")[:3]]) / 255
        linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        light.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(light) / min(light)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_in_light_and_dark(opened: Any, scheme: str) -> None:
    browser.dark(opened, scheme)
    ground = css(opened, "body").value_of_css_property("background-color")
    assert (contrast(ground, "rgb(0, 0, 0)") < 5) == (scheme == "dark")
    for selector in ("h1", ".verdict", ".hint", "figcaption span", "tbody th", "footer"):
        assert contrast(ground, css(opened, selector).value_of_css_property("color")) > 4.5, selector
    browser.dark(opened, "light")


def test_the_file_name_is_shown_as_it_is(opened: Any) -> None:
    assert css(opened, "h1").text == EVIL
    assert opened.title.startswith("a<b>&amp;")


ATTACK = """<script>document.title = 'hit'</script><img src=x onerror="document.title = 'hit'">
<style>body { display: none }</style><p style='color: red'>x</p><base href='EVIL/'><iframe src='EVIL/frame'></iframe>
<img src='EVIL/x.png'><link rel=stylesheet href='EVIL/x.css'><script src='EVIL/x.js'></script>
<form action='EVIL/form'><button id=send>x</button></form><a id=lead href="javascript:document.title='hit'">x</a>"""
"""What a name could do to a page, if it became a part of it."""


@pytest.fixture
def evil() -> Iterator[tuple[str, list[str]]]:
    """The address of a server, and what it was asked for."""
    asked: list[str] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.mark.parametrize("kind", ["page", "list"])
def test_even_what_nobody_escaped_does_nothing(
    chromium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evil: tuple[str, list[str]], kind: str
) -> None:
    careful = render._environment

    def careless() -> Any:
        environment = careful()
        environment.autoescape = False
        return environment

    monkeypatch.setattr(render, "_environment", careless)
    path, attack = tmp_path / "x.html", ATTACK.replace("EVIL", evil[0])
    if kind == "page":
        write_page(page(attack, facts=(("Options", attack),), notes=(attack,), warnings=(attack,)), path)
    else:
        write_index(path, [IndexRow(attack, "x.html", warnings=(attack,)), IndexRow("a", failure=attack)])
    chromium.get(path.as_uri())
    for selector in ("#send", "#lead"):
        chromium.execute_script("arguments[0].click()", css(chromium, selector))
    assert chromium.title != "hit"
    assert css(chromium, "body").is_displayed()
    assert chromium.execute_script("return document.baseURI") == path.as_uri()
    assert evil[1] == []
    assert "Content Security Policy" in " ".join(browser.complaints(chromium))
    assert chromium.find_elements("css selector", "iframe")  # it did become a part
    browser.requests(chromium)
