"""The file of a backup: whole under its name or not there at all, and in the place of a plain file alone."""

from __future__ import annotations

import base64
import errno
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest

from helpers.fake_daemon import DEADLINE_S, Conversation, FakeDaemon
from secretd.cli.newfile import WhatIsThere, new_file

PROGRAM = "from secretd.cli.main import main; main()"


def make_link(path: Path) -> None:
    path.symlink_to(path.with_name("target"))


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def test_it_replaces_a_plain_file_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    with new_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_it_may_leave_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(click.BadParameter, match="it is there already"), new_file(path, WhatIsThere.KEPT):
        raise AssertionError("it was begun")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def write_while_another_does(path: Path) -> None:
    with new_file(path, WhatIsThere.KEPT) as file:
        file.write(b"new")
        path.write_bytes(b"old")


def test_a_name_that_was_taken_meanwhile_stays_taken(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(click.ClickException, match=r"file: File exists$"):
        write_while_another_does(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_is_taken_where_no_file_has_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a memory stick, whose file system knows no links."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "file"
    with new_file(path, WhatIsThere.KEPT) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_a_name_that_is_free_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with new_file(path, WhatIsThere.KEPT) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_nlink) == (0o600, 1)
    assert list(tmp_path.iterdir()) == [path]


def test_it_may_be_like_what_it_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)
    owner = path.stat()
    given: list[tuple[int, int]] = []
    monkeypatch.setattr("os.fchown", lambda _, uid, gid: given.append((uid, gid)))
    monkeypatch.setattr("os.fstat", lambda _: os.stat_result((0, 0, 0, 1, owner.st_uid + 1, owner.st_gid, 0, 0, 0, 0)))
    with new_file(path, WhatIsThere.REPLACED_ALIKE) as file:
        file.write(b"new")
    assert given == [(owner.st_uid, owner.st_gid)]
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_what_is_not_there_cannot_be_replaced_by_its_like(tmp_path: Path) -> None:
    with (
        pytest.raises(click.ClickException, match="No such file"),
        new_file(tmp_path / "file", WhatIsThere.REPLACED_ALIKE),
    ):
        raise AssertionError("it was begun")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(os.mkfifo, id="fifo"),
        pytest.param(make_link, id="dangling-link"),
        pytest.param(make_socket, id="socket"),
        pytest.param(Path.mkdir, id="directory"),
    ],
)
def test_what_is_no_plain_file_is_left_as_it_is(tmp_path: Path, make: object) -> None:
    assert callable(make)
    path = tmp_path / "it"
    make(path)
    before = path.lstat()
    with pytest.raises(click.ClickException, match="no plain file"), new_file(path):
        raise AssertionError("it was begun")
    assert path.lstat() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_to_a_plain_file_is_left_as_it_is(tmp_path: Path) -> None:
    make_link(tmp_path / "link")
    (tmp_path / "target").write_bytes(b"old")
    with pytest.raises(click.ClickException, match="no plain file"), new_file(tmp_path / "link"):
        raise AssertionError("it was begun")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"old"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_backup_that_is_told_to_end_half_way_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    place = tmp_path / "backups"
    place.mkdir()
    (place / "file").write_bytes(b"older backup")
    running: list[subprocess.Popen[bytes]] = []
    found: list[int] = []

    def script(daemon: Conversation) -> None:
        value = base64.b64encode(b"the first part").decode()
        name = "6c1f0a9e-54b2-4f0c-9d3e-2f7b8a1c5e40"
        numbers = "last='no' revision='1' records='1' total='2' damaged='0' secrets='1' grants='0'"
        daemon.send(daemon.expect().reply(f"<backup backup='{name}' {numbers}><value>{value}</value></backup>"))
        daemon.expect()
        found.append(len(list(place.iterdir())))
        running[0].send_signal(number)
        daemon.expect_end()

    with FakeDaemon(tmp_path, script) as daemon:
        command = [sys.executable, "-P", "-c", PROGRAM, "-c", str(daemon.path), "backup", str(place / "file")]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
        _, said = running[0].communicate(timeout=DEADLINE_S)
    # Half-way there was a file beside it.
    assert found == [2], said
    assert running[0].returncode not in (0, None)
    assert [path.name for path in place.iterdir()] == ["file"]
    assert (place / "file").read_bytes() == b"older backup"
