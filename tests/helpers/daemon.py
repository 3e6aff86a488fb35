"""A real daemon for tests: a process of its own, in directories of its own.

``RunningDaemon`` starts ``python -m secretd`` and waits until it answers; ``stop`` ends it by its pid.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, Any, Self, cast

DEADLINE_S = 30.0
"""How long a test waits for what must happen; far longer than it takes."""


def session_environment(root: Path) -> dict[str, str]:
    """Make the environment of a session of its own below ``root``, and its directories."""
    of_others = ("XDG_", "CREDENTIALS_", "LISTEN_", "NOTIFY_", "WATCHDOG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(of_others)}
    places = {
        "HOME": root / "home",
        "XDG_CONFIG_HOME": root / "config",
        "XDG_DATA_HOME": root / "data",
        "XDG_RUNTIME_DIR": root / "run",
    }
    for place in places.values():
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {**kept, **{name: str(place) for name, place in places.items()}}


class RunningDaemon:
    """A daemon that runs; a context manager that stops it."""

    def __init__(
        self,
        root: Path,
        arguments: Sequence[str] = ("--session",),
        extra_environment: Mapping[str, str] = MappingProxyType({}),
        python: Sequence[str] = (sys.executable,),
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start a daemon and wait until its log says that it is ready.

        Args:
            root: where its directories are, or are made.
            arguments: of secretd.
            extra_environment: beside that of the session.
            python: the interpreter that runs it, perhaps behind a command (setpriv, say).
            pass_fds: descriptors that it inherits.
        """
        self.root = root
        self.environment = {**session_environment(root), **extra_environment}
        self.socket = root / "run" / "secretd" / "secretd-sock"
        self.socket_ro = root / "run" / "secretd" / "secretd-sock-ro"
        self.libvirt_socket = root / "run" / "secretd" / "virtsecretd-sock"
        self.libvirt_socket_ro = root / "run" / "secretd" / "virtsecretd-sock-ro"
        self.system_token = root / "run" / "libvirt" / "common" / "system.token"
        self.config = root / "config" / "secretd"
        self.data = root / "data" / "secretd"
        self.log: list[dict[str, Any]] = []
        self._unread: deque[dict[str, Any]] = deque()
        self._rest = b""
        command = [*python, "-P", "-m", "secretd", *arguments]
        self.process = subprocess.Popen(
            command, env=self.environment, stderr=subprocess.PIPE, cwd=root, pass_fds=pass_fds
        )
        try:
            self.wait_for_event("ready")
        except BaseException:
            self.kill()
            raise

    def wait_for_event(self, event: str) -> dict[str, Any]:
        """Read on in the log until a line of this event; fails if the log ends or the deadline passes."""
        while True:
            while self._unread:
                line = self._unread.popleft()
                self.log.append(line)
                if line.get("event") == event:
                    return line
            self._read_more()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal that ends it in order and give the exit status; reads the log to its end."""
        self.process.send_signal(number)
        return self.finish()

    def kill(self) -> None:
        """Send SIGKILL, as a crash would end it."""
        self.process.kill()
        self.finish()

    def finish(self) -> int:
        """Wait for its end; gives the exit status, and reads the log to its end."""
        _, rest = self.process.communicate(timeout=DEADLINE_S)
        self.log.extend(self._unread)
        self.log.extend(_parse(line) for line in (self._rest + rest).splitlines())
        self._unread.clear()
        self._rest = b""
        return self.process.returncode

    def _read_more(self) -> None:
        pipe = cast(IO[bytes], self.process.stderr).fileno()
        ready, _, _ = select.select([pipe], [], [], DEADLINE_S)
        data = os.read(pipe, 65_536) if ready else b""
        if not data:
            raise AssertionError(f"the daemon said no more; its log: {self.log}")
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._unread.extend(map(_parse, lines))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()


def _parse(line: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except ValueError:
        parsed = None
    return parsed if isinstance(parsed, dict) else {"event": "text", "text": line.decode(errors="replace")}
