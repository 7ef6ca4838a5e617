"""One scan's page: what a radiologist needs to trust a result or not, in a single file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saint_cli.io.whole_files import write_text
from saint_cli.report import anatomy, encode, label_outlines, render
from saint_cli.report.bone import BONE_HU
from saint_cli.report.bone_planes import DENSE_HU, REACH_MM
from saint_cli.report.label_outlines import LabelTable, Rgb
from saint_cli.report.plane_cuts import Cut
from saint_cli.report.slice_comparison import SliceComparison
from saint_cli.report.windows import Window

WEBP_QUALITIES = (95, 88, 75, 55, 35)
"""Tried in turn until the page is small enough."""

LARGEST_BYTES = 2_800_000

BEFORE_AFTER = ("before", "after")
"""The sides of most sliders."""


@dataclass(frozen=True)
class ErrorMapTexts:
    """What ``Cut.error_map`` shows: a title, the unit (may be empty) and a note."""

    title: str
    unit: str
    note: str


@dataclass(frozen=True)
class OpeningSentence:
    """The sentence that a page opens with, and whether it is a warning."""

    sentence: str
    is_warning: bool


@dataclass(frozen=True)
class SliceComparisonContent:
    """A synthesised slice, a note, and what is said of noise below linear, synthesised and acquired, "" for nothing."""

    pictures: SliceComparison
    note: str
    noise: tuple[str, str, str] = ("", "", "")


@dataclass(frozen=True)
class SelfCheckContent:
    """The self-check: pictures [rows, columns] of scanner values, figures and a note.

    figures: (what, SAINT, cubic interpolation) as text; measures: (what, truth, SAINT, cubic, linear interpolation) as
    text; unit of the errors.
    """

    truth: np.ndarray
    predicted: np.ndarray
    cubic: np.ndarray
    figures: tuple[tuple[str, str, str], ...]
    unit: str
    note: str
    measures: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class PageContent:
    """Everything on a page; no patient text, and of files only their names.

    cuts: planes across the slices; between: a synthesised slice, None where there is none;
    windows: the grey levels to choose from, ``shown_window`` first; errors: what the cuts' error maps show;
    check: the self-check, or why there is none; geometry: (what, before, after); bone: before and after as uint8
    pictures, or why there are none; methods: a paragraph for papers; facts: provenance, (what, value); labels: what the
    outlines of the cuts show.
    """

    name: str
    version: str
    verdict: OpeningSentence
    headline: tuple[tuple[str, str], ...]
    geometry: tuple[tuple[str, str, str], ...]
    cuts: tuple[Cut, ...]
    between: SliceComparisonContent | None
    windows: tuple[Window, ...]
    shown_window: int
    errors: ErrorMapTexts
    check: SelfCheckContent | str
    bone: tuple[np.ndarray, np.ndarray] | str
    methods: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    labels: LabelTable | None = None


class _Figure:
    """A figure of a size in pixels."""

    width: int
    height: int

    @property
    def css_class(self) -> str:
        """The CSS class of figures of this size."""
        return f"p{self.width}x{self.height}"


@dataclass(frozen=True)
class SliderFigure(_Figure):
    """A slider between two pictures, left and right: for each window two of one size, as data URIs.

    outlines: of labels, over either side; none where there are no labels.
    """

    key: str
    title: str
    caption: str
    sides: tuple[str, str]
    edges: tuple[str, ...]
    width: int
    height: int
    pairs: tuple[tuple[str, str], ...]
    outlines: tuple[str, ...] = ()


@dataclass(frozen=True)
class PictureFigure(_Figure):
    """A picture with its caption, for each window or once, as data URIs."""

    title: str
    uris: tuple[str, ...]
    width: int
    height: int
    caption: str = ""


@dataclass(frozen=True)
class SelfCheckFigures:
    """The self-check with its pictures; top: end of the colour scale of the errors."""

    content: SelfCheckContent
    pictures: tuple[PictureFigure, ...]
    top: str


def write_page(page: PageContent, path: Path, *, overwrite: bool = True) -> None:
    """Write the page as one HTML file; it appears under its name only when complete.

    overwrite: whether it may replace what is at ``path`` by then.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(render_page(page), path, overwrite=overwrite)


def render_page(page: PageContent) -> str:
    """The page as HTML, of at most ``LARGEST_BYTES`` unless the lowest quality needs more."""
    text = ""
    for quality in WEBP_QUALITIES:
        text = _render_page(page, quality)
        if len(text) <= LARGEST_BYTES:
            break
    return text


def _render_page(page: PageContent, quality: int) -> str:
    top = encode.choose_colour_limit(*(cut.error_map for cut in page.cuts if cut.error_map is not None))
    colours = {} if page.labels is None else page.labels.colours
    sliders = [_slider(cut, page.windows, colours, quality) for cut in page.cuts]
    bone = None if isinstance(page.bone, str) else _bone(page.bone, quality)
    maps = [_map(c.name.capitalize(), c.error_map, top, quality) for c in page.cuts if c.error_map is not None]
    check = None if isinstance(page.check, str) else _self_check(page.check, page.windows, quality)
    between = [] if page.between is None else _compare_slice(page.between, page.windows, quality)
    figures: list[SliderFigure | PictureFigure] = [*sliders, *maps, *between]
    figures += [] if bone is None else [bone]
    figures += [] if check is None else check.pictures
    return render.render_template(
        "page",
        sources="data:",
        rules=_rules(figures) + ("" if page.labels is None else page.labels.rules),
        page=page,
        sliders=sliders,
        bone=bone,
        between=between,
        bone_hu=f"{BONE_HU:g}",
        dense_hu=f"{DENSE_HU:g}",
        reach_mm=f"{REACH_MM:g}",
        maps=maps,
        top=f"{top:g}",
        check=check,
    )


def _rules(figures: Sequence[SliderFigure | PictureFigure]) -> str:
    """CSS of the figures' proportions and the bars' colours, for the policy allows no style attributes."""
    sizes = {f.css_class: f".{f.css_class} {{ --w: {f.width}; --h: {f.height}; }}\n" for f in figures}
    return f".bar i {{ background: {encode.css_gradient()}; }}\n{''.join(sizes.values())}"


def _slider(cut: Cut, windows: tuple[Window, ...], colours: Mapping[int, Rgb], quality: int) -> SliderFigure:
    pairs = tuple(zip(*(_greys(values, windows, quality) for values in (cut.before, cut.after)), strict=True))
    rows, columns = cut.after.shape
    caption = f"plane {cut.place}"
    outlines = tuple(label_outlines.to_png_uri(label_outlines.draw_outlines(one, colours)) for one in cut.labels or ())
    title = cut.name.capitalize()
    return SliderFigure(cut.name, title, caption, BEFORE_AFTER, cut.edges, columns, rows, pairs, outlines)


def _compare_slice(
    content: SliceComparisonContent, windows: tuple[Window, ...], quality: int
) -> list[SliderFigure | PictureFigure]:
    """A slider between linear interpolation and the result, and the acquired slice beside it."""
    shown = content.pictures
    rows, columns = shown.synthesised.shape
    pictures = (shown.linear, shown.synthesised, shown.acquired)
    linear, synthesised, acquired = (_greys(values, windows, quality) for values in pictures)
    title, noise = f"Synthesised slice {shown.axis} = {shown.index}", content.noise
    caption = f"linear {noise[0]}, saint {noise[1]}" if noise[0] else ""
    pairs = tuple(zip(linear, synthesised, strict=True))
    slider = SliderFigure("between", title, caption, ("linear", "saint"), shown.edges, columns, rows, pairs)
    return [slider, PictureFigure(f"Acquired slice {shown.nearest}", acquired, columns, rows, noise[2])]


def _bone(pictures: tuple[np.ndarray, np.ndarray], quality: int) -> SliderFigure:
    rows, columns = pictures[1].shape
    pair = (encode.to_data_uri(pictures[0], quality), encode.to_data_uri(pictures[1], quality))
    edges = anatomy.edge_letters(1)
    return SliderFigure("bone", "Bone surface", "seen from the front", BEFORE_AFTER, edges, columns, rows, (pair,))


def _self_check(content: SelfCheckContent, windows: tuple[Window, ...], quality: int) -> SelfCheckFigures:
    """Three grey pictures and two maps of absolute errors, all of one slice."""
    differences = [np.abs(content.truth - result) for result in (content.predicted, content.cubic)]
    top = encode.choose_colour_limit(*differences)
    rows, columns = content.truth.shape
    greys = (("Acquired, left out", content.truth), ("SAINT", content.predicted), ("Cubic", content.cubic))
    pictures = [PictureFigure(title, _greys(values, windows, quality), columns, rows) for title, values in greys]
    titles = ("Error of SAINT", "Error of cubic")
    pictures += [_map(title, values, top, quality) for title, values in zip(titles, differences, strict=True)]
    return SelfCheckFigures(content, tuple(pictures), f"{top:g}")


def _greys(values: np.ndarray, windows: tuple[Window, ...], quality: int) -> tuple[str, ...]:
    """A picture of scanner values in every window."""
    return tuple(encode.to_data_uri(window.to_grey(values), quality) for window in windows)


def _map(title: str, values: np.ndarray, top: float, quality: int) -> PictureFigure:
    uri = encode.to_data_uri(encode.apply_colours(values, top), quality)
    return PictureFigure(title, (uri,), values.shape[1], values.shape[0])
