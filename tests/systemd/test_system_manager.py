"""Grants by unit, under a real systemd system manager: its services have them, and no user can name one so."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.daemon import DEADLINE_S
from helpers.living_systemd import SYSTEMD
from helpers.system_manager import SystemManager, needs_system_manager
from helpers.users import NOBODY, as_user, directory_of, python_as
from secretd.client import Client
from secretd.grantrequests import GrantAdd
from secretd.grants import EverySecret, Grant, Principal, PrincipalKind
from secretd.model import Attributes, Permission, SecretDocument, SecretValue, Usage, UsageType
from secretd.operations import Define, SetValue

pytestmark = needs_system_manager

CONFIG = """\
[daemon]
runtime-directory = "{root}/run"
[store]
url = "sqlite://{root}/store"
[seal]
root-key-directory = "{root}/config"
keyring-directory = "{root}/keyring"
[libvirt]
sockets = "off"
"""

DAEMON = """\
[Unit]
DefaultDependencies=no
[Service]
Type=notify
ExecStart={python} -m secretd --system --config {root}/config/secretd.toml
StandardError=append:{root}/secretd.log
"""

ASKING = """\
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={python} {place}/ask {socket}
StandardOutput=truncate:{place}/{name}.said
StandardError=append:{place}/{name}.log
{more}
"""

# Killed at its end, as it has no target to go to.
USERS_MANAGER = """\
[Unit]
DefaultDependencies=no
[Service]
Type=notify
User={uid}
Slice=user-{uid}.slice
Delegate=yes
Environment=HOME={place} XDG_RUNTIME_DIR={place} SYSTEMD_UNIT_PATH={place}/units
ExecStart={systemd} --user --unit=basic.target
KillSignal=SIGKILL
"""

# Reached when the service has asked; then the user's manager says that it is ready.
ASKED = "[Unit]\nDefaultDependencies=no\nRequires=nginx.service\nAfter=nginx.service\n"

ASK = """\
import sys
from pathlib import Path
from secretd.client import Client
from secretd.errors import SecretdError
from secretd.model import Usage, UsageType
from secretd.operations import GetValue, LookupByUsage, Whoami

with Client(Path(sys.argv[1])) as client:
    you = client.call(Whoami())
    secret = client.call(LookupByUsage(Usage(UsageType.TLS, "web"))).secret
    try:
        answer = client.call(GetValue(secret)).value.reveal().decode()
    except SecretdError as error:
        answer = error.code
_, _, group = Path("/proc/self/cgroup").read_text().rstrip().rpartition("0::")
print(group, you.unit, you.invocation, answer, sep="\\n")
"""


@dataclass(frozen=True)
class Said:
    """What a service said that asked: its control group, and what it was told.

    Attributes:
        group: as it sees it itself.
        unit, invocation: by whoami.
        answer: the value, or the code of the error.
    """

    group: str
    unit: str
    invocation: str
    answer: str


class Host:
    """A host on which systemd runs secretd; to everybody it says who he is, and to some units a value."""

    def __init__(self, root: Path, manager: SystemManager) -> None:
        self._root = root
        self._manager = manager
        self._python = shlex.join([*python_as(NOBODY)[len(as_user(NOBODY)) :], "-P"])
        for name in ("config", "store", "keyring"):
            (root / name).mkdir(mode=0o700)
        (root / "run").mkdir(mode=0o755)
        (root / "config" / "secretd.toml").write_text(CONFIG.format(root=root))
        self._start("secretd.service", DAEMON.format(python=self._python, root=root))
        self._socket = root / "run" / "secretd-sock"

    def prepare(self) -> None:
        """Make a secret, and grant its value to units."""
        with Client(self._socket, timeout_s=DEADLINE_S) as client:
            web = Attributes(usage=Usage(UsageType.TLS, "web"))
            secret = client.call(Define(SecretDocument(web))).secret
            client.call(SetValue(secret, SecretValue(b"open sesame")))
            everybody = Principal(PrincipalKind.ANYONE)
            client.call(GrantAdd(grant("look", everybody, Permission.GETATTR)))
            for unit in ("nginx.service", "sliced.service", "_cpu.service"):
                principal = Principal(PrincipalKind.UNIT, unit=unit)
                client.call(GrantAdd(grant(f"to-{unit}", principal, Permission.READ_SECURE)))

    def ask_in_service(self, name: str, more: str = "") -> Said:
        """Have a service of this name ask, as a user without rights; ``more`` are lines of its unit."""
        unit = self._asking(name, self._root, f"User={NOBODY}\n{more}")
        self._start(name, unit)
        return self._said(name, self._root)

    def ask_in_user_s_service(self, more: str) -> Said:
        """Have a service called nginx.service ask, of a user's own manager, which systemd runs."""
        with directory_of(NOBODY) as place:
            (place / "units").mkdir()
            (place / "units" / "basic.target").write_text(ASKED)
            (place / "units" / "nginx.service").write_text(self._asking("nginx.service", place, more))
            for path in place.rglob("*"):
                os.chown(path, NOBODY, NOBODY)
            unit = USERS_MANAGER.format(uid=NOBODY, place=place, systemd=SYSTEMD)
            self._start(f"user@{NOBODY}.service", unit)
            try:
                return self._said("nginx.service", place)
            finally:
                self._manager.ctl("stop", f"user@{NOBODY}.service")

    def invocation_of(self, name: str) -> str:
        """Give systemd's id of the present run of a unit."""
        return self._manager.ctl("show", "--property=InvocationID", "--value", name).strip()

    def _asking(self, name: str, place: Path, more: str) -> str:
        (place / "ask").write_text(ASK)
        return ASKING.format(python=self._python, place=place, socket=self._socket, name=name, more=more)

    def _start(self, name: str, unit: str) -> None:
        (self._manager.units / name).write_text(unit)
        self._manager.ctl("daemon-reload")
        self._manager.ctl("start", name)

    @staticmethod
    def _said(name: str, place: Path) -> Said:
        lines = (place / f"{name}.said").read_text().splitlines()
        assert len(lines) == 4, (place / f"{name}.log").read_text()
        return Said(*lines)


def grant(name: str, principal: Principal, permission: Permission) -> Grant:
    return Grant(name, None, principal, frozenset({permission}), (EverySecret(),))


@contextmanager
def running_host() -> Iterator[Host]:
    with directory_of(0) as root:
        root.chmod(0o755)
        with SystemManager(root) as manager:
            host = Host(root, manager)
            host.prepare()
            yield host


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with running_host() as host:
        yield host


def test_a_service_has_what_its_unit_is_granted(host: Host) -> None:
    said, invocation = host.ask_in_service("nginx.service"), host.invocation_of("nginx.service")
    assert said == Said("/system.slice/nginx.service", "nginx.service", invocation, "open sesame")


def test_another_service_of_the_same_user_and_program_has_not(host: Host) -> None:
    said, invocation = host.ask_in_service("other.service"), host.invocation_of("other.service")
    assert said == Said("/system.slice/other.service", "other.service", invocation, "access-denied")


def test_a_service_in_a_slice_of_its_own_is_that_service(host: Host) -> None:
    said = host.ask_in_service("sliced.service", "Slice=web-front.slice\n")
    assert said.group == "/web.slice/web-front.slice/sliced.service"
    assert (said.unit, said.answer) == ("sliced.service", "open sesame")


def test_a_name_like_one_of_the_kernel_s_files_is_that_of_the_group(host: Host) -> None:
    said = host.ask_in_service("cpu.service")
    assert (said.unit, said.answer) == ("_cpu.service", "open sesame")


@pytest.mark.parametrize("slice_", ["app.slice", "system.slice"])
def test_a_user_s_service_is_in_no_unit_whatever_he_calls_it(host: Host, slice_: str) -> None:
    said = host.ask_in_user_s_service(f"Slice={slice_}\n")
    group = f"/user.slice/user-{NOBODY}.slice/user@{NOBODY}.service/{slice_}/nginx.service"
    assert said == Said(group, "None", "None", "access-denied")
