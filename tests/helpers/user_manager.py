"""A real systemd user manager for tests: of a user without rights, in places of its own (helpers.living_systemd)."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from helpers.daemon import DEADLINE_S
from helpers.living_systemd import SYSTEMD, LivingManager, may_run
from helpers.users import as_user

needs_user_manager = pytest.mark.skipif(
    not may_run(), reason="a user manager of its own needs systemd, and root who may mount and make control groups"
)

# All that the units under test pull in, instead of what the machine's packages have put there.
_TARGETS = ("basic", "default", "sockets", "shutdown", "exit")


class UserManager(LivingManager):
    """A user manager that runs."""

    def __init__(self, root: Path, uid: int) -> None:
        """Start it.

        Args:
            root: where its directories are made; its user's.
            uid: whose manager it is.
        """
        self.uid = uid
        self.runtime = root / "run"
        self.config = root / "config"
        self.units = self.config / "systemd" / "user"
        self._log = root / "manager.log"
        places = {"HOME": "home", "XDG_RUNTIME_DIR": "run", "XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "data"}
        for place in places.values():
            (root / place).mkdir(mode=0o700)
        self.units.mkdir(parents=True)
        self.environment = {
            "PATH": "/usr/bin:/bin",
            **{name: str(root / place) for name, place in places.items()},
            "XDG_STATE_HOME": str(root / "home"),
            "XDG_CACHE_HOME": str(root / "home"),
            "SYSTEMD_UNIT_PATH": str(self.units),
        }
        for target in _TARGETS:
            shutil.copy(f"/usr/lib/systemd/user/{target}.target", self.units)
        shutil.copy("/usr/lib/systemd/user/systemd-exit.service", self.units)
        self.own(root)
        manager = (*as_user(uid), str(SYSTEMD), "--user", "--unit=basic.target")
        super().__init__(manager, uid, root, self.environment, self._log)

    def own(self, root: Path) -> None:
        """Make all below ``root`` the user's."""
        for path in (root, *root.rglob("*")):
            os.chown(path, self.uid, self.uid)

    def ctl(self, *arguments: str, check: bool = True) -> str:
        """Run systemctl --user; gives what it says."""
        result = subprocess.run(
            [*as_user(self.uid), "systemctl", "--user", "--no-pager", *arguments],
            env=self.environment,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        if check and result.returncode:
            raise AssertionError(f"systemctl {arguments}: {result.stderr}\n{self._log.read_text()}")
        return result.stdout

    def show(self, unit: str) -> Mapping[str, str]:
        """Give the properties of a unit."""
        return dict(line.partition("=")[::2] for line in self.ctl("show", unit).splitlines())


class UnitLog:
    """What a unit writes to its standard error, read as it comes; a context manager that closes it."""

    def __init__(self, path: Path, uid: int) -> None:
        """Make the named pipe that the unit is to write to."""
        os.mkfifo(path, 0o600)
        os.chown(path, uid, uid)
        # Open for writing too, so that it has no end when a process ends.
        self._pipe = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._rest = b""
        self._lines: list[dict[str, Any]] = []

    def wait_for(self, event: str) -> dict[str, Any]:
        """Read on until a line of this event."""
        while True:
            while self._lines:
                line = self._lines.pop(0)
                if line["event"] == event:
                    return line
            if not select.select([self._pipe], [], [], DEADLINE_S)[0]:
                raise AssertionError(f"there is no {event!r} in the log")
            *lines, self._rest = (self._rest + os.read(self._pipe, 65_536)).split(b"\n")
            self._lines.extend(map(json.loads, lines))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._pipe)
