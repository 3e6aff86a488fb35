"""A disk that fails under a running daemon: real system calls that return EIO, by strace's fault injection."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon
from secretd import operations as ops
from secretd.client import Client
from secretd.errors import StoreCorruptError, StoreOutcomeUnknownError, StoreUnavailableError
from secretd.model import Attributes, SecretDocument, SecretValue

SECRET, OTHER = UUID(int=1), UUID(int=2)
OLD, NEW = SecretValue(b"old"), SecretValue(b"new")

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@contextmanager
def failing(daemon: RunningDaemon, calls: str, when: str = "1+") -> Iterator[None]:
    """Let these system calls of a daemon fail with EIO for the length of a with block: those ``when`` says."""
    inject = f"inject={calls}:error=EIO:when={when}"
    options = ["-f", "-qq", "-e", f"trace={calls}", "-e", inject, "-o", "/dev/null"]
    command = ["strace", *options, "-p", str(daemon.process.pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        wait_until_traced(daemon)
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=DEADLINE_S)


def wait_until_traced(daemon: RunningDaemon) -> None:
    """Ask the daemon until each of its threads has a tracer; an answer takes a turn, so this does not spin."""
    with Client(daemon.socket) as client:
        for _ in range(100_000):
            client.call(ops.Whoami())
            threads = Path(f"/proc/{daemon.process.pid}/task").iterdir()
            if all("TracerPid:\t0\n" not in (thread / "status").read_text() for thread in threads):
                return
    raise AssertionError("strace did not attach")


def test_a_change_that_failed_once_does_not_come_to_life_later(tmp_path: Path) -> None:
    """Its frames stand whole in the log, only their fsync failed: a crash must not bring them back."""
    with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
        client.call(ops.SetValue(SECRET, OLD))
        with failing(daemon, "fdatasync,fsync", when="1"):
            with pytest.raises(StoreUnavailableError):
                client.call(ops.SetValue(SECRET, NEW))
            assert client.call(ops.GetValue(SECRET)).value == OLD
            daemon.kill()
    with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
        assert client.call(ops.GetValue(SECRET)).value == OLD


def test_while_the_disk_fails_the_outcome_is_unknown_and_reads_go_on(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
        client.call(ops.SetValue(SECRET, OLD))
        with failing(daemon, "fdatasync,fsync"):
            for secret in (SECRET, OTHER):
                with pytest.raises(StoreOutcomeUnknownError):
                    client.call(ops.SetValue(secret, NEW))
            assert client.call(ops.GetValue(SECRET)).value == OLD
        client.call(ops.SetValue(OTHER, OLD))
        assert client.call(ops.GetValue(SECRET)).value == OLD
        daemon.kill()
    with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
        assert client.call(ops.GetValue(SECRET)).value == OLD
        assert client.call(ops.GetValue(OTHER)).value == OLD


def test_a_secret_whose_move_to_memory_failed_is_there(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
        client.call(ops.SetValue(SECRET, OLD))
        document = SecretDocument(Attributes(ephemeral=True))
        with failing(daemon, "fdatasync,fsync"), pytest.raises(StoreOutcomeUnknownError):
            client.call(ops.SetXml(SECRET, document))
        assert client.call(ops.GetValue(SECRET)).value == OLD
        client.call(ops.SetXml(SECRET, document))
        assert client.call(ops.GetValue(SECRET)).value == OLD
        status = client.call(ops.Status())
        assert (status.persistent, status.ephemeral) == (0, 1)


def test_reads_go_on_while_nothing_can_be_written(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
        client.call(ops.SetValue(SECRET, OLD))
        with failing(daemon, "pwrite64,pwritev"):
            with pytest.raises((StoreUnavailableError, StoreOutcomeUnknownError)):
                client.call(ops.SetValue(SECRET, NEW))
            assert client.call(ops.GetValue(SECRET)).value == OLD
        client.call(ops.SetValue(SECRET, NEW))
        assert client.call(ops.GetValue(SECRET)).value == NEW


def test_a_read_that_fails_is_told_as_damage_and_got_over(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path) as daemon:
        with Client(daemon.socket) as client:
            client.call(ops.SetValue(SECRET, OLD))
        # Nothing of it is cached yet.
        daemon.kill()
    with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
        # Where a disk cannot be read, SQLite makes no difference between that and damage.
        with failing(daemon, "pread64"), pytest.raises(StoreCorruptError):
            client.call(ops.GetValue(SECRET))
        assert client.call(ops.GetValue(SECRET)).value == OLD
