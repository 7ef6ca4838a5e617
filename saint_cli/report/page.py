"""One scan's page: what a radiologist needs to trust a result or not, in one file that needs nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from saint_cli.report import encode, render
from saint_cli.report.bone import BONE_HU
from saint_cli.report.cuts import Cut
from saint_cli.report.windows import Window

QUALITIES = (95, 88, 75, 55, 35)
"""WebP qualities, tried in turn until the page is small enough."""

LARGEST_BYTES = 2_800_000


@dataclass(frozen=True)
class Line:
    """One line of the table of geometry: what, before, after."""

    label: str
    before: str
    after: str


@dataclass(frozen=True)
class ErrorMaps:
    """How the values of ``Cut.extra`` are to be read: a title, their unit (may be empty) and a sentence."""

    title: str
    unit: str
    note: str


@dataclass(frozen=True)
class CheckView:
    """The self-check in pictures [rows, columns] of scanner values, and in words.

    figures: (what, SAINT, cubic interpolation) as text; gain_db: SAINT's PSNR above cubic's; unit of the errors.
    """

    truth: np.ndarray
    predicted: np.ndarray
    cubic: np.ndarray
    figures: tuple[tuple[str, str, str], ...]
    psnr_db: float
    gain_db: float
    unit: str
    note: str


@dataclass(frozen=True)
class Page:
    """Everything that a page tells; no patient text, and of files only their names.

    cuts: planes across the slices; windows: the grey levels to choose from, the first shown first;
    errors: what the cuts' extra pictures mean; check: the self-check, or why there is none;
    bone: before and after as uint8 pictures, or why there are none; facts: provenance, (what, value).
    """

    name: str
    version: str
    headline: tuple[tuple[str, str], ...]
    geometry: tuple[Line, ...]
    cuts: tuple[Cut, ...]
    windows: tuple[Window, ...]
    errors: ErrorMaps
    check: CheckView | str
    bone: tuple[np.ndarray, np.ndarray] | str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())


class _Sized:
    """What is drawn in pixels."""

    width: int
    height: int

    @property
    def shape(self) -> str:
        """The class of figures of this size."""
        return f"p{self.width}x{self.height}"


@dataclass(frozen=True)
class Wipe(_Sized):
    """Two pictures of one size, one wiped over the other: for each window a before and an after, as data URIs."""

    key: str
    title: str
    caption: str
    edges: tuple[str, ...]
    width: int
    height: int
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Shown(_Sized):
    """A picture with its caption."""

    title: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Checked:
    """The self-check with its pictures; top: of the colours of the errors."""

    view: CheckView
    shown: tuple[Shown, ...]
    top: str


def write_page(page: Page, path: Path) -> None:
    """Write the page as one HTML file; it appears under its name only when complete.

    Raises:
        OutputError: it cannot be written.
    """
    render.write_text(html(page), path)


def html(page: Page) -> str:
    """The page as text, of at most ``LARGEST_BYTES`` unless even the least quality needs more."""
    text = ""
    for quality in QUALITIES:
        text = _html(page, quality)
        if len(text) <= LARGEST_BYTES:
            break
    return text


def _html(page: Page, quality: int) -> str:
    top = encode.rounded_top(*(cut.extra for cut in page.cuts if cut.extra is not None))
    wipes = [_wipe(cut, page.windows, quality) for cut in page.cuts]
    bone = None if isinstance(page.bone, str) else _bone(page.bone, quality)
    maps = [_map(cut, top, quality) for cut in page.cuts if cut.extra is not None]
    check = None if isinstance(page.check, str) else _check(page.check, page.windows[0], quality)
    figures: list[Wipe | Shown] = [*wipes, *maps]
    figures += [] if bone is None else [bone]
    figures += [] if check is None else check.shown
    return render.page(
        "page",
        sources="data:",
        rules=_rules(figures),
        page=page,
        wipes=wipes,
        bone=bone,
        bone_hu=f"{BONE_HU:g}",
        maps=maps,
        top=f"{top:g}",
        check=check,
    )


def _rules(figures: Sequence[Wipe | Shown]) -> str:
    """The proportions of the figures, and the colours of the bars, as CSS: the policy allows no style at an element."""
    sizes = {f.shape: f".{f.shape} {{ --w: {f.width}; --h: {f.height}; }}\n" for f in figures}
    return f".bar i {{ background: {encode.gradient()}; }}\n{''.join(sizes.values())}"


def _wipe(cut: Cut, windows: tuple[Window, ...], quality: int) -> Wipe:
    pairs = tuple(
        (encode.data_uri(w.grey(cut.before), quality), encode.data_uri(w.grey(cut.after), quality)) for w in windows
    )
    rows, columns = cut.after.shape
    return Wipe(cut.name, cut.name.capitalize(), f"plane {cut.place}", cut.edges, columns, rows, pairs)


def _bone(pictures: tuple[np.ndarray, np.ndarray], quality: int) -> Wipe:
    rows, columns = pictures[1].shape
    pair = (encode.data_uri(pictures[0], quality), encode.data_uri(pictures[1], quality))
    return Wipe("bone", "Bone surface", "seen from the front", ("R", "L", "S", "I"), columns, rows, (pair,))


def _map(cut: Cut, top: float, quality: int) -> Shown:
    assert cut.extra is not None
    uri = encode.data_uri(encode.coloured(cut.extra, top), quality)
    return Shown(cut.name.capitalize(), uri, cut.extra.shape[1], cut.extra.shape[0])


def _check(view: CheckView, window: Window, quality: int) -> Checked:
    """Three grey pictures and two maps of absolute errors, all of one slice."""
    differences = [np.abs(view.truth - result) for result in (view.predicted, view.cubic)]
    top = encode.rounded_top(*differences)
    rows, columns = view.truth.shape
    greys = (("Acquired, left out", view.truth), ("SAINT", view.predicted), ("Cubic", view.cubic))
    shown = [Shown(title, encode.data_uri(window.grey(p), quality), columns, rows) for title, p in greys]
    for title, difference in zip(("Error of SAINT", "Error of cubic"), differences, strict=True):
        shown.append(Shown(title, encode.data_uri(encode.coloured(difference, top), quality), columns, rows))
    return Checked(view, tuple(shown), f"{top:g}")
