"""A daemon under attack, and a client that plays along beside it: what the attack cost the one and the other."""

from __future__ import annotations

import re
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from helpers import attacks
from helpers.daemon import DEADLINE_S, RunningDaemon
from helpers.users import as_user, directory_of
from secretd import operations as ops
from secretd.client import Client
from secretd.model import SecretValue

SECRET = UUID("11111111-2222-4333-8444-555555555555")
VALUE = SecretValue(bytes(range(256)) * 256)

_WARMING_CALLS = 200
_PAUSE_S = 0.005
_CALLS_AT_LEAST = 50

_CONFIG = """
[daemon]
runtime-directory = "{root}/run/secretd"
[store]
url = "sqlite://{root}/data/store"
[seal]
root-key-directory = "{root}/config"
keyring-directory = "{root}/data/keyring"
[libvirt]
sockets = "off"
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one attack cost.

    Attributes:
        grown_bytes: of the daemon's resident memory, at its peak.
        calls: that the client made meanwhile; all were answered.
        median_s, worst_s: how long an answer took.
    """

    grown_bytes: int
    calls: int
    median_s: float
    worst_s: float

    def __str__(self) -> str:
        grown, median, worst = self.grown_bytes / 1e6, self.median_s * 1e3, self.worst_s * 1e3
        return f"{grown:6.1f} MB more, {self.calls:7} calls, median {median:6.2f} ms, worst {worst:7.1f} ms"


@contextmanager
def system_daemon() -> Iterator[RunningDaemon]:
    """Run a daemon that every user can connect to, with one secret; for root alone."""
    with directory_of(0) as root:
        root.chmod(0o755)
        (root / "config").mkdir(mode=0o700)
        config = root / "config" / "secretd.toml"
        config.write_text(_CONFIG.format(root=root))
        (root / "run").mkdir(mode=0o755)
        with RunningDaemon(root, ("--system", "--config", str(config))) as daemon:
            with Client(daemon.socket) as client:
                client.call(ops.SetValue(SECRET, VALUE))
            yield daemon


@contextmanager
def attacker(daemon: RunningDaemon, name: str, count: int, uid: int | None) -> Iterator[subprocess.Popen[bytes]]:
    """Run an attack as this user, or as the one who runs this; it lets go at the end."""
    interpreter = [*as_user(uid), "/usr/bin/python3"] if uid is not None else [sys.executable]
    command = [*interpreter, "-c", Path(attacks.__file__).read_text(), name, str(daemon.socket), str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/") as process:
        try:
            yield process
        finally:
            process.kill()


def measure(daemon: RunningDaemon, name: str, count: int, uid: int | None = None) -> Figures:
    """Attack a daemon, and ask it meanwhile what an ordinary client asks.

    Raises:
        AssertionError: the attack failed.
        UnreachableError: the client was not answered.
    """
    with Client(daemon.socket) as client:
        for _ in range(_WARMING_CALLS):
            _timed_call(client)
        before = peak = resident_bytes(daemon.process.pid)
        times: list[float] = []
        with attacker(daemon, name, count, uid) as process:
            while not _said_done(process) or len(times) < _CALLS_AT_LEAST:
                times.append(_timed_call(client))
                peak = max(peak, resident_bytes(daemon.process.pid))
                time.sleep(_PAUSE_S)
    return Figures(peak - before, len(times), statistics.median(times), max(times))


def resident_bytes(pid: int) -> int:
    """Say how much memory a process has."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if found is None:
        raise AssertionError(f"process {pid} has no memory")
    return int(found[1]) * 1_024


def wait_until_done(process: subprocess.Popen[bytes]) -> None:
    """Wait until an attack has done its worst."""
    deadline = time.monotonic() + DEADLINE_S
    while not _said_done(process, 0.1):
        if time.monotonic() > deadline:
            raise AssertionError("the attack does not end")


def _said_done(process: subprocess.Popen[bytes], wait_s: float = 0.0) -> bool:
    if process.stdout is None:
        raise AssertionError("the attack has no output")
    if not select.select([process.stdout], [], [], wait_s)[0]:
        return False
    # What ended without a word is readable too.
    if process.poll() is not None and not process.stdout.peek(1):  # type: ignore[attr-defined]  # a BufferedReader
        raise AssertionError(f"the attack failed with status {process.returncode}")
    return True


def _timed_call(client: Client) -> float:
    began = time.perf_counter()
    client.call(ops.GetValue(SECRET))
    return time.perf_counter() - began
