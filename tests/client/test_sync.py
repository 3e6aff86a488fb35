"""What only the client that blocks has: time limits, and a connection that ends with a call that broke off."""

from __future__ import annotations

import select
import socket
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest

from helpers.clients import descriptors_in_use
from helpers.fake_daemon import DEADLINE_S, Conversation, FakeDaemon
from secretd import limits
from secretd.client import Client, sync
from secretd.client.transport import new_socket
from secretd.errors import UnreachableError
from secretd.model import SecretValue
from secretd.operations import Delete, Deleted, GetValue, SetValue

ID = UUID("7bb4ad5c-5ae4-4a6c-a8cf-5e8bb4d9b9b9")
SOON_S = 0.05


def test_a_call_has_the_type_of_its_reply(tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        client.send(client.expect().reply("<get-value><value>AAAA</value></get-value>"))

    with FakeDaemon(tmp_path, script) as daemon, Client(daemon.path) as client:
        value: SecretValue = client.call(GetValue(ID)).value
    assert value.reveal() == bytes(3)


def test_a_daemon_that_keeps_silent(tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        client.expect()
        client.expect_end()

    with FakeDaemon(tmp_path, script) as daemon, Client(daemon.path, timeout_s=SOON_S) as client:
        with pytest.raises(UnreachableError, match=r"did not answer within 0\.05 seconds"):
            client.call(Delete(ID))
        with pytest.raises(UnreachableError, match="is closed"):
            client.call(Delete(ID))


def test_a_daemon_that_talks_too_slowly(tmp_path: Path) -> None:
    """The time limit is for the whole answer, not for each piece of it."""

    def script(client: Conversation) -> None:
        client.expect()
        client.socket.settimeout(SOON_S / 10)
        while True:
            try:
                client.send(b" ")
                client.socket.recv(1)
            except TimeoutError:
                continue
            except OSError:
                return
            return

    with FakeDaemon(tmp_path, script) as daemon:
        client = Client(daemon.path, timeout_s=SOON_S)
        with pytest.raises(UnreachableError, match="did not answer"):
            client.call(Delete(ID))


def test_no_time_at_all(tmp_path: Path) -> None:
    with FakeDaemon(tmp_path, Conversation.expect_end) as daemon:
        client = Client(daemon.path, timeout_s=0.0)
        with pytest.raises(UnreachableError, match="did not answer within 0 seconds"):
            client.call(Delete(ID))


def test_a_daemon_that_does_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def small_socket(path: Path) -> socket.socket:
        connection = new_socket(path)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
        return connection

    monkeypatch.setattr(sync, "new_socket", small_socket)

    def script(client: Conversation) -> None:
        hung_up = select.poll()
        hung_up.register(client.socket, 0)
        hung_up.poll(DEADLINE_S * 1_000)

    with FakeDaemon(tmp_path, script) as daemon:
        client = Client(daemon.path, timeout_s=SOON_S)
        with pytest.raises(UnreachableError, match="did not answer"):
            client.call(SetValue(ID, SecretValue(b"x" * limits.VALUE_BYTES)))


def test_a_listener_whose_queue_is_full(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    before = descriptors_in_use()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(0)
        with Client(path), pytest.raises(UnreachableError, match="too many connections are waiting"):
            Client(path, timeout_s=SOON_S)
    assert descriptors_in_use() == before


@pytest.mark.parametrize("default_s", [None, 0.001], ids=["none", "a-moment"])
def test_a_listener_whose_queue_is_full_is_waited_for(default_s: float | None, tmp_path: Path) -> None:
    """Also where the process has a time limit for all its sockets, which would keep the kernel from waiting."""
    path = tmp_path / "sock"
    with ThreadPoolExecutor(max_workers=1) as pool, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(0)
        with Client(path), ExitStack() as accepted:
            socket.setdefaulttimeout(default_s)
            try:
                connecting = pool.submit(Client, path, timeout_s=DEADLINE_S)
                finished, _ = wait([connecting], SOON_S)
                assert not finished
                for _ in range(2):
                    accepted.enter_context(listener.accept()[0])
                connecting.result(DEADLINE_S).close()
            finally:
                socket.setdefaulttimeout(None)


def test_a_call_that_is_interrupted_ends_the_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the next call would get this one's answer."""

    def script(client: Conversation) -> None:
        client.expect()
        client.expect_end()

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    with FakeDaemon(tmp_path, script) as daemon, Client(daemon.path) as client:
        monkeypatch.setattr(sync, "receive_some", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.call(Delete(ID))
        with pytest.raises(UnreachableError, match="is closed"):
            client.call(Delete(ID))


def test_a_connection_that_breaks(tmp_path: Path) -> None:
    """Closed with a request unread, and without a word."""

    def script(client: Conversation) -> None:
        client.socket.recv(1)

    before = descriptors_in_use()
    with FakeDaemon(tmp_path, script) as daemon:
        client = Client(daemon.path, descriptors=True)
        with pytest.raises(UnreachableError, match=r"broke: Connection reset|went away"):
            client.call(SetValue(ID, SecretValue(b"x")))
    assert descriptors_in_use() == before


def test_closing_twice_does_no_harm(tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        client.send(client.expect().reply("<delete/>"))
        client.expect_end()

    with FakeDaemon(tmp_path, script) as daemon:
        client = Client(daemon.path)
        assert client.call(Delete(ID)) == Deleted()
        client.close()
        client.close()
        with pytest.raises(UnreachableError, match="is closed"):
            client.call(Delete(ID))
