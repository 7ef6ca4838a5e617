"""``benchmarks/paper_tables.py`` from saved runs of tiny networks: scores, tables, order, pictures, page."""

import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchmarks.paper_runs import write_network, write_scan

from saint_cli.errors import UnreadableError, UsageError

ROOT = Path(__file__).parents[2]
MODULES = (
    "figures",
    "keep",
    "page",
    "published",
    "records",
    "report",
    "scoring",
    "systems",
    "tables",
)
SLICES = {2: 5, 4: 9, 6: 13}


@pytest.fixture
def paper() -> SimpleNamespace:
    """The modules ``paper_*`` of benchmarks/, by the rest of their names."""
    return SimpleNamespace(**{name: import_module(f"paper_{name}") for name in MODULES})


@pytest.fixture
def scoring(paper: SimpleNamespace, tmp_path: Path) -> object:
    """Two volumes, no runs yet."""
    for seed, name in enumerate(("a.nii", "b.nii")):
        write_scan(tmp_path / "val" / name, seed)
    files = sorted((tmp_path / "val").iterdir())
    return paper.scoring.Scoring(tmp_path / "runs", {file.name: file for file in files}, SLICES)


def list_lines(paper: SimpleNamespace, scoring: object, *names: str) -> list[str]:
    """Score some systems; the lines that are printed."""
    systems = [system for system in paper.systems.SYSTEMS if system.name in names]
    return list(paper.scoring.score_all(scoring, systems, [paper.systems.Regime.TIME], 1))


def test_every_row_of_the_papers_tables_has_a_system_in_that_table(paper: SimpleNamespace) -> None:
    for table, published in paper.report.PUBLISHED.items():
        here = {system.published for system in paper.systems.list_systems(table)}
        for rows in published.values():
            assert set(rows) <= here
            assert set(rows) <= set(paper.published.TITLES)


def test_every_network_that_a_system_runs_is_trained(paper: SimpleNamespace) -> None:
    used = {name for system in paper.systems.SYSTEMS for name in (system.networks or {}).values()}
    assert used == set(paper.systems.NETWORKS)


def test_the_stages_of_a_system_share_one_budget(paper: SimpleNamespace) -> None:
    for network in paper.systems.NETWORKS.values():
        before = paper.systems.NETWORKS.get(network.starts_from)
        stages = [*(before.stages[:1] if before else ()), *network.stages]
        assert sum(stage.share for stage in stages) == 1


def test_a_score_is_computed_once_and_again_for_other_weights(paper: SimpleNamespace, scoring: object) -> None:
    write_network(scoring.runs, "time", "mdsr")
    assert len(list_lines(paper, scoring, "mdsr", "linear")) == 12
    assert list_lines(paper, scoring, "mdsr", "linear") == []
    before = paper.report.Results.read(scoring.runs, paper.systems.Regime.TIME).mean_db("mdsr", 4)
    write_network(scoring.runs, "time", "mdsr", seed=1)
    assert len(list_lines(paper, scoring, "mdsr", "linear")) == 6
    after = paper.report.Results.read(scoring.runs, paper.systems.Regime.TIME)
    assert after.mean_db("mdsr", 4) != before
    assert len(after.cells["mdsr", 4]) == 2


def test_other_voxels_are_scored_again(paper: SimpleNamespace, scoring: object) -> None:
    list_lines(paper, scoring, "cubic")
    write_scan(scoring.volumes["a.nii"], seed=9)
    assert len(list_lines(paper, scoring, "cubic")) == 3


def test_a_network_without_record_is_not_scored(paper: SimpleNamespace, scoring: object) -> None:
    write_network(scoring.runs, "time", "rdn-x4")
    (scoring.runs / "time" / "rdn-x4" / "record.json").unlink()
    write_network(scoring.runs, "time", "rdn-x6")
    assert {line.split()[-4] for line in list_lines(paper, scoring, "rdn")} == {"x6:"}


def test_a_line_that_was_cut_off_is_left_out_and_the_next_one_is_whole(paper: SimpleNamespace, tmp_path: Path) -> None:
    cells = [paper.records.Cell("linear", name, 4, "linear", "sha", 9, 30.0, 0.9) for name in "abc"]
    path = tmp_path / "deep" / "linear.jsonl"
    for cell in cells[:2]:
        paper.records.append_line(cell, path)
    path.write_bytes(path.read_bytes()[:-9])
    paper.records.append_line(cells[2], path)
    assert paper.records.read_lines(paper.records.Cell, path) == [cells[0], cells[2]]


def make_results(paper: SimpleNamespace, psnr_db: dict[str, float]) -> object:
    """At factor 4, on one volume."""
    cells = {(name, 4): [paper.records.Cell(name, "v", 4, "w", "s", 49, db, 0.9)] for name, db in psnr_db.items()}
    return paper.report.Results(paper.systems.Regime.TIME, cells, {}, {})


def test_pairs_that_stand_the_other_way_round_are_found(paper: SimpleNamespace) -> None:
    papers_order = {"mdsr": 33.0, "rdn": 34.0, "ami-published": 34.5, "saint-published": 35.0}
    assert list(paper.report.find_reversals(make_results(paper, papers_order))) == []
    (found,) = paper.report.find_reversals(make_results(paper, papers_order | {"rdn": 34.7}))
    assert (found.better, found.worse, found.table) == ("AMI, as published", "2D RDN", 1)
    assert found.here_db == pytest.approx(-0.2)
    assert found.paper_db == pytest.approx(0.185, abs=1e-9)


def test_systems_that_the_paper_has_as_equal_are_no_pair(paper: SimpleNamespace) -> None:
    equal = {"rdn": 33.0, "meta-sr": 34.0}  # 34.130 and 34.1325 dB there
    assert list(paper.report.find_reversals(make_results(paper, equal))) == []


def test_the_best_is_bold_and_shipped_models_are_not_ranked(paper: SimpleNamespace) -> None:
    table = paper.report.format_results(make_results(paper, {"mdsr": 33.0, "rdn": 34.0, "shipped-medium": 36.0}), 1)
    assert "**34.00**" in table
    assert "<u>33.00</u>" in table
    assert "| 36.00 |" in table


def test_text_around_the_parts_of_a_page_stays(paper: SimpleNamespace, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- one -->\nold\n<!-- end -->\nmiddle\n<!-- two x -->\n<!-- end -->\nafter\n")
    paper.page.rewrite_page(page, {"two x": r"new \1 | table"})
    paper.page.rewrite_page(page, {"one": "1\n"})
    wanted = "before\n<!-- one -->\n1\n<!-- end -->\nmiddle\n<!-- two x -->\nnew \\1 | table\n<!-- end -->\nafter\n"
    assert page.read_text() == wanted


def test_a_part_without_markers_is_refused(paper: SimpleNamespace, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text\n")
    with pytest.raises(UnreadableError, match="no markers for table"):
        paper.page.rewrite_page(page, {"table": "new"})
    assert page.read_text() == "text\n"


def test_the_whole_page_is_made_from_saved_runs(
    paper: SimpleNamespace, scoring: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mdsr", "mdcsrn-x4", "saint"):
        write_network(scoring.runs, "time", name)
    list_lines(paper, scoring, *paper.systems.INTERPOLATORS, "mdsr", "mdcsrn", "ami", "ami-mean")
    page = tmp_path / "comparison.md"
    shutil.copyfile(ROOT / "docs" / "comparison.md", page)
    monkeypatch.setattr(paper.tables, "FILTER_SLICE", (6, 5, 4))
    monkeypatch.setitem(import_module("paper_filters").AMI_SIZES, "base", (8, 4, 2, 1))
    monkeypatch.setattr(paper.figures, "BONE_SYSTEMS", ("cubic", "ami"))
    monkeypatch.setattr(paper.figures, "FIGURES", {"comparison-2d.jpg": ("cubic", "ami")})
    paper.tables.write_page(scoring, "a.nii", page)
    text = page.read_text()
    for part in ("2D MDSR", "mDCSRN", "64³, margin 3", "H x W = 30", "comparison-2d.jpg", "better here"):
        assert part in text
    assert (tmp_path / "comparison-2d.jpg").is_file()


def test_the_copy_of_runs_gives_the_same_tables(paper: SimpleNamespace, scoring: object, tmp_path: Path) -> None:
    regime = paper.systems.Regime.TIME
    write_network(scoring.runs, regime, "meta-sr")
    list_lines(paper, scoring, "meta-sr", "cubic")
    copy = tmp_path / "copy"
    assert paper.keep.keep_runs(scoring.runs, copy) == sum(f.stat().st_size for f in copy.rglob("*.safetensors"))
    tables = [paper.report.format_results(paper.report.Results.read(r, regime), 1) for r in (scoring.runs, copy)]
    assert "Meta-SR" in tables[0]
    assert tables[0] == tables[1]


def test_weights_that_are_too_large_are_not_copied(
    paper: SimpleNamespace, scoring: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_network(scoring.runs, "time", "mdsr")
    monkeypatch.setattr(paper.keep, "MOST_WEIGHTS_BYTES", 100)
    with pytest.raises(UsageError, match="MB, more than"):
        paper.keep.keep_runs(scoring.runs, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_part_of_the_work_names_networks_with_or_without_their_factor(paper: SimpleNamespace) -> None:
    plan = paper.tables.Plan.make(["rdn-3d", "meta-sr"])
    assert [network.name for network in plan.networks] == ["meta-sr", "rdn-3d-x4", "rdn-3d-x6"]
    assert {system.name for system in plan.systems} == {"meta-sr", "rdn-3d"}
    with pytest.raises(UsageError, match="no network unet"):
        paper.tables.Plan.make(["meta-sr", "unet"])


def test_slices_of_cells_are_part_of_what_they_are_of(paper: SimpleNamespace, scoring: object) -> None:
    list_lines(paper, scoring, "linear")
    assert len(list_lines(paper, replace(scoring, slices={**SLICES, 4: 13}), "linear")) == 2


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "give DATA and --budget to train, or --from-runs"),
        (("data", "--budget", "1", "--from-runs"), "give DATA and --budget to train, or --from-runs"),
        (("--from-runs", "--page", "none.md"), "none.md is missing"),
        (("--from-runs", "--picture", "c.nii"), "no volume c.nii; there are a.nii, b.nii"),
        (("--from-runs", "--only", "unet"), "no network unet"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    paper: SimpleNamespace,
    scoring: object,
    words: tuple[str, ...],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    val = scoring.volumes["a.nii"].parent
    monkeypatch.setattr("sys.argv", ["paper_tables.py", *words, "--val", str(val), "-o", str(scoring.runs)])
    with pytest.raises(SystemExit) as ended:
        paper.tables.main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("paper_tables: ")
    assert reason in line
