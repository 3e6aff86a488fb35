"""A disk that takes no writes: changes are refused, surely undone, reads go on, and writes when it takes them again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from helpers.daemon import RunningDaemon
from helpers.load import State, audit_copy
from helpers.mounts import PrivateMounts, make_disk_image, private_mounts
from secretd import operations as ops
from secretd.client import Client
from secretd.errors import StoreUnavailableError
from secretd.model import Attributes, SecretDocument, SecretValue, Usage, UsageType
from secretd.store.sqlite_files import DATABASE

SECRET = UUID(int=1)
ATTRIBUTES = Attributes(Usage(UsageType.VOLUME, "/disk"), "a description")
OLD, NEW = SecretValue(b"old"), SecretValue(b"new")

REFUSED: tuple[ops.Request[Any], ...] = (
    ops.SetValue(SECRET, NEW),
    ops.SetXml(SECRET, SecretDocument(Attributes(description="another"))),
    ops.SetXml(SECRET, SecretDocument(Attributes(ephemeral=True))),
    ops.SetValue(UUID(int=2), NEW),
    ops.Delete(SECRET),
)


@dataclass
class Disk:
    """An ext4 file system that holds the daemon's data."""

    root: Path
    mounts: PrivateMounts

    @property
    def data(self) -> Path:
        return self.mounts.path(self.root / "data") / "secretd"

    def daemon(self) -> RunningDaemon:
        return RunningDaemon(self.root, python=[*self.mounts.prefix, sys.executable])

    def mount(self) -> None:
        self.mounts.disk_image(self.root / "image", self.root / "data")

    def forbid_writes(self, forbid: bool) -> None:
        """Make the store's files immutable, or not; ext4 then refuses writes, also by who has them open."""
        # Whatever SQLite has of it: an index that is mapped into memory would end the process.
        files = (self.data / "store").glob(f"{DATABASE}*")
        subprocess.run(["chattr", "+i" if forbid else "-i", *files], check=True)

    def audit(self) -> dict[UUID, State]:
        return audit_copy(self.data, self.root / "config" / "secretd", self.root / "audit")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if shutil.which("chattr") is None:
        pytest.skip("chattr is not installed")
    with private_mounts() as mounts:
        make_disk_image(tmp_path / "image", 32 * 2**20)
        disk = Disk(tmp_path, mounts)
        disk.mount()
        yield disk


def prepare(client: Client) -> None:
    client.call(ops.SetXml(SECRET, SecretDocument(ATTRIBUTES)))
    client.call(ops.SetValue(SECRET, OLD))


def check_unchanged(client: Client) -> None:
    assert client.call(ops.GetValue(SECRET)).value == OLD
    assert client.call(ops.GetXml(SECRET)).document.attributes == ATTRIBUTES
    assert ATTRIBUTES.usage is not None
    assert client.call(ops.LookupByUsage(ATTRIBUTES.usage)).secret == SECRET
    assert [entry.secret for entry in client.call(ops.List()).entries] == [SECRET]


def test_what_cannot_be_written_is_unavailable_until_it_can(disk: Disk) -> None:
    with disk.daemon() as daemon, Client(daemon.socket) as client:
        prepare(client)
        disk.forbid_writes(True)
        try:
            for request in REFUSED:
                with pytest.raises(StoreUnavailableError, match="nothing was changed"):
                    client.call(request)
                check_unchanged(client)
        finally:
            disk.forbid_writes(False)
        client.call(ops.SetValue(SECRET, NEW))
        daemon.kill()
    (seen,) = disk.audit().values()
    assert (seen.attributes, seen.value) == (ATTRIBUTES, NEW.reveal())


def test_a_file_system_that_gave_up_is_read_and_whole_when_it_is_mounted_again(disk: Disk) -> None:
    with disk.daemon() as daemon, Client(daemon.socket) as client:
        prepare(client)
        # Nothing waits to be written, so a page that is mapped would have to ask the file system anew.
        disk.mounts.run("sync", "--file-system", disk.root / "data")
        # As ext4 does by itself when it meets an error: read-only from now on, whoever has files open for writing.
        disk.mounts.run("mount", "-o", "remount,abort", disk.root / "data")
        for request in REFUSED:
            with pytest.raises(StoreUnavailableError, match="nothing was changed"):
                client.call(request)
            check_unchanged(client)
        daemon.kill()
    disk.mounts.run("umount", disk.root / "data")
    disk.mount()
    (seen,) = disk.audit().values()
    assert (seen.attributes, seen.value) == (ATTRIBUTES, OLD.reveal())
    with disk.daemon() as daemon, Client(daemon.socket) as client:
        client.call(ops.SetValue(SECRET, NEW))
