"""contrib/run says that the daemon listens once it does, says nothing like it if it does not, and leaves nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon, session_environment
from helpers.tree import ROOT
from secretd.client import Client
from secretd.operations import Status

Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start contrib/run in a tree whose .venv is ready, as it was installed."""
    tree = tmp_path / "tree"
    (tree / "contrib").mkdir(parents=True)
    shutil.copy(ROOT / "contrib" / "run", tree / "contrib")
    (tree / "contrib" / "venv.sh").write_text("prepare_venv() { :; }\n")
    program = tree / ".venv" / "bin" / "secretd"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m secretd "$@"\n')
    program.chmod(0o755)
    started: list[subprocess.Popen[str]] = []

    def run() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [tree / "contrib" / "run"],
            env=session_environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=DEADLINE_S)


@pytest.mark.parametrize(
    ("to_all", "number"),
    [
        pytest.param(True, signal.SIGINT, id="ctrl-c"),
        pytest.param(True, signal.SIGHUP, id="the-terminal-goes"),
        pytest.param(False, signal.SIGTERM, id="sigterm"),
    ],
)
def test_it_says_so_once_the_daemon_listens_and_ends_whole(
    to_all: bool, number: signal.Signals, start: Start, tmp_path: Path
) -> None:
    process = start()
    assert process.stdout is not None

    said = list(takewhile(lambda line: "secret-list" not in line, process.stdout))
    assert said[0] == f"secretd listens on {tmp_path}/run/secretd/secretd-sock until you press Ctrl-C.\n"
    with Client(tmp_path / "run" / "secretd" / "secretd-sock") as client:
        client.call(Status())
    if to_all:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)

    # What it started holds these pipes too: they end when all of it has ended.
    _, log = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert "    secretctl --session status\n" in said
    assert '"event": "stopping"' in log


def test_its_help_is_its_head() -> None:
    shown = subprocess.run([ROOT / "contrib" / "run", "--help"], capture_output=True, text=True, check=True).stdout

    assert shown.startswith("Start secretd from this tree")
    assert all(f"# {line}".rstrip() in (ROOT / "contrib" / "run").read_text() for line in shown.splitlines())


def test_it_claims_nothing_where_no_daemon_starts(start: Start, tmp_path: Path) -> None:
    with RunningDaemon(tmp_path):
        out, log = start().communicate(timeout=DEADLINE_S)

    assert out == ""
    assert log.startswith("secretd: another secretd is running in ")
