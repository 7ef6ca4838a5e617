"""Whether the queue has room is told by what it refused last."""

from pathlib import Path

from saint_cli.node.disk_budget import DiskBudget


def test_a_file_that_was_refused_in_its_last_piece_has_no_room_once_its_first_is_given_up(tmp_path: Path) -> None:
    budget = DiskBudget(tmp_path, 100)
    assert budget.take(60)
    assert not budget.take(50, written=60)
    budget.add(-60)
    assert budget.is_refusing


def test_small_files_that_still_fit_do_not_hide_that_a_larger_one_was_refused(tmp_path: Path) -> None:
    budget = DiskBudget(tmp_path, 100)
    assert not budget.take(110)
    assert budget.take(10)
    assert budget.is_refusing


def test_there_is_room_again_once_enough_was_removed(tmp_path: Path) -> None:
    budget = DiskBudget(tmp_path, 100)
    budget.add(80)
    assert not budget.take(50)
    budget.add(-30)
    assert not budget.is_refusing
