"""A real libvirtd that is nothing but a secret daemon, which secretd is compared with.

Its driver directory holds the secret driver alone.  ``session_libvirtd`` runs it as an ordinary user, in XDG
directories of its own; ``system_libvirtd`` as root, where a mount namespace hides what libvirt keeps on this host.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import pytest

from helpers.daemon import DEADLINE_S, session_environment
from helpers.libvirt_target import Target
from helpers.mounts import private_mounts
from helpers.told import FakeManager
from helpers.users import NOBODY, as_user, directory_of
from secretd.model import Mode

_LIBVIRTD = Path("/usr/sbin/libvirtd")
_DRIVERS = "*/libvirt/connection-driver/libvirt_driver_secret.so"
_HIDDEN = ("/run", "/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt")
"""What a libvirtd of root writes to, for which the namespace has empty memory disks."""

_CONFIG = """\
unix_sock_dir = "{sockets}"
unix_sock_rw_perms = "0777"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:file:{log}"
"""


def secret_driver() -> Path:
    """Find libvirt's secret driver; skips the test where libvirtd is not installed."""
    found = sorted(Path("/usr/lib").glob(_DRIVERS))
    if not found or not _LIBVIRTD.exists():
        pytest.skip("libvirt-daemon is not installed")
    return found[0]


@cache
def version() -> str:
    """Give the version of the libvirtd that is installed, as "9.0"; skips the test if there is none."""
    secret_driver()
    said = subprocess.run([_LIBVIRTD, "--version"], check=True, capture_output=True, text=True).stdout
    return ".".join(said.split()[-1].split(".")[:2])


@contextmanager
def session_libvirtd() -> Iterator[Target]:
    """Run a libvirtd as an ordinary user: the one who runs the tests, or nobody if that is root."""
    uid = os.geteuid() or NOBODY
    with directory_of(uid) as root:
        environment = session_environment(root)
        for place in root.iterdir():
            os.chown(place, uid, uid)
        prefix = as_user(uid) if uid != os.geteuid() else ()
        with _running(root, uid, prefix, environment):
            yield Target(
                name=f"libvirtd {version()}",
                mode=Mode.SESSION,
                socket=root / "sockets" / "libvirt-sock",
                socket_ro=None,
                token=root / "run" / "libvirt" / "common" / "system.token",
                uid=uid,
            )


@contextmanager
def system_libvirtd() -> Iterator[Target]:
    """Run a libvirtd as root, which leaves nothing on this host; skips the test where that cannot be."""
    with directory_of(0) as root, private_mounts() as mounts:
        for place in _HIDDEN:
            mounts.small_memory_disk(Path(place), "16m")
        with _running(root, 0, mounts.prefix, os.environ):
            yield Target(
                name=f"libvirtd {version()}",
                mode=Mode.SYSTEM,
                socket=root / "sockets" / "libvirt-sock",
                socket_ro=root / "sockets" / "libvirt-sock-ro",
                token=mounts.path(Path("/run/libvirt/common/system.token")),
                uid=0,
            )


@contextmanager
def _running(root: Path, uid: int, prefix: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    root.chmod(0o755)
    config, log = root / "libvirtd.conf", root / "libvirtd.log"
    for made in (root / "drivers", root / "sockets"):
        made.mkdir(mode=0o755)
        os.chown(made, uid, uid)
    shutil.copy(secret_driver(), root / "drivers")
    config.write_text(_CONFIG.format(sockets=root / "sockets", log=log))
    manager = FakeManager(f"@secretd-test-{root.name}")
    command: list[str | Path] = [
        *prefix,
        _LIBVIRTD,
        "--config",
        config,
        "--pid-file",
        root / "sockets" / "libvirtd.pid",
    ]
    own = {"LIBVIRT_DRIVER_DIR": str(root / "drivers"), **manager.environment}
    with (
        closing(manager.socket),
        subprocess.Popen(
            command, env={**environment, **own}, cwd="/", stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process,
    ):
        try:
            _wait_until_ready(manager, log)
            yield
        finally:
            process.terminate()
            process.wait(timeout=DEADLINE_S)


def _wait_until_ready(manager: FakeManager, log: Path) -> None:
    try:
        manager.wait_for("READY")
    except TimeoutError:
        said = log.read_text() if log.exists() else ""
        raise AssertionError(f"libvirtd does not say that it is ready; its log: {said}") from None
