"""docs/secretd.md held against the daemon: its options, its exit statuses, and what it writes to its log."""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon, session_environment
from helpers.tree import ROOT
from secretd import limits
from secretd.daemon import main
from secretd.errors import ExitStatus

PAGE = (ROOT / "docs" / "secretd.md").read_text()
STATUSES = dict(re.findall(r"^\| (\d+) \| ([A-Z]+) \|", PAGE, re.MULTILINE))
EVENTS = {
    event: (level, fields)
    for event, level, fields in re.findall(r"^\| `([^`]+)` \| `([a-z]+)` \| ([^|]*)\|", PAGE, re.MULTILINE)
}

Logged = tuple[str, str, set[str]]


def logged() -> Iterator[Logged]:
    """Read the sources for what is logged: each event, its level and its fields."""
    for module in (ROOT / "secretd").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_log(node.func.value):
                event = ast.literal_eval(node.args[0])
                yield event, node.func.attr, {name for keyword in node.keywords for name in names_in(keyword)}


def is_log(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "_log"


def names_in(extra: ast.keyword) -> Iterator[str]:
    if extra.arg != "extra" or not isinstance(extra.value, ast.Dict):
        raise ValueError(f"line {extra.lineno}: what is logged has its fields in extra, by name")
    for key in extra.value.keys:
        yield ast.literal_eval(key or ast.Constant(None))


LOGGED = list(logged())


def run_secretd(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "secretd", *arguments],
        env=session_environment(root),
        cwd=root,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_every_option_has_its_line_and_no_other() -> None:
    # argparse has no other way to say what it was told.
    actions = main._parser()._actions
    shown = re.findall(r"^\| ((?:`-[^`]+`(?:, )?)+) \|", PAGE, re.MULTILINE)

    assert sorted(re.sub("`", "", line) for line in shown) == sorted(map(called, actions))


def called(action: argparse.Action) -> str:
    return ", ".join(f"{option} {action.metavar or ''}".rstrip() for option in action.option_strings)


def test_the_exit_statuses_are_those_there_are() -> None:
    assert STATUSES
    assert {ExitStatus(int(number)).name: number for number in STATUSES} == {v: k for k, v in STATUSES.items()}


@pytest.mark.parametrize(
    ("status", "arguments"),
    [
        pytest.param(ExitStatus.OK, ["--session", "--check-config"], id="checked"),
        pytest.param(ExitStatus.USAGE, ["--session", "--nonsense"], id="command-line"),
        pytest.param(ExitStatus.USAGE, ["--session", "--system"], id="two-modes"),
        pytest.param(ExitStatus.USAGE, ["--session", "--config", "missing.toml"], id="configuration"),
        pytest.param(ExitStatus.STORE, ["--session"], id="store"),
    ],
)
def test_an_exit_status_is_what_the_page_says(status: ExitStatus, arguments: list[str], tmp_path: Path) -> None:
    store = tmp_path / "data" / "secretd" / "store"
    store.mkdir(mode=0o700, parents=True)
    (store / "store.db").write_bytes(b"no database" * 1000)

    done = run_secretd(tmp_path, *arguments)

    assert done.returncode == status
    assert str(int(status)) in STATUSES
    assert status is ExitStatus.OK or "secretd: " in done.stderr.splitlines()[-1]


def test_a_fault_of_its_own_is_failed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: argparse.Namespace) -> None:
        raise ZeroDivisionError("canary")

    monkeypatch.setattr(main, "_settings", fail)

    assert main.main(["--session"]) == ExitStatus.FAILED
    assert str(int(ExitStatus.FAILED)) in STATUSES
    assert "canary" not in capsys.readouterr().err


def test_every_event_has_its_line_and_no_other() -> None:
    assert LOGGED
    assert {event for event, _, _ in LOGGED} == set(EVENTS)


@pytest.mark.parametrize(("event", "level", "fields"), LOGGED, ids=[event for event, _, _ in LOGGED])
def test_an_event_is_described_as_it_is_logged(event: str, level: str, fields: set[str]) -> None:
    shown_level, shown_fields = EVENTS[event]

    assert shown_level == level
    assert set(re.findall(r"`(\w+)`", shown_fields)) == fields


def test_a_line_of_the_log_has_the_fields_that_the_page_says(tmp_path: Path) -> None:
    in_every_line = set(re.findall(r"^\| `(\w+)` \| every line \|", PAGE, re.MULTILINE))

    with RunningDaemon(tmp_path) as daemon:
        pass

    assert {"unsealed", "ready", "stopping"} <= {line["event"] for line in daemon.log}
    for line in daemon.log:
        assert set(line) == in_every_line | set(re.findall(r"`(\w+)`", EVENTS[line["event"]][1]))


def test_the_first_start_makes_what_the_page_says(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path) as daemon:
        sockets = {"secretd-sock", "secretd-sock-ro", "virtsecretd-sock", "virtsecretd-sock-ro"}
        assert names_at(daemon.socket.parent) == {*sockets, "secretd.lock"}
        assert (daemon.config / "root.key").stat().st_size == 32
        assert names_at(daemon.data) == {"keyring", "store"}

    assert names_at(daemon.socket.parent) == {"secretd.lock"}


def names_at(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_the_times_are_those_in_force() -> None:
    assert PAGE.count(f"{limits.DRAIN_SECONDS} seconds") == 2
    assert f"every {limits.ROOT_KEY_RETRY_SECONDS} seconds" in PAGE
