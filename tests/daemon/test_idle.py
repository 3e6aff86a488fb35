"""An idle daemon: when it ends, what keeps it, and that nobody who connects meanwhile is lost."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from helpers.core import Core, open_core
from helpers.daemon import DEADLINE_S, RunningDaemon, session_environment
from helpers.handing_over import HandedOver, listen_at
from helpers.jumping import jump
from helpers.libvirt_place import may_define
from helpers.raw import RawClient
from secretd import operations as ops
from secretd.addresses import LIBVIRT, NATIVE
from secretd.client import Client
from secretd.daemon.idle import until_idle
from secretd.daemon.server import Server
from secretd.doors.native import NativeSession

WHOAMI = b"<request serial='7'><whoami/></request>\0"
TIMEOUT_S = 30


class Rig:
    """A server of the real core, on a socket that a test holds open too, as systemd does."""

    def __init__(self, root: Path, core: Core) -> None:
        self.core = core
        self.path = root / "passed" / NATIVE.name
        self.systemds = listen_at(self.path)
        self.server = Server(core.seal, _nothing)
        listener = self.systemds.dup()
        listener.setblocking(False)
        self.server.listen(listener, NATIVE, lambda caller: NativeSession(core.service, caller))

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.connect(str(self.path))
        client.setblocking(False)
        return client

    async def until_idle(self) -> float:
        """Wait until it is idle; gives when that was."""
        await until_idle(self.server, lambda: self.core.service.busy, TIMEOUT_S)
        return asyncio.get_running_loop().time()


async def _nothing() -> None:
    """Stand in for a service that has nothing to do once it is unsealed."""


def on_rig(root: Path, work: Callable[[Rig], Coroutine[Any, Any, None]]) -> None:
    """Run a test with a server of its own."""

    async def all_of_it() -> None:
        async with open_core(root) as core:
            rig = Rig(root, core)
            with rig.systemds:
                await work(rig)
                await rig.server.drain()

    jump(all_of_it())


async def ask(client: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, WHOAMI)
    return await loop.sock_recv(client, 65_536)


class TestWhen:
    def test_it_is_idle_after_the_time_and_not_before(self, tmp_path: Path) -> None:
        async def work(rig: Rig) -> None:
            began = asyncio.get_running_loop().time()
            assert await rig.until_idle() - began == pytest.approx(TIMEOUT_S)

        on_rig(tmp_path, work)

    def test_a_connection_keeps_it_and_the_time_counts_from_its_end(self, tmp_path: Path) -> None:
        async def work(rig: Rig) -> None:
            with rig.connect() as client:
                assert await ask(client)
                idle = asyncio.create_task(rig.until_idle())
                await asyncio.sleep(10 * TIMEOUT_S + 7)
                assert not idle.done()
                left = asyncio.get_running_loop().time()
            assert left + TIMEOUT_S <= await idle < left + TIMEOUT_S + 1

        on_rig(tmp_path, work)

    def test_an_ephemeral_secret_keeps_it(self, tmp_path: Path) -> None:
        async def work(rig: Rig) -> None:
            secret = (await rig.core.call(ops.AllocateId(ephemeral=True))).secret
            idle = asyncio.create_task(rig.until_idle())
            await asyncio.sleep(10 * TIMEOUT_S)
            assert not idle.done()
            await rig.core.call(ops.Delete(secret))
            deleted = asyncio.get_running_loop().time()
            assert await idle <= deleted + 2 * TIMEOUT_S

        on_rig(tmp_path, work)

    def test_a_change_under_way_keeps_it(self, tmp_path: Path) -> None:
        async def work(rig: Rig) -> None:
            # As the service counts one: a real one is over too soon to be looked at.
            with rig.core.service._in_flight.change():
                idle = asyncio.create_task(rig.until_idle())
                await asyncio.sleep(10 * TIMEOUT_S)
                assert not idle.done()
            await idle

        on_rig(tmp_path, work)

    def test_a_persistent_secret_does_not(self, tmp_path: Path) -> None:
        async def work(rig: Rig) -> None:
            await rig.core.call(ops.AllocateId())
            await rig.until_idle()

        on_rig(tmp_path, work)


class TestNobodyIsLost:
    def test_who_waits_already_is_served(self, tmp_path: Path) -> None:
        async def work(rig: Rig) -> None:
            # Nothing is awaited in between, so the server has not seen it yet.
            with rig.connect() as client:
                assert not rig.server.rest()
                assert (await ask(client)).startswith(b"<reply serial='7'>")

        on_rig(tmp_path, work)

    def test_who_comes_later_waits_for_the_next_daemon(self, tmp_path: Path) -> None:
        async def work(rig: Rig) -> None:
            await rig.until_idle()
            with rig.connect() as client:
                await asyncio.get_running_loop().sock_sendall(client, WHOAMI)
                await asyncio.sleep(TIMEOUT_S)
                await rig.server.drain()
                taken, _ = rig.systemds.accept()
                with taken:
                    assert taken.recv(65_536) == WHOAMI

        on_rig(tmp_path, work)


class TestProcess:
    def test_it_ends_and_the_next_one_serves(self, tmp_path: Path) -> None:
        path = tmp_path / "passed" / NATIVE.name
        with listen_at(path) as listener:
            for _ in range(2):
                # It waits before there is a daemon.
                with (
                    RawClient(path) as client,
                    HandedOver(tmp_path, {NATIVE.name: listener}, "--timeout", "1") as daemon,
                ):
                    client.send(WHOAMI)
                    assert client.receive().startswith(b"<reply serial='7'>")
                    client.socket.close()
                    assert daemon.finish() == 0
                    assert [line["event"] for line in daemon.log][-2:] == ["idle", "stopping"]

    def test_it_ends_when_libvirts_clients_have_left(self, tmp_path: Path) -> None:
        path = tmp_path / "passed" / LIBVIRT.name
        with listen_at(path) as listener:
            for _ in range(2):
                with HandedOver(tmp_path, {LIBVIRT.name: listener}, "--timeout", "1") as daemon:
                    assert may_define(path)
                    assert daemon.finish() == 0
                    assert [line["event"] for line in daemon.log][-2:] == ["idle", "stopping"]

    def test_one_with_sockets_of_its_own_does_not_end(self, tmp_path: Path) -> None:
        with RunningDaemon(tmp_path, ("--session", "--timeout", "1")) as daemon, Client(daemon.socket) as client:
            daemon.wait_for_event(
                "no sockets were handed over: nobody would start an idle daemon again, so it does not end"
            )
            client.call(ops.Status())

    @pytest.mark.parametrize("timeout", ["0", "-1", "soon", "1.5", ""])
    def test_the_time_is_a_whole_number_of_seconds(self, tmp_path: Path, timeout: str) -> None:
        result = subprocess.run(
            [sys.executable, "-P", "-m", "secretd", "--session", f"--timeout={timeout}"],
            env=session_environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert (result.returncode, "--timeout: a daemon is idle for a whole number" in result.stderr) == (2, True)
