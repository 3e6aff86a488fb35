"""The user units in contrib/, under a real systemd user manager: started by a connection, ended, reloaded, watched."""

from __future__ import annotations

import select
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from os import close, pidfd_open
from pathlib import Path

from helpers.daemon import DEADLINE_S
from helpers.libvirt_place import may_define
from helpers.tree import ROOT
from helpers.user_manager import UnitLog, UserManager, needs_user_manager
from helpers.users import NOBODY, as_user, directory_of, python_as
from secretd.addresses import LIBVIRT_SOCKETS

UNITS = ROOT / "contrib" / "user"
PROGRAM, TIMEOUT, WATCHDOG = "/usr/bin/secretd", "--timeout 120", "WatchdogSec=30"

# The unit's own, but for who runs it: the tests' interpreter, which says what it does to the test.
DROP_IN = """\
[Unit]
StartLimitIntervalSec=0
[Service]
Environment={packages}
StandardError=append:{log}
"""

# A loop that is stuck is one that runs, but does not come back.
STUCK = (
    "import itertools, signal, sys; from secretd.daemon.main import main; "
    "signal.signal(signal.SIGUSR1, lambda *_: sum(itertools.repeat(0))); sys.exit(main())"
)

ASK = """\
import socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(30); s.connect(sys.argv[1]); s.sendall(sys.argv[2].encode() + bytes(1))
data = b''
while not data.endswith(bytes(1)): data += s.recv(65536) or sys.exit('end')
print(data[:-1].decode())
"""

pytestmark = needs_user_manager


class Installed:
    """The units, installed for a user whose manager runs."""

    def __init__(self, manager: UserManager, log: UnitLog) -> None:
        self.manager = manager
        self.log = log
        self.socket = manager.runtime / "secretd" / "secretd-sock"

    def ask(self, inner: str, name: str = "secretd-sock") -> str:
        """Ask one thing, as the user."""
        message = f"<request serial='1'>{inner}</request>"
        result = subprocess.run(
            [*as_user(NOBODY), "/usr/bin/python3", "-c", ASK, str(self.socket.with_name(name)), message],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            cwd="/",
        )
        return result.stdout + result.stderr

    def state(self, unit: str) -> str:
        return self.manager.show(unit)["ActiveState"]

    def wait_for_end(self, pid: int) -> None:
        """Wait until a process is gone."""
        try:
            descriptor = pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            assert select.select([descriptor], [], [], DEADLINE_S)[0]
        finally:
            close(descriptor)


@contextmanager
def installed(command: str, timeout: str = TIMEOUT, watchdog: str = WATCHDOG, more: str = "") -> Iterator[Installed]:
    """Install the units, with another program and other times, for a manager of their own.

    Args:
        command: what runs secretd.
        timeout, watchdog: the option and the setting, as they are to be.
        more: lines of the drop-in, for the service.
    """
    with directory_of(NOBODY) as root, UserManager(root, NOBODY) as manager:
        for unit in UNITS.iterdir():
            text = unit.read_text().replace(PROGRAM, command).replace(TIMEOUT, timeout).replace(WATCHDOG, watchdog)
            (manager.units / unit.name).write_text(text)
        drop_in = manager.units / "secretd.service.d" / "test.conf"
        drop_in.parent.mkdir()
        packages = python_as(NOBODY)[-2]
        with UnitLog(root / "log", NOBODY) as log:
            drop_in.write_text(DROP_IN.format(packages=packages, log=root / "log") + more)
            manager.own(manager.config)
            manager.ctl("daemon-reload")
            yield Installed(manager, log)


def python(code: str = "-m secretd") -> str:
    return f"{python_as(NOBODY)[-1]} -P {code}"


def test_there_are_units() -> None:
    suffixes = (".service", ".socket", "-ro.socket", "-libvirt.socket", "-libvirt-ro.socket")
    assert {unit.name for unit in UNITS.iterdir()} == {f"secretd{suffix}" for suffix in suffixes}
    service = (UNITS / "secretd.service").read_text()
    assert f"\nExecStart={PROGRAM} --session {TIMEOUT}\n" in service
    assert f"\n{WATCHDOG}\n" in service


def test_a_connection_starts_it_and_idleness_ends_it_and_nobody_is_lost() -> None:
    with installed(python(), "--timeout 1") as units:
        units.manager.ctl("start", "secretd.socket")
        suffixes = (".socket", "-ro.socket", "-libvirt.socket", "-libvirt-ro.socket", ".service")
        states = [units.state(f"secretd{suffix}") for suffix in suffixes]
        assert states == ["active"] * 4 + ["inactive"]
        assert stat.S_IMODE(units.socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(units.socket.parent.stat().st_mode) == 0o700
        pids = set()
        for _ in range(4):
            # Asked while the one before ends, at whatever it is then.
            assert f"uid='{NOBODY}'" in units.ask("<whoami/>")
            pids.add(units.log.wait_for("ready")["pid"])
            units.log.wait_for("idle")
        assert len(pids) == 4
        assert "read-only='yes'" in units.ask("<whoami/>", "secretd-sock-ro")
        libvirts = [units.socket.with_name(kind.name) for kind in LIBVIRT_SOCKETS]
        assert [may_define(path, uid=NOBODY) for path in libvirts] == [True, False]
        units.wait_for_end(units.log.wait_for("ready")["pid"])
        assert units.state("secretd.socket") == "active"
        units.manager.ctl("stop", "secretd.socket")
        assert not units.socket.exists()


def test_it_is_started_once_it_listens() -> None:
    with installed(python()) as units:
        units.manager.ctl("start", "secretd.service")
        assert f"uid='{NOBODY}'" in units.ask("<whoami/>")
        shown = units.manager.show("secretd.service")
        assert (shown["Type"], shown["StatusText"]) == ("notify", "Serving")
        pid = int(shown["MainPID"])
        status = Path(f"/proc/{pid}/status").read_text()
        held = dict(line.split(":\t", 1) for line in status.splitlines())
        assert (held["NoNewPrivs"], held["Seccomp"]) == ("1", "2")
        assert "memory-wiping='yes'" in units.ask("<status/>")
        units.manager.ctl("stop", "secretd.service")
        assert units.manager.show("secretd.service")["Result"] == "success"
        assert not units.socket.exists()


def test_it_is_reloaded() -> None:
    with installed(python()) as units:
        units.manager.ctl("start", "secretd.service")
        pid = units.log.wait_for("ready")["pid"]
        file = units.manager.config / "secretd" / "secretd.toml"
        file.write_text("[quota]\nsecrets = 5")
        shutil.chown(file, NOBODY)
        units.manager.ctl("reload", "secretd.service")
        assert units.log.wait_for("configuration read again")["changed"] == ["quota.secrets"]
        file.write_text("nonsense")
        units.manager.ctl("reload", "secretd.service")
        units.log.wait_for("the new configuration cannot be used, the old one stays")
        assert f"uid='{NOBODY}'" in units.ask("<whoami/>")
        assert units.manager.show("secretd.service")["MainPID"] == str(pid)


def test_a_loop_that_is_stuck_is_noticed_and_the_daemon_started_again() -> None:
    more = "ExecStart=\n" + f'ExecStart={python_as(NOBODY)[-1]} -P -c "{STUCK}" --session\n'
    with installed(python(), watchdog="WatchdogSec=1", more=more) as units:
        units.manager.ctl("start", "secretd.service")
        pid = units.log.wait_for("ready")["pid"]
        units.manager.ctl("kill", "--signal=SIGUSR1", "secretd.service")
        units.wait_for_end(pid)
        assert units.log.wait_for("ready")["pid"] != pid
        assert f"uid='{NOBODY}'" in units.ask("<whoami/>")
        assert units.manager.show("secretd.service")["NRestarts"] == "1"


def test_a_configuration_that_cannot_be_used_is_not_tried_again() -> None:
    with installed(python()) as units:
        file = units.manager.config / "secretd" / "secretd.toml"
        file.parent.mkdir()
        file.write_text("nonsense")
        units.manager.own(units.manager.config)
        units.manager.ctl("start", "secretd.service", check=False)
        shown = units.manager.show("secretd.service")
        assert (shown["ActiveState"], shown["ExecMainStatus"], shown["NRestarts"]) == ("failed", "2", "0")
