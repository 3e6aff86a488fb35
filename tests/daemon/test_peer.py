"""Who connected, as the kernel had it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from secretd import limits
from secretd.daemon import peer
from secretd.daemon.peer import caller_of
from secretd.daemon.process import gives_handles


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


@pytest.mark.parametrize("read_only", [False, True])
def test_the_ids_are_those_of_the_process(connection: socket.socket, read_only: bool) -> None:
    caller = caller_of(connection, read_only=read_only)
    assert (caller.uid, caller.gid, caller.pid) == (os.geteuid(), os.getegid(), os.getpid())
    assert sorted(caller.groups) == sorted(os.getgroups())
    assert (caller.read_only, caller.elevated) == (read_only, False)
    assert (caller.process is not None) is gives_handles()


def test_two_connections_of_a_process_are_the_same_caller() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert caller_of(ours, read_only=False) == caller_of(theirs, read_only=False)


def test_nothing_below_proc_is_looked_at(connection: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    gives_handles()
    monkeypatch.setattr("secretd.daemon.process.unit_of", None)
    monkeypatch.setattr("secretd.daemon.process.running", None)
    monkeypatch.setattr("secretd.daemon.process._handle_of", None)
    caller_of(connection, read_only=False)


class TestLabels:
    def test_of_this_kernel(self, connection: socket.socket) -> None:
        label = caller_of(connection, read_only=False).label
        assert label is None or label.isprintable()

    @pytest.mark.parametrize(
        ("told", "label"),
        [
            pytest.param(b"unconfined", "unconfined", id="as-apparmor-says-it"),
            pytest.param(b"system_u:system_r:virtd_t:s0\0", "system_u:system_r:virtd_t:s0", id="as-selinux-says-it"),
            pytest.param("/usr/bin/caf\u00e9 (enforce)".encode(), "/usr/bin/caf\u00e9 (enforce)", id="not-ascii"),
            pytest.param(b"a" * limits.LABEL_BYTES, "a" * limits.LABEL_BYTES, id="the-longest"),
            pytest.param(b"a" * (limits.LABEL_BYTES + 1), None, id="too-long"),
            pytest.param(b"", None, id="empty"),
            pytest.param(b"\0", None, id="nothing-but-its-end"),
            pytest.param(b"a\0b\0", None, id="a-character-that-xml-cannot-carry"),
            pytest.param(b"\xff", None, id="not-text"),
        ],
    )
    def test_it_is_given_without_its_end(
        self, connection: socket.socket, monkeypatch: pytest.MonkeyPatch, told: bytes, label: str | None
    ) -> None:
        monkeypatch.setattr(peer, "_told", lambda _, option: told if option == socket.SO_PEERSEC else b"")
        assert caller_of(connection, read_only=False).label == label

    @pytest.mark.parametrize("number", [errno.ENOPROTOOPT, errno.EINVAL])
    def test_without_a_security_module(
        self, connection: socket.socket, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        def told(_: socket.socket, option: int) -> bytes:
            if option == socket.SO_PEERSEC:
                raise OSError(number, os.strerror(number))
            return b""

        monkeypatch.setattr(peer, "_told", told)
        assert caller_of(connection, read_only=False).label is None
