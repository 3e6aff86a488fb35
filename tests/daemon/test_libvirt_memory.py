"""Nothing is left of a value that passed the libvirt door; as test_memory has it for the native one.

contrib/memory-scan runs the long form of both.
"""

from __future__ import annotations

import json
import os
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self
from uuid import UUID, uuid4

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon
from helpers.libvirt_peer import URI, open_body, ref
from helpers.memory import Canary, find_in_files, find_in_process
from helpers.users import root_only
from secretd.wire import xdr
from secretd.wire.libvirt import LibvirtFraming, Packet, frame
from secretd.wire.libvirt_procedures import PROGRAM, VERSION, Kind, Procedure, Status

ROUNDS = int(os.environ.get("SECRETD_MEMORY_ROUNDS", "100"))
SIZES = (24, 1_024, 65_536)
SECRET = UUID("c0ffee00-1111-4222-8333-444455556666")

pytestmark = root_only


class Connection:
    """A connection of the libvirt door that is open."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(str(path))
        self._framing = LibvirtFraming()
        self.call(Procedure.CONNECT_OPEN, open_body(URI))

    def call(self, procedure: Procedure, body: bytes) -> Packet:
        """Give the reply to a call."""
        self.socket.sendall(call(procedure, body))
        return self.receive()

    def receive(self) -> Packet:
        """Give the next reply."""
        while not isinstance(event := self._framing.next_event(), Packet):
            self._framing.receive(self.socket.recv(65_536))
        return event

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def call(procedure: Procedure, body: bytes) -> bytes:
    return frame(PROGRAM, VERSION, procedure, Kind.CALL, 1, Status.OK, body)


def definition(secret: UUID, *, ephemeral: bool) -> bytes:
    flag = "yes" if ephemeral else "no"
    return xdr.string(f"<secret ephemeral='{flag}'><uuid>{secret}</uuid></secret>") + xdr.uint32(0)


def setting(secret: UUID, value: bytes) -> bytes:
    return ref(secret) + xdr.opaque(value) + xdr.uint32(0)


def define(connection: Connection, *, ephemeral: bool = True) -> None:
    assert connection.call(Procedure.SECRET_DEFINE_XML, definition(SECRET, ephemeral=ephemeral)).status == Status.OK


@pytest.fixture
def canary() -> Canary:
    return Canary()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RunningDaemon]:
    """Run a daemon that logs all it can."""
    config = tmp_path / "config" / "secretd" / "secretd.toml"
    config.parent.mkdir(mode=0o700, parents=True)
    config.write_text('[daemon]\nlog-level = "debug"\n')
    with RunningDaemon(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path_factory.mktemp("shared")) as running:
        yield running


@pytest.mark.parametrize("ephemeral", [False, True], ids=["persistent", "ephemeral"])
def test_a_value_that_was_set_read_and_undefined_is_nowhere(
    daemon: RunningDaemon, canary: Canary, ephemeral: bool
) -> None:
    for size in SIZES:
        value = canary.value(size)
        for _ in range(ROUNDS // 10):
            secret = uuid4()
            with Connection(daemon.libvirt_socket) as connection:
                replies = [
                    connection.call(Procedure.SECRET_DEFINE_XML, definition(secret, ephemeral=ephemeral)),
                    connection.call(Procedure.SECRET_SET_VALUE, setting(secret, value)),
                    connection.call(Procedure.SECRET_GET_VALUE, ref(secret) + xdr.uint32(0)),
                    connection.call(Procedure.SECRET_UNDEFINE, ref(secret)),
                ]
            assert [reply.status for reply in replies] == [Status.OK] * 4
            assert replies[2].body == xdr.opaque(value)
            for _ in replies:
                daemon.wait_for_event("operation")
        del replies

        assert find_in_process(daemon.process.pid, canary) == [], size

    assert find_in_files(daemon.root, canary) == []
    assert daemon.stop() == 0
    assert not canary.is_in("\n".join(map(json.dumps, daemon.log)).encode())


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(lambda c: call(Procedure.SECRET_SET_VALUE, setting(SECRET, c.value(65_537))), id="too long"),
        pytest.param(lambda c: call(Procedure.SECRET_SET_VALUE, setting(SECRET, c.value(300_000))), id="far too long"),
        pytest.param(lambda c: call(Procedure.SECRET_SET_VALUE, setting(uuid4(), c.value(1_024))), id="no secret"),
        pytest.param(lambda c: call(Procedure.SECRET_SET_VALUE, setting(SECRET, c.value(99))[:-4]), id="cut off"),
        pytest.param(lambda c: call(Procedure.AUTH_LIST, c.value(1_024)), id="behind the arguments"),
        pytest.param(lambda c: call(Procedure.CONNECT_SET_IDENTITY, c.value(1_024)), id="no identity"),
        pytest.param(
            lambda c: call(Procedure.SECRET_DEFINE_XML, xdr.string(c.value(1_024)) + xdr.uint32(0)), id="no document"
        ),
        pytest.param(
            lambda c: call(
                Procedure.SECRET_DEFINE_XML, xdr.string(b"<secret x='%s'" % b64encode(c.value(96))) + xdr.uint32(1)
            ),
            id="a document that is cut off",
        ),
        pytest.param(
            lambda c: call(
                Procedure.SECRET_DEFINE_XML,
                xdr.string(b"<secret><value>%s</value></secret>" % b64encode(c.value(96))) + xdr.uint32(1),
            ),
            id="a document that is not valid",
        ),
        pytest.param(lambda c: frame(5, 1, 1, Kind.CALL, 1, Status.OK, c.value(1_024)), id="unknown program"),
        pytest.param(
            lambda c: frame(PROGRAM, 1, 1, Kind.STREAM, 1, Status.OK, c.value(1_024)) + call(Procedure.AUTH_LIST, b""),
            id="no call",
        ),
    ],
)
def test_a_value_in_what_is_refused_is_nowhere(
    shared: RunningDaemon, canary: Canary, refused: Callable[[Canary], bytes]
) -> None:
    with Connection(shared.libvirt_socket) as connection:
        define(connection)
        connection.socket.sendall(refused(canary))
        connection.receive()

        assert find_in_process(shared.process.pid, canary) == []


def test_the_beginning_of_the_next_call_keeps_nothing_of_the_last(shared: RunningDaemon, canary: Canary) -> None:
    with Connection(shared.libvirt_socket) as connection:
        define(connection)
        first = call(Procedure.SECRET_SET_VALUE, setting(SECRET, canary.value(1_024)))
        connection.socket.sendall(first + call(Procedure.CONNECT_GET_TYPE, b"")[:-3])
        assert connection.receive().status == Status.OK
        with Connection(shared.libvirt_socket) as other:
            assert other.call(Procedure.SECRET_UNDEFINE, ref(SECRET)).status == Status.OK

        assert find_in_process(shared.process.pid, canary) == []


def test_a_call_that_is_never_whole_is_nowhere_once_its_connection_ends(shared: RunningDaemon, canary: Canary) -> None:
    with Connection(shared.libvirt_socket) as connection:
        connection.socket.sendall(call(Procedure.SECRET_SET_VALUE, setting(SECRET, canary.value(60_000)))[:-9])
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.socket.recv(1) == b""

        assert find_in_process(shared.process.pid, canary) == []


def test_replies_that_nobody_reads_are_nowhere_once_their_connection_ends(
    shared: RunningDaemon, canary: Canary
) -> None:
    with Connection(shared.libvirt_socket) as connection:
        define(connection)
        connection.call(Procedure.SECRET_SET_VALUE, setting(SECRET, canary.value(65_536)))
        connection.socket.sendall(call(Procedure.SECRET_GET_VALUE, ref(SECRET) + xdr.uint32(0)) * 32)
        connection.receive()
        # The control: they do wait in the daemon.
        assert find_in_process(shared.process.pid, canary) != []
    with Connection(shared.libvirt_socket) as other:
        assert other.call(Procedure.SECRET_UNDEFINE, ref(SECRET)).status == Status.OK

    assert find_in_process(shared.process.pid, canary) == []
