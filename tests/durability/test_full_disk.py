"""A disk that is full: what adds is refused, what removes is not, reads go on, and room is noticed when it comes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from helpers.daemon import RunningDaemon
from helpers.load import audit_copy
from helpers.mounts import PrivateMounts, make_disk_image, private_mounts
from secretd import operations as ops
from secretd.client import Client
from secretd.errors import StoreFullError
from secretd.model import Attributes, SecretDocument, SecretValue
from secretd.store.sqlite_files import RESERVE, log_of

LARGE = SecretValue(b"v" * 65_536)
MEMORY_SIZE, DISK_BYTES = "12m", 16 * 2**20


class SmallDisk:
    """A daemon's data on a small disk, and a daemon that may be killed and started anew."""

    def __init__(self, root: Path, mounts: PrivateMounts) -> None:
        self._root = root
        self._mounts = mounts
        self.data = mounts.path(root / "data")
        self._filler = self.data / "filler"

    def daemon(self) -> RunningDaemon:
        return RunningDaemon(self._root, python=[*self._mounts.prefix, sys.executable])

    def reserve(self) -> Path:
        return self.data / "secretd" / "store" / RESERVE

    def fill(self) -> None:
        """Let somebody else take all that is left, to the last byte."""
        with self._filler.open("ab", buffering=0) as filler:
            for size in (65_536, 4_096, 1):
                while _took(filler.fileno(), size):
                    pass

    def make_room(self) -> None:
        self._filler.unlink()

    def audit(self) -> set[UUID]:
        return set(audit_copy(self.data / "secretd", self._root / "config" / "secretd", self._root / "audit"))


def _took(descriptor: int, size: int) -> bool:
    try:
        return os.write(descriptor, b"x" * size) > 0
    except OSError:
        return False


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    with private_mounts() as mounts:
        if request.param == "tmpfs":
            mounts.small_memory_disk(tmp_path / "data", MEMORY_SIZE)
        else:
            make_disk_image(tmp_path / "image", DISK_BYTES)
            mounts.disk_image(tmp_path / "image", tmp_path / "data")
        yield SmallDisk(tmp_path, mounts)


@contextmanager
def serving(disk: SmallDisk) -> Iterator[tuple[RunningDaemon, Client]]:
    with disk.daemon() as daemon, Client(daemon.socket) as client:
        yield daemon, client


def fill_by_secrets(client: Client) -> list[UUID]:
    """Store secrets until the store is full."""
    made: list[UUID] = []
    while True:
        secret = uuid4()
        try:
            client.call(ops.SetValue(secret, LARGE))
        except StoreFullError:
            return made
        made.append(secret)


def test_a_store_that_filled_its_disk_makes_room_by_deletions(disk: SmallDisk) -> None:
    with serving(disk) as (daemon, client):
        secrets = fill_by_secrets(client)
        assert len(secrets) > 50
        assert client.call(ops.GetValue(secrets[0])).value == LARGE
        # To delete, and to move to memory, is to remove.
        client.call(ops.Delete(secrets.pop()))
        client.call(ops.SetXml(secrets.pop(), SecretDocument(Attributes(ephemeral=True))))
        client.call(ops.SetValue(secrets[0], LARGE))
        secrets += fill_by_secrets(client)
        daemon.kill()
    assert disk.audit() == set(secrets)


def test_what_removes_is_done_by_the_reserve_when_nothing_is_left(disk: SmallDisk) -> None:
    with serving(disk) as (daemon, client):
        secrets = fill_by_secrets(client)
        assert disk.reserve().stat().st_blocks > 0
        disk.fill()
        for _ in range(20):
            client.call(ops.Delete(secrets.pop()))
            disk.fill()
        assert client.call(ops.GetValue(secrets[0])).value == LARGE
        daemon.kill()
    # Also after a crash, and a start on the full disk.
    with serving(disk) as (daemon, client):
        client.call(ops.Delete(secrets.pop()))
        disk.make_room()
        new = uuid4()
        client.call(ops.SetValue(new, LARGE))
        assert daemon.stop() == 0
    assert disk.reserve().stat().st_blocks > 0
    assert disk.audit() == {*secrets, new}


def test_a_crash_on_a_full_disk_is_got_over_there(disk: SmallDisk) -> None:
    secret = uuid4()
    with serving(disk) as (daemon, client):
        client.call(ops.SetValue(secret, LARGE))
        disk.fill()
        daemon.kill()
    assert log_of(disk.reserve().parent).stat().st_size > 0
    with serving(disk) as (_, client):
        assert client.call(ops.GetValue(secret)).value == LARGE
        client.call(ops.Delete(secret))


def test_writes_work_again_when_there_is_room_without_a_restart(disk: SmallDisk) -> None:
    with serving(disk) as (_, client):
        first, second = uuid4(), uuid4()
        client.call(ops.SetValue(first, LARGE))
        disk.fill()
        fill_by_secrets(client)
        with pytest.raises(StoreFullError):
            client.call(ops.SetValue(second, LARGE))
        assert client.call(ops.GetValue(first)).value == LARGE
        assert client.call(ops.Status()).ephemeral == 0
        disk.make_room()
        client.call(ops.SetValue(second, LARGE))
        assert client.call(ops.GetValue(second)).value == LARGE
