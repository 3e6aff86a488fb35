"""The daemon beside a real libvirtd of the same user: neither its socket nor its token is taken or changed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon, session_environment
from helpers.libvirt_place import configure, may_define
from helpers.libvirt_target import Target
from helpers.libvirtd import session_libvirtd
from helpers.users import python_as
from secretd.addresses import LIBVIRT


@pytest.fixture
def libvirtd() -> Iterator[Target]:
    """Run a libvirtd."""
    with session_libvirtd() as running:
        yield running


def root_of(libvirtd: Target) -> Path:
    """Say where the directories of its session are."""
    return libvirtd.token.parents[3]


def python_of(libvirtd: Target) -> Sequence[str]:
    """Say what runs secretd for the same user."""
    return (sys.executable,) if libvirtd.uid == os.geteuid() else python_as(libvirtd.uid)


def test_its_socket_is_left_to_it(libvirtd: Target) -> None:
    root = root_of(libvirtd)
    configure(root, "libvirt")
    path = libvirtd.token.parents[1] / LIBVIRT.name
    # Debian has no virtsecretd: its libvirtd serves the same by a socket of another name.
    libvirtd.socket.rename(path)
    result = subprocess.run(
        [*python_of(libvirtd), "-P", "-m", "secretd", "--session"],
        env=session_environment(root),
        cwd=root,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert result.returncode == 2
    assert f"another daemon answers on {path}" in result.stderr
    assert may_define(path, uid=libvirtd.uid)


@pytest.mark.parametrize("place", ["own", "libvirt"])
def test_its_token_is_read(libvirtd: Target, place: str) -> None:
    root = root_of(libvirtd)
    configure(root, place)
    # It says that it is ready before its drivers are, which make the token; it answers when they are.
    assert may_define(libvirtd.socket, uid=libvirtd.uid)
    made = libvirtd.token.read_bytes()
    directory = libvirtd.token.parents[1]
    before = {path: path.stat() for path in (directory, *directory.rglob("*"))}
    with RunningDaemon(root, python=python_of(libvirtd)) as daemon:
        assert daemon.system_token == libvirtd.token
        socket = daemon.libvirt_socket if place == "own" else directory / LIBVIRT.name
        assert may_define(socket, uid=libvirtd.uid)
        assert may_define(libvirtd.socket, uid=libvirtd.uid)
    assert "the system token cannot be used: nobody is elevated" not in {line["event"] for line in daemon.log}
    assert libvirtd.token.read_bytes() == made
    assert {path: (path.stat().st_ino, path.stat().st_mode) for path in before} == {
        path: (status.st_ino, status.st_mode) for path, status in before.items()
    }
