"""A systemd manager that runs for tests, with all that it touches of its own.

Nothing of the machine's own systemd, if it has one, is touched: the manager lives in a mount namespace of its own, in
which /run is empty and /sys/fs/cgroup is the unified hierarchy, and in a control group of its own.  When the test ends,
however it does, all that the manager started is killed by that group.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from helpers.daemon import DEADLINE_S

SYSTEMD = Path("/usr/lib/systemd/systemd")

_PROBE = "mount -t cgroup2 cgroup2 /sys/fs/cgroup && test -w /sys/fs/cgroup/cgroup.procs"

# sd_booted(3) looks for /run/systemd/system, and without it a user manager does not start.
_RUN = """
set -eu
uid=$1 name=$2
shift 2
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd/system
group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/$name
mkdir "$group"
chown -R "$uid:$uid" "$group"
sh -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' sh "$group" "$@" </dev/null &
manager=$!
# Until the test closes this, or is gone.
read -r _ || true
# Not by asking the manager: it would wait for a unit that hangs, as one under test may.
echo 1 >"$group/cgroup.kill"
wait "$manager" || true
until find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; do sleep 0.05; done
"""


def may_run(*namespaces: str) -> bool:
    """Whether a manager can be run here, in namespaces of its own: options of unshare(1), beside that of mounts."""
    if os.geteuid() != 0 or not SYSTEMD.exists() or shutil.which("unshare") is None:
        return False
    probe = ["unshare", "--mount", *namespaces, "--propagation", "private", "sh", "-c", _PROBE]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0


class LivingManager:
    """A manager that runs; a context manager that ends it."""

    def __init__(self, command: Sequence[str], uid: int, root: Path, environment: Mapping[str, str], log: Path) -> None:
        """Start it, and wait until it says that it is ready.

        Args:
            command: what runs it.
            uid: whose its control group is.
            root: a directory in which it may reach a socket.
            environment: what it knows, beside where to say that it is ready.
            log: what it writes comes here.
        """
        self._process = _started(command, uid, root, environment, log)

    def close(self) -> None:
        """End it, and all that it started."""
        self._process.communicate(timeout=DEADLINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _started(
    command: Sequence[str], uid: int, root: Path, environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Run a manager until its standard input is closed."""
    group = f"secretd-test-{os.getpid()}-{time.monotonic_ns()}"
    prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _RUN, "sh", str(uid), group]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, log.open("wb") as written:
        told.settimeout(DEADLINE_S)
        told.bind(str(root / "notify"))
        (root / "notify").chmod(0o666)
        process = subprocess.Popen(
            [*prefix, *command],
            env={**environment, "NOTIFY_SOCKET": str(root / "notify")},
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
        try:
            while b"READY=1" not in told.recv(4_096).splitlines():
                pass
        except TimeoutError:
            process.communicate(timeout=DEADLINE_S)
            raise AssertionError(f"the manager does not run: {log.read_text()}") from None
    return process
