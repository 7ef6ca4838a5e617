"""What docs/pacs.md shows is what works: its rules, both Orthancs, the script that routes, the commands."""

import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from node import archives, exchange
from node.exchange import ServeProcess

from saint_cli.node.rules import read_rules

DOCS = Path(__file__).parents[2] / "docs"

PAGE = (DOCS / "pacs.md").read_text(encoding="utf-8")


def read_block(name: str) -> str:
    """The text of a file that the page shows."""
    found = re.search(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, name
    return found[1]


def read_settings(name: str, folder: Path) -> dict[str, Any]:
    """Settings of an Orthanc as the page has them, without places and ports, and with its script in a folder."""
    settings: dict[str, Any] = json.loads(read_block(name))
    for key in ("DicomPort", "HttpPort", "StorageDirectory", "IndexDirectory"):
        assert settings.pop(key)
    if "LuaScripts" in settings:
        (folder / "route.lua").write_text(read_block("route.lua"))
        settings |= {"LuaScripts": [str(folder / "route.lua")], "StableAge": 3}
    return settings


def test_the_rules_of_the_page_are_read(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(read_block("rules.toml"))
    assert [rule.name for rule in read_rules(tmp_path / "rules.toml", {}).rules] == re.findall(
        r'name = "(.*)"', read_block("rules.toml")
    )


def test_every_option_that_the_page_names_is_one_of_the_command() -> None:
    reference = (DOCS / "cli.md").read_text(encoding="utf-8").split("## saint serve")[1].split("\n## ")[0]
    commands = re.findall(r"saint serve (.*?[^\\])\n", PAGE, re.DOTALL)
    flags = {flag for text in [*commands, *re.findall(r"`(--[^`]*)`", PAGE)] for flag in re.findall(r"--[a-z-]+", text)}
    assert {"--forward", "--allow", "--max-disk", "--keep-failed"} <= flags
    assert not [flag for flag in sorted(flags) if f"`{flag}" not in reference and f" {flag} " not in reference]


@pytest.mark.parametrize("is_same", [False, True], ids=["two archives", "one archive"])
def test_the_archives_of_the_page_get_each_derived_series_once_and_send_none_of_them_on(
    tmp_path: Path, is_same: bool
) -> None:
    archives.require_orthanc()
    port = archives.free_port()
    pacs_settings, archive_settings = (read_settings(f"{name}.json", tmp_path) for name in ("pacs", "archive"))
    pacs_settings["DicomModalities"]["saint"][2] = port
    with ExitStack() as stack:
        pacs = stack.enter_context(archives.run_orthanc(tmp_path / "pacs", "PACS", pacs_settings))
        archive = stack.enter_context(archives.run_orthanc(tmp_path / "archive", "ARCHIVE", archive_settings))
        target = pacs if is_same else archive
        forward = f"{target.title}@127.0.0.1:{target.dicom_port}"
        allow = ("--allow", f"PACS@127.0.0.1:{pacs.dicom_port}")
        node = stack.enter_context(ServeProcess(tmp_path / "node", forward, extra=allow, port=port))
        exchange.OrthancSource.fill(pacs, exchange.save_all(tmp_path / "source", ["good", "good"]))
        expected = exchange.expected_studies(["good", "good"])
        if is_same:
            expected = {study: [exchange.SLICES, *counts] for study, counts in expected.items()}
        archives.wait_until(lambda: exchange.ask_studies(target) == expected, 150)
        archives.wait_until(lambda: all(entry["IsStable"] for entry in pacs.ask("/series?expand")), 60)
        archives.wait_until(lambda: all(job["State"] == "Success" for job in pacs.ask("/jobs?expand")), 60)
        assert len(pacs.ask("/jobs")) == 2
        archives.wait_until(node.is_idle)
        assert node.read_health()["queue"]["forwarded"] == 2
        assert exchange.ask_studies(target) == expected
