"""A daemon that is killed under load, again and again: contrib/crash in short."""

from __future__ import annotations

from pathlib import Path

from helpers.crashing import KillRounds

ROUNDS = 6


def test_a_kill_at_any_moment_loses_nothing_that_was_answered_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    rounds = KillRounds(tmp_path, seed=1)
    for _ in range(ROUNDS):
        rounds.run_one()
    assert rounds.faults == []
    assert rounds.answered > ROUNDS * 50
