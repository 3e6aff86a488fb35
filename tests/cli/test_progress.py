"""What is shown while something takes its time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from helpers.terminal import Terminal
from secretd.cli.progress import progress

PROGRAM = """
from secretd.cli.progress import progress
with progress("Counting", 40) as advance:
    advance(30)
    input("half way")
    advance(10)
    input("done")
print("over")
"""


def test_a_bar_shows_how_far_it_is_and_goes_away(tmp_path: Path) -> None:
    environment = {**os.environ, "TERM": "xterm"}
    with Terminal([sys.executable, "-P", "-c", PROGRAM], environment, tmp_path) as terminal:
        terminal.expect("Counting.* 30/40 ")
        terminal.press("\n")
        terminal.expect("Counting.* 40/40 ")
        terminal.press("\n")
        terminal.expect("over")

        assert terminal.finish() == 0


def test_a_terminal_that_is_dumb_is_shown_none(tmp_path: Path) -> None:
    environment = {**os.environ, "TERM": "dumb"}
    with Terminal([sys.executable, "-P", "-c", PROGRAM], environment, tmp_path) as terminal:
        terminal.expect("half way")
        terminal.press("\n")
        terminal.expect("done")
        terminal.press("\n")

        assert terminal.finish() == 0
        assert "Counting" not in terminal.shown


def test_a_pipe_is_shown_none_and_rich_is_not_needed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rich.progress", None)

    with progress("Counting", 2) as advance:
        advance(2)

    assert capsys.readouterr() == ("", "")
