"""secretd as a target of libvirt's clients, in both modes, as ``helpers.libvirtd`` runs what it is compared with."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from helpers.daemon import RunningDaemon
from helpers.libvirt_target import Target
from helpers.mounts import PrivateMounts, private_mounts
from helpers.users import NOBODY, directory_of, python_as
from secretd.model import Mode

_CONFIG = """
[daemon]
runtime-directory = "{root}/run/secretd"
[store]
url = "sqlite://{root}/data/store"
[seal]
root-key-directory = "{root}/config"
keyring-directory = "{root}/data/keyring"
"""


@contextmanager
def session_secretd() -> Iterator[Target]:
    """Run secretd in session mode: as the one who runs the tests, or as nobody if that is root."""
    uid = os.geteuid() or NOBODY
    python = python_as(uid) if uid != os.geteuid() else (sys.executable,)
    with directory_of(uid) as root:
        # Its places below it are made by root otherwise.
        for name in ("home", "config", "data", "run"):
            (root / name).mkdir(mode=0o700)
            os.chown(root / name, uid, uid)
        with RunningDaemon(root, python=python) as daemon:
            yield _target(daemon, Mode.SESSION, root / "run" / "libvirt", uid)


@contextmanager
def system_secretd() -> Iterator[Target]:
    """Run secretd in system mode as root, where nothing of this host's libvirt is; skips where that cannot be."""
    with system_place() as place, place.start() as daemon:
        yield place.target(daemon)


@contextmanager
def system_place() -> Iterator[SystemPlace]:
    """Make a place for secretd in system mode, where it can be started again and again; skips where that cannot be."""
    with directory_of(0) as root, private_mounts() as mounts:
        root.chmod(0o755)
        for name in ("config", "data", "run"):
            (root / name).mkdir(mode=0o755 if name == "run" else 0o700)
        mounts.small_memory_disk(Path("/run"), "16m")
        (root / "config" / "secretd.toml").write_text(_CONFIG.format(root=root))
        yield SystemPlace(root, mounts)


@dataclass(frozen=True)
class SystemPlace:
    """A place for secretd in system mode.

    Attributes:
        root: where its directories are.
    """

    root: Path
    _mounts: PrivateMounts

    @property
    def root_key(self) -> Path:
        """Where the root key is, once it was made."""
        return self.root / "config" / "root.key"

    def start(self) -> RunningDaemon:
        """Start the daemon."""
        arguments = ("--system", "--config", str(self.root / "config" / "secretd.toml"))
        return RunningDaemon(self.root, arguments, python=(*self._mounts.prefix, sys.executable))

    def target(self, daemon: RunningDaemon) -> Target:
        """Say how libvirt's clients find it."""
        return _target(daemon, Mode.SYSTEM, self._mounts.path(Path("/run/libvirt")), 0)


def _target(daemon: RunningDaemon, mode: Mode, of_libvirt: Path, uid: int) -> Target:
    return Target(
        name="secretd",
        mode=mode,
        socket=daemon.socket.with_name("virtsecretd-sock"),
        socket_ro=daemon.socket.with_name("virtsecretd-sock-ro"),
        token=of_libvirt / "common" / "system.token",
        uid=uid,
    )
