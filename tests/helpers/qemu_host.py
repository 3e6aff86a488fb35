"""A host whose secrets are secretd's, on libvirt's own paths, and on which libvirt's QEMU driver runs a guest.

``session_host`` is all of an ordinary user; ``system_host`` all of root, where a mount namespace hides what libvirt has
on this host.  The guest needs no disk that boots, and no KVM: it is stopped before its first instruction.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from helpers import mounts
from helpers.daemon import DEADLINE_S, RunningDaemon, session_environment
from helpers.mounts import private_mounts
from helpers.users import NOBODY, as_user, directory_of, python_as
from secretd.model import Mode

_NEEDED = {
    "libvirt-clients": "bin/virsh",
    "libvirt-daemon-driver-qemu": "lib/*/libvirt/connection-driver/libvirt_driver_qemu.so",
    "python3-libvirt": "lib/python3/dist-packages/libvirt.py",
    "qemu-system-x86": "bin/qemu-system-x86_64",
    "qemu-utils": "bin/qemu-img",
}
"""Debian's packages, and the file below /usr that shows each."""

_PROGRAM = Path(mounts.__file__).with_name("qemu_guest.py")

_SECRETD = """
[daemon]
runtime-directory = "{root}/run/secretd"
log-level = "debug"
[store]
url = "sqlite://{root}/data/store"
[seal]
root-key-directory = "{root}/config"
keyring-directory = "{root}/data/keyring"
[libvirt]
sockets = "libvirt"
"""

_QEMU_DRIVER = """
security_driver = "none"
dynamic_ownership = 0
stdio_handler = "file"
cgroup_controllers = []
namespaces = []
"""
"""What needs another daemon, or a host's set-up, is off."""

_AS_ROOT = """
user = "root"
group = "root"
"""

_USER = "libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin\n"
_GROUP = "libvirt-qemu:x:64055:\n"
"""Without them root's QEMU driver does not start, whoever runs its guests; libvirt-daemon-system would make them."""

SECRET = "11111111-2222-4333-8444-555555555555"

_SECRET = f"""\
<secret private='yes'>
  <uuid>{SECRET}</uuid>
  <usage type='volume'><volume>{{disk}}</volume></usage>
</secret>
"""

_GUEST = f"""\
<domain type='qemu'>
  <name>guest</name>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64'>hvm</type></os>
  <devices>
    <disk type='file'>
      <driver name='qemu' type='raw'/>
      <source file='{{disk}}'>
        <encryption format='luks'><secret type='passphrase' uuid='{SECRET}'/></encryption>
      </source>
      <target dev='vda' bus='virtio'/>
    </disk>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""


@dataclass(frozen=True, slots=True)
class Started:
    """What came of starting the guest.

    Attributes:
        outcome: a result, or libvirt's error and its message.
        elevated: whether secretd took who asked it for one of libvirt's daemons.
    """

    outcome: dict[str, Any]
    elevated: bool


@dataclass(frozen=True, slots=True)
class Host:
    """A host, with a disk for a guest, and secretd.

    Attributes:
        root: where all its files are.
        mode: whose it is.
        prefix: what a command that runs on it begins with.
        daemon: its secretd.
        token: the file of the system token.
    """

    root: Path
    mode: Mode
    prefix: Sequence[str]
    daemon: RunningDaemon
    token: Path

    def virsh(self, *arguments: str | Path) -> str:
        """Have virsh do something, which must succeed; gives what it says."""
        return self._run("virsh", "-q", "-c", f"secret:///{self.mode.value}", *arguments)

    def define_secret(self) -> None:
        """Define the secret of the disk's passphrase, which then has no value."""
        if SECRET in self.virsh("secret-list"):
            self.virsh("secret-undefine", SECRET)
        document = self.root / "secret.xml"
        document.write_text(_SECRET.format(disk=self._disk))
        self.virsh("secret-define", document)

    def set_passphrase(self, passphrase: str) -> None:
        """Define the secret and give it this value."""
        self.define_secret()
        value = self.root / "passphrase"
        value.write_text(passphrase)
        self.virsh("secret-set-value", SECRET, "--file", value, "--plain")

    def start_guest(self) -> Started:
        """Have libvirt's QEMU driver start the guest, and stop it again."""
        # The program by its text, for it may stand where this host's user cannot read.
        document = _GUEST.format(disk=self._disk)
        said = self._run("/usr/bin/python3", "-c", _PROGRAM.read_text(), self._guests, document)
        outcome = json.loads(said)
        return Started(outcome, self.daemon.wait_for_event("identity")["elevated"])

    def kill_guests(self) -> None:
        """End what a guest left running: only a driver that was itself ended early leaves something."""
        for file in self._guests.glob("run/qemu/guest.pid"):
            with suppress(ProcessLookupError):
                os.kill(int(file.read_text()), signal.SIGKILL)

    @property
    def _disk(self) -> Path:
        return self.root / "disk"

    @property
    def _guests(self) -> Path:
        return self.root / "guests"

    def _run(self, *command: str | Path) -> str:
        environment = {**self.daemon.environment, "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            [*self.prefix, *command],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env=environment,
            timeout=DEADLINE_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


_NOT_MEASURED = b"Unable to get accurate CPU usage"
_MEASUREMENTS = 100
"""Where the kernel counts processor time in ticks, qemu-img fails if none passes while it measures key derivation."""


def needs_qemu() -> None:
    """Skip the test where one of Debian's packages is not installed."""
    missing = [package for package, file in _NEEDED.items() if not any(Path("/usr").glob(file))]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def make_encrypted_image(image: Path, passphrase: str, size_bytes: int) -> None:
    """Make a disk that LUKS encrypts, as quickly opened as can be."""
    key = image.with_name("key")
    key.write_text(passphrase)
    of_luks = ("--object", f"secret,id=key,file={key}", "-o", "key-secret=key,iter-time=10")
    command = ["qemu-img", "create", "-f", "luks", *of_luks, str(image), str(size_bytes)]
    for _ in range(_MEASUREMENTS):
        made = subprocess.run(command, check=False, capture_output=True)
        if _NOT_MEASURED not in made.stderr:
            break
    made.check_returncode()


@contextmanager
def session_host(image: Path) -> Iterator[Host]:
    """Have a host of the one who runs the tests, or of nobody if that is root."""
    uid = os.geteuid() or NOBODY
    is_another = uid != os.geteuid()
    with directory_of(uid) as root:
        session_environment(root)
        with _running(
            image,
            root,
            Mode.SESSION,
            as_user(uid) if is_another else (),
            python_as(uid) if is_another else (sys.executable,),
            root / "run" / "libvirt",
        ) as host:
            yield host


@contextmanager
def system_host(image: Path) -> Iterator[Host]:
    """Have a host of root, which leaves nothing on this one; skips the test where that cannot be."""
    with directory_of(0) as root, private_mounts() as own:
        session_environment(root)
        for place in ("/run", "/etc/libvirt"):
            own.small_memory_disk(Path(place), "16m")
        for name, line in (("passwd", _USER), ("group", _GROUP)):
            (root / name).write_text((Path("/etc") / name).read_text() + line)
            own.run("mount", "--bind", root / name, f"/etc/{name}")
        # The driver makes a group for a guest wherever it sees any.
        if Path("/sys/fs/cgroup").is_mount():
            own.run("umount", "--recursive", "--lazy", "/sys/fs/cgroup")
        python = (*own.prefix, sys.executable)
        with _running(image, root, Mode.SYSTEM, own.prefix, python, own.path(Path("/run/libvirt"))) as host:
            yield host


@contextmanager
def _running(
    image: Path, root: Path, mode: Mode, prefix: Sequence[str], python: Sequence[str], of_libvirt: Path
) -> Iterator[Host]:
    guests = root / "guests"
    (guests / "etc").mkdir(parents=True)
    # The embedded driver does not make it.
    (guests / "log" / "qemu").mkdir(parents=True)
    (guests / "etc" / "qemu.conf").write_text(_QEMU_DRIVER + (_AS_ROOT if mode is Mode.SYSTEM else ""))
    (root / "disk").write_bytes(image.read_bytes())
    config = root / "secretd.toml"
    config.write_text(_SECRETD.format(root=root))
    owner = root.stat().st_uid
    for place in root.rglob("*"):
        os.chown(place, owner, owner)
    with RunningDaemon(root, (f"--{mode.value}", "--config", str(config)), python=python) as daemon:
        host = Host(root, mode, prefix, daemon, of_libvirt / "common" / "system.token")
        try:
            yield host
        finally:
            host.kill_guests()
