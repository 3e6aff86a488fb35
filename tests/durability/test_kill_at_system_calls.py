"""Killed at a system call that writes: some of them here, every one by contrib/crash --syscalls."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers.core_programs import CHANGES, KEY_CHANGES
from helpers.syscalls import kill_at, points

FIRST_SAMPLES = 4
"""How many of the calls of a first start are tried, and of a change only those that bring something to disk."""

RESTORE_CALLS = ("fsync", "fdatasync", "rename", "unlink")
RESTORE_SAMPLES = 8
"""How many of these calls of a restore are tried."""

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def test_a_first_start_that_is_killed_is_gone_on_with(tmp_path: Path) -> None:
    found = points("first", tmp_path)
    assert len(found) > FIRST_SAMPLES
    # Evenly over the calls, so that writes, flushes and renames all have their turn.
    for index in range(FIRST_SAMPLES):
        assert kill_at(found[(2 * index + 1) * len(found) // (2 * FIRST_SAMPLES)], tmp_path) is None


def test_a_restore_that_is_killed_is_made_wholly_or_not_at_all(tmp_path: Path) -> None:
    found = [point for point in points("restore", tmp_path) if point.call in RESTORE_CALLS]
    assert len(found) > RESTORE_SAMPLES
    # Before and after the commit, and between the files that follow it.
    for index in range(RESTORE_SAMPLES):
        assert kill_at(found[(2 * index + 1) * len(found) // (2 * RESTORE_SAMPLES)], tmp_path) is None


@pytest.mark.parametrize("change", [*CHANGES, *KEY_CHANGES])
def test_a_change_that_is_killed_is_made_wholly_or_not_at_all(tmp_path: Path, change: str) -> None:
    found = [point for point in points(change, tmp_path) if point.call == "fdatasync"]
    assert found
    for point in found:
        assert kill_at(point, tmp_path) is None
