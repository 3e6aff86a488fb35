"""What only who sits at a terminal meets: a password that is asked for, and how far many files are."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon
from helpers.programs import with_secretctl
from helpers.terminal import Terminal

FILES = 40


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    with RunningDaemon(tmp_path / "daemon") as daemon:
        yield with_secretctl(tmp_path / "programs", {**daemon.environment, "TERM": "xterm"})


@pytest.fixture
def here(environment: dict[str, str], tmp_path: Path) -> Path:
    here = tmp_path / "here"
    here.mkdir()
    script = (
        "printf '%32s' x > raw; printf 'correct horse' > password;"
        " secretctl --session key-import raw --id one --exportable;"
        " secretctl --session key-export one --format pbs --kdf pbkdf2 --password-file password --hint usual"
        " --output file; secretctl --session data-key-generate one --blob blob"
    )
    subprocess.run(["bash", "-ec", script], cwd=here, env=environment, check=True, timeout=DEADLINE_S)
    return here


def test_the_password_of_a_file_is_asked_for_and_not_shown(environment: dict[str, str], here: Path) -> None:
    command = ["secretctl", "--session", "key-import", "file", "--id", "two"]
    with Terminal(command, environment, here) as terminal:
        terminal.expect("its hint is: usual\nPassword: ")
        terminal.press("correct horse\n")
        seen = terminal.expect("Key two imported")
        assert "correct horse" not in seen
        assert terminal.finish() == 0


def test_a_new_password_is_asked_for_twice(environment: dict[str, str], here: Path) -> None:
    command = ["secretctl", "--session", "key-export", "one", "--format", "pbs", "--kdf", "pbkdf2", "--output", "new"]
    with Terminal(command, environment, here) as terminal:
        terminal.expect("New password: ")
        terminal.press("battery staple\n")
        terminal.expect("The same once more: ")
        terminal.press("battery staple\n")
        terminal.expect("Key one is in new")
        assert terminal.finish() == 0
    (here / "password").write_text("battery staple\n")
    command = ["secretctl", "--session", "key-import", "new", "--id", "two", "--password-file", "password"]
    subprocess.run(command, cwd=here, env=environment, check=True, timeout=DEADLINE_S)


def test_how_far_a_rewrap_is_is_shown_and_what_fails_stands_on_its_own(environment: dict[str, str], here: Path) -> None:
    blob = (here / "blob").read_bytes()
    names = [f"{number:03}.blob" for number in range(FILES)]
    for name in names:
        (here / name).write_bytes(blob)
    (here / names[FILES // 2]).write_bytes(b"canary")
    with Terminal(["secretctl", "--session", "rewrap", *names], environment, here) as terminal:
        terminal.expect(f"error: .*{names[FILES // 2]}: there is no blob")
        terminal.expect(f"Rewrapping.*{FILES}/{FILES}")
        terminal.expect(f"{FILES - 1} blobs sealed anew")
        assert terminal.finish() == 6
