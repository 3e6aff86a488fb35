"""The two daemons of the side by side: secretd and a real libvirtd, each over the same secrets on the same disk.

Their stores are filled before they start: through a socket it would take minutes.  A libvirtd that runs already is
filled through its socket, and emptied again.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from helpers.bench_libvirt_workers import Workers
from helpers.bench_store import FILLED_VALUE_BYTES, fill, ids, usage
from helpers.daemon import DEADLINE_S, RunningDaemon, session_environment
from helpers.libvirtd import secret_driver, version
from helpers.told import FakeManager
from helpers.users import NOBODY, as_user

_LIBVIRTD = Path("/usr/sbin/libvirtd")

_START_DEADLINE_S = 600.0
"""libvirtd compares each secret that it loads with all before it: 16,000 of them take half a minute, or more."""

_CONFIG = """\
unix_sock_dir = "{root}"
unix_sock_rw_perms = "0777"
auth_unix_rw = "none"
log_outputs = "3:file:{root}/libvirtd.log"
"""

_DOCUMENT = """\
<secret ephemeral='no' private='no'>
  <uuid>{uuid}</uuid>
  <usage type='volume'>
    <volume>{volume}</volume>
  </usage>
</secret>
"""


class NotEmptyError(Exception):
    """A libvirtd that runs already has secrets, which would not survive the benchmark."""


def named(count: int) -> list[tuple[str, str]]:
    """Give the id and the volume of each secret in a store of so many."""
    return [(str(secret), usage(number).id) for number, secret in enumerate(ids(count))]


class Daemon(ABC):
    """A daemon that speaks libvirt's RPC.

    Attributes:
        name: of its column, "secretd" or "libvirtd".
        version: of the program, as far as it is known.
        starts_here: whether its start can be measured.
    """

    name: str
    version: str | None = None
    starts_here = True

    @abstractmethod
    def fill(self, count: int) -> None:
        """Give it so many secrets, before it serves."""

    @abstractmethod
    def serving(self) -> AbstractContextManager[str]:
        """Let it serve what it was filled with; gives the URI by which libvirt's clients find it."""


class Secretd(Daemon):
    """The secretd that is installed beside the interpreter."""

    name = "secretd"

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self._root = root

    def fill(self, count: int) -> None:
        """Write its store."""
        fill(self._root / "data" / "secretd", self._root / "config" / "secretd", count)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Start it, and stop it."""
        with RunningDaemon(self._root) as daemon:
            yield f"secret:///session?socket={daemon.libvirt_socket}"


class Libvirtd(Daemon):
    """The host's libvirtd with nothing but its secret driver, run by an ordinary user: root's would use /etc."""

    name = "libvirtd"

    def __init__(self, root: Path) -> None:
        self.version = version()
        self._root = root
        self._uid = os.geteuid() or NOBODY
        self._environment = session_environment(root)
        (root / "drivers").mkdir()
        shutil.copy(secret_driver(), root / "drivers")
        self._config = root / "libvirtd.conf"
        self._config.write_text(_CONFIG.format(root=root))

    def fill(self, count: int) -> None:
        """Write the two files of each secret."""
        directory = self._root / "config" / "libvirt" / "secrets"
        directory.mkdir(parents=True)
        for uuid, volume in named(count):
            (directory / f"{uuid}.xml").write_text(_DOCUMENT.format(uuid=uuid, volume=volume))
            (directory / f"{uuid}.base64").write_bytes(base64.b64encode(os.urandom(FILLED_VALUE_BYTES)))
        for path in (self._root, *self._root.rglob("*")):
            os.chown(path, self._uid, self._uid)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Start it, and stop it."""
        prefix = as_user(self._uid) if self._uid != os.geteuid() else ()
        manager = FakeManager(f"@secretd-bench-{self._root.name}-{os.getpid()}")
        manager.socket.settimeout(_START_DEADLINE_S)
        own = {"LIBVIRT_DRIVER_DIR": str(self._root / "drivers"), **manager.environment}
        arguments = ("--config", self._config, "--pid-file", self._root / "libvirtd.pid")
        with (
            closing(manager.socket),
            subprocess.Popen(
                [*prefix, _LIBVIRTD, *arguments],
                env={**self._environment, **own},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as process,
        ):
            try:
                manager.wait_for("READY")
                yield f"secret:///session?socket={self._root / 'libvirt-sock'}"
            finally:
                process.terminate()
                process.wait(timeout=DEADLINE_S)


class RunningLibvirtd(Daemon):
    """A libvirtd that somebody else started, and that has no secret yet."""

    name = "libvirtd"
    starts_here = False

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._count = 0

    def fill(self, count: int) -> None:
        """Note how many; it is running, so they come through its socket."""
        self._count = count

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Fill it, and empty it again.

        Raises:
            NotEmptyError: it has secrets.
        """
        with Workers(1) as worker:
            if worker.open(self.name, self._uri, [[]]):
                raise NotEmptyError("that libvirtd has secrets: the benchmark wants one without, and leaves none")
            try:
                worker.fill(self.name, named(self._count))
                yield self._uri
            finally:
                worker.clear(self.name)
                worker.close(self.name)
