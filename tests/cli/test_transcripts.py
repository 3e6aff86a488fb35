"""What secretctl does to a real daemon, as transcripts show it; the README and the docs are such transcripts, too."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.daemon import RunningDaemon
from helpers.programs import with_secretctl
from helpers.transcripts import console_transcript, play, read_transcript
from helpers.tree import ROOT

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
PAGES = [ROOT / "README.md", ROOT / "docs" / "secretctl.md"]

Shell = Callable[[str], tuple[str, int]]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path / "daemon") as running:
        yield running


@pytest.fixture
def shell(daemon: RunningDaemon, tmp_path: Path) -> Shell:
    """Run commands by bash in a directory of their own, with secretctl on the PATH and its session the daemon's."""
    here = tmp_path / "here"
    here.mkdir()
    environment = with_secretctl(tmp_path / "programs", {**os.environ, **daemon.environment})

    def run(command: str) -> tuple[str, int]:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=here,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        return done.stdout.decode(), done.returncode

    return run


def test_there_are_transcripts() -> None:
    assert TRANSCRIPTS


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda transcript: transcript.stem)
def test_transcript(transcript: Path, shell: Shell) -> None:
    play(read_transcript(transcript.read_text()), shell)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_is_what_happens(page: Path, shell: Shell) -> None:
    play(console_transcript(page.read_text()), shell)
