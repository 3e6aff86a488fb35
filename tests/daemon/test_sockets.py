"""The sockets' modes, from the first instant: looked at between bind and listen, before anybody could connect."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from secretd.addresses import NATIVE_SOCKETS
from secretd.daemon.sockets import RuntimeDirectory
from secretd.model import Mode


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Run with each umask that a daemon may be started with."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize(("mode", "expected"), [(Mode.SESSION, 0o600), (Mode.SYSTEM, 0o666)])
@pytest.mark.usefixtures("umask")
def test_a_socket_never_has_another_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode, expected: int
) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    directory.chmod(0o700)
    seen: list[int] = []
    really_listen = socket.socket.listen

    def listen(listener: socket.socket, backlog: int) -> None:
        seen.append(stat.S_IMODE(Path(listener.getsockname()).stat().st_mode))
        really_listen(listener, backlog)

    monkeypatch.setattr(socket.socket, "listen", listen)
    with RuntimeDirectory(directory, mode) as runtime:
        for kind in NATIVE_SOCKETS:
            with runtime.listen(kind):
                assert stat.S_IMODE((directory / kind.name).stat().st_mode) == expected
    assert seen == [expected] * len(NATIVE_SOCKETS)


def test_the_umask_is_left_as_it_was(tmp_path: Path, umask: int) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o700)
    with RuntimeDirectory(tmp_path / "run", Mode.SESSION) as runtime, runtime.listen(NATIVE_SOCKETS[0]):
        pass
    assert os.umask(umask) == umask


def test_the_sockets_are_removed_at_the_end(tmp_path: Path) -> None:
    with RuntimeDirectory(tmp_path / "run", Mode.SESSION) as runtime:
        for kind in NATIVE_SOCKETS:
            runtime.listen(kind).close()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"secretd.lock"}
