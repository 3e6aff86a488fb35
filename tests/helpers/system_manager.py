"""A real systemd system manager for tests: the first process of a namespace, as it is of a host or a container.

It is told that it is a container's, so it leaves clock, kernel and devices alone; and what it could change of the
machine's it sees read-only.  Units are those that the test writes, and no other.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from helpers.daemon import DEADLINE_S
from helpers.living_systemd import SYSTEMD, LivingManager, may_run

_NAMESPACES = ("--pid", "--fork", "--cgroup", "--uts", "--ipc", "--net")

needs_system_manager = pytest.mark.skipif(
    not may_run(*_NAMESPACES), reason="a system manager of its own needs systemd, and root who may make namespaces"
)

# $1 is where it writes what it does.  The hierarchy is mounted anew: here its root is the manager's own group.
_RUN = """
set -eu
umount /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind "$1" /dev/console
for place in /proc/sys /dev /sys; do
    mount --rbind "$place" "$place"
    mount -o remount,bind,ro "$place"
done
shift
exec "$@"
"""

_READY = "[Unit]\nDefaultDependencies=no\n"


class SystemManager(LivingManager):
    """A system manager that runs."""

    def __init__(self, root: Path) -> None:
        """Start it.

        Args:
            root: where its directories are made; root's.
        """
        self.units = root / "units"
        self.units.mkdir()
        (self.units / "ready.target").write_text(_READY)
        self._log = root / "manager.log"
        self._log.touch()
        namespaces = ("unshare", *_NAMESPACES, "--mount-proc", "sh", "-c", _RUN, "sh", str(self._log))
        manager = (str(SYSTEMD), "--system", "--unit=ready.target", "--log-target=console", "--show-status=no")
        environment = {"PATH": "/usr/bin:/bin", "container": "secretd-test", "SYSTEMD_UNIT_PATH": str(self.units)}
        super().__init__((*namespaces, *manager), 0, root, environment, root / "namespace.log")
        self._first = _first_below(self._process.pid)

    def ctl(self, *arguments: str) -> str:
        """Run systemctl, which has to succeed; gives what it says."""
        inside = ("nsenter", f"--target={self._first}", "--mount", "--pid", "--", "env", "--unset=NOTIFY_SOCKET")
        result = subprocess.run(
            [*inside, "systemctl", "--no-pager", *arguments],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        if result.returncode:
            raise AssertionError(f"systemctl {arguments}: {result.stderr}\n{self._log.read_text()}")
        return result.stdout


def _first_below(pid: int) -> int:
    """Find the descendant of a process that is the first of a namespace."""
    for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        numbers = re.search(r"^NSpid:(.*)$", Path(f"/proc/{child}/status").read_text(), re.MULTILINE)
        if numbers is not None and numbers[1].split()[1:] == ["1"]:
            return child
        below = _first_below(child)
        if below:
            return below
    return 0
