"""The one console of the program: text is text."""

import ast
import io
import re
from pathlib import Path

import pytest
from cli.runs import Screen
from rich.cells import cell_len
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

import saint_cli
from saint_cli.cli import console
from saint_cli.cli.terminal import Terminal

NAMES = [
    "pt[/scan]",
    "[red]x",
    "[link=http://evil]click[/link]",
    ":smile:",
    "a\\[b",
    "\x1b[31mred\x9b0m",
    "a\rb\bc\x07",
    "turned\u202egnp.nii",
    "zero\u200bwidth",
    "M\udcfcller",
    "短い\u3000胸部検査",
    "e\u0301te\u0301",
    "12 /tmp/x 'y' True",
]


def shown(name: str) -> list[str]:
    """What every way to print makes of a name, on a terminal in colours."""
    table = Table(name, title=name, caption=name)
    table.add_row(name)
    table.add_row(Text(name))
    tree = Tree(name)
    tree.add(name)
    found = []
    for one in (name, Text(name), table, tree, Panel(name)):
        screen = Screen()
        Terminal(screen, width=120).print(one)
        found.append(screen.getvalue())
    return found


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_letter_by_letter_wherever_they_stand(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    plain = "".join(c if c.isprintable() or c == "\u3000" else c.encode("unicode_escape").decode() for c in name)
    text, put_together, *others = shown(name)
    assert text == f"{plain}\n"
    assert all(plain in one for one in others)
    for one in (text, put_together, *others):
        own = re.sub(r"\x1b\[[0-9;]*m", "", one)
        assert own.replace("\n", "").replace("\u3000", "").isprintable()


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_names_do_not_break_tables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    console.print_table("[b]Plan", ("[/x]", "voxels"), [(name, "1 x 2") for name in NAMES])
    title, *lines = capsys.readouterr().out.splitlines()
    assert title.strip() == "[b]Plan"
    assert len({cell_len(line) for line in lines}) == 1
    if columns == "200":
        assert any("pt[/scan]" in line for line in lines)


def test_a_table_wider_than_the_terminal_is_a_list_of_whole_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "24")
    console.print_table(
        "Scores", ("method", "PSNR dB", "difference"), [iter(("linear", "36.14", "")), ("[b]", "40", "1")]
    )
    shown = capsys.readouterr().out.splitlines()
    assert shown == ["Scores", "linear", "  PSNR dB: 36.14", "[b]", "  PSNR dB: 40", "  difference: 1"]


def test_what_is_drawn_again_and_again_shows_names_as_they_are() -> None:
    file = io.StringIO()
    terminal = Terminal(file, width=60)
    with Live("[red]\x1b[31m:smile:", console=terminal, auto_refresh=False) as live:
        live.refresh()
    assert r"[red]\x1b[31m:smile:" in file.getvalue()


PACKAGE = Path(saint_cli.__file__).parent

HARMLESS = {
    *("rich.text.Text", "rich.table.Table", "rich.progress_bar.ProgressBar", "rich.live.Live"),
    *("rich.constrain.Constrain", "rich.cells.cell_len", "rich.cells.set_cell_size", "rich.console.RenderableType"),
    *("rich.console.Console", "rich.console.ConsoleOptions", "rich.console.RenderResult"),
}
"""What may be used of rich: none of it makes a console, or reads markup by itself; of ``Console`` the type."""


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_terminal_uses_what_could_read_markup(path: Path) -> None:
    if path.name == "terminal.py":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rich":
            assert {f"{node.module}.{alias.name}" for alias in node.names} <= HARMLESS
        elif isinstance(node, ast.Import):
            assert not [alias for alias in node.names if alias.name.split(".")[0] == "rich"]
        elif isinstance(node, ast.Attribute):
            assert node.attr not in ("from_markup", "render_markup", "secho", "rich_utils", "prompt", "confirm")
        elif isinstance(node, ast.keyword):
            assert node.arg not in ("markup", "emoji")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "status":
            assert ast.unparse(node.args[0]).startswith("Text(")  # a spinner reads markup out of text
