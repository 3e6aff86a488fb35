"""What the service manager is told, over the socket that it names, by a real daemon."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from helpers.asynchronous import run
from helpers.daemon import RunningDaemon
from helpers.jumping import jump
from helpers.told import FakeManager
from secretd import limits
from secretd import operations as ops
from secretd.client import Client
from secretd.daemon import logs
from secretd.daemon.notify import Manager
from secretd.errors import ConfigError


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FakeManager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@secretd-test-{uuid4()}"
    manager = FakeManager(address)
    with manager.socket:
        yield manager


def test_a_whole_life(manager: FakeManager, tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, extra_environment=manager.environment) as daemon:
        assert manager.receive() == {"READY": "1", "STATUS": "Serving"}
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        daemon.process.send_signal(signal.SIGHUP)
        said = manager.receive()
        assert set(said) == {"RELOADING", "MONOTONIC_USEC", "STATUS"}
        assert before // 1_000 <= int(said["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000
        assert manager.receive() == {"READY": "1", "STATUS": "Serving"}
        daemon.stop()
        assert manager.receive()["STOPPING"] == "1"


def test_ready_comes_when_clients_can_connect(manager: FakeManager, tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, extra_environment=manager.environment) as daemon:
        manager.wait_for("READY")
        with Client(daemon.socket) as client:
            client.call(ops.Status())


def test_the_status_says_that_it_is_sealed_until_it_is_not(manager: FakeManager, tmp_path: Path) -> None:
    with RunningDaemon(tmp_path):
        pass
    key_file = tmp_path / "config" / "secretd" / "root.key"
    key = key_file.read_bytes()
    key_file.write_bytes(b"w" * 32)
    with RunningDaemon(tmp_path, extra_environment=manager.environment):
        assert manager.receive()["STATUS"] == "Sealed: secretctl status says why"
        key_file.write_bytes(key)
        assert manager.wait_for("STATUS")["STATUS"] == "Serving"


def test_signs_of_life_come_again_and_again(manager: FakeManager, tmp_path: Path) -> None:
    environment = {**manager.environment, "WATCHDOG_USEC": "20000"}
    with RunningDaemon(tmp_path, extra_environment=environment):
        for _ in range(5):
            manager.wait_for("WATCHDOG")


def test_a_new_configuration_that_cannot_be_used_is_said(manager: FakeManager, tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, extra_environment=manager.environment) as daemon:
        manager.wait_for("READY")
        (daemon.config / "secretd.toml").write_text("nonsense")
        daemon.process.send_signal(signal.SIGHUP)
        assert manager.wait_for("READY")["STATUS"] == "Serving; the new configuration cannot be used"


def test_a_manager_that_is_not_there_is_no_reason_to_end(tmp_path: Path) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "nobody")}
    with RunningDaemon(tmp_path, extra_environment=environment) as daemon, Client(daemon.socket) as client:
        line = daemon.wait_for_event("the service manager cannot be told")
        assert (line["said"], line["reason"]) == ("READY=1", "No such file or directory")
        client.call(ops.Status())


class TestAManagerThatReadsNothing:
    @pytest.fixture
    def full(self, manager: FakeManager) -> FakeManager:
        """Give a manager whose socket takes nothing more."""
        with suppress(BlockingIOError):
            while True:
                # Each from a sender of its own, or it would be the sender's room that comes to its end.
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                    sender.connect(manager.socket.getsockname())
                    sender.send(b"FILL=1")
        return manager

    def test_it_is_waited_for_without_holding_up_anything(self, full: FakeManager) -> None:
        async def work() -> None:
            telling = asyncio.create_task(Manager.take(dict(full.environment)).status("late"))
            await asyncio.sleep(limits.NOTIFY_SECONDS / 2)
            assert not telling.done()
            full.receive()
            await telling

        jump(work())
        assert full.wait_for("STATUS") == {"STATUS": "late"}

    def test_in_the_end_it_is_not_told(self, full: FakeManager, capsys: pytest.CaptureFixture[str]) -> None:
        async def work() -> None:
            began = asyncio.get_running_loop().time()
            await Manager.take(dict(full.environment)).status("never")
            assert asyncio.get_running_loop().time() - began >= limits.NOTIFY_SECONDS

        logs.set_up(logging.INFO)
        jump(work())
        line = json.loads(capsys.readouterr().err)
        assert (line["event"], line["reason"]) == ("the service manager cannot be told", "it takes nothing")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        pytest.param({"NOTIFY_SOCKET": "relative"}, "NOTIFY_SOCKET", id="relative"),
        pytest.param({"NOTIFY_SOCKET": "@"}, "NOTIFY_SOCKET", id="no-name"),
        pytest.param({"NOTIFY_SOCKET": "vsock:2:1"}, "NOTIFY_SOCKET", id="of-a-virtual-machine"),
        pytest.param({"WATCHDOG_USEC": "soon"}, "WATCHDOG_USEC", id="no-number"),
        pytest.param({"WATCHDOG_USEC": "0"}, "WATCHDOG_USEC", id="no-time"),
        pytest.param({"WATCHDOG_USEC": "-1"}, "WATCHDOG_USEC", id="negative"),
    ],
)
def test_what_it_says_of_itself_has_to_make_sense(environment: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Manager.take(environment)


@pytest.mark.parametrize(
    "watchdog",
    [
        pytest.param({}, id="none-wanted"),
        pytest.param({"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, id="of-another-process"),
    ],
)
def test_no_sign_of_life_where_none_is_wanted(watchdog: dict[str, str]) -> None:
    run(Manager.take(watchdog).keep_alive())


def test_nothing_of_it_stays_in_the_environment() -> None:
    environment = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1", "PATH": "/bin"}
    Manager.take(environment)
    assert environment == {"PATH": "/bin"}
