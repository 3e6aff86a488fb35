"""A terminal for tests: a program runs in it as before a person, who types and waits for what he sees.

Nothing here sleeps: what is waited for comes, or the deadline passes and the test fails with all that was shown.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import shutil
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from helpers.daemon import DEADLINE_S

CTRL_C, CTRL_D, UP, TAB = "\x03", "\x04", "\x1b[A", "\t"

_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|[\r\x07]")


def need(program: str) -> str:
    """Give the path of a program; skip the test if it is not installed."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


class Terminal:
    """A program in a terminal of its own; a context manager that ends it.

    Attributes:
        shown: all that the terminal was sent, controls and all.
    """

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str], directory: Path) -> None:
        self._ours, theirs = os.openpty()
        # Wide enough for any line that a test types.
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 50, 250, 0, 0))
        self.process = subprocess.Popen(
            [need("setsid"), "--ctty", *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            cwd=directory,
        )
        os.close(theirs)
        self.shown = ""
        self._seen = 0

    def press(self, keys: str) -> None:
        """Press keys one after the other; Enter is a line's end."""
        os.write(self._ours, keys.encode())

    def expect_waiting(self) -> None:
        """Wait until the program waits, for a key say."""
        deadline = time.monotonic() + DEADLINE_S
        status = Path(f"/proc/{self.process.pid}/stat")
        while status.read_text().rpartition(")")[2].split()[0] != "S":
            if time.monotonic() > deadline:
                raise AssertionError("the program does not wait for anything")

    def expect(self, pattern: str) -> str:
        """Wait until a pattern is shown after what was expected before; give what was shown up to its end.

        What is given, and what is matched, is without the controls that only move and colour.
        """
        deadline = time.monotonic() + DEADLINE_S
        while (found := re.search(pattern, plain(self.shown[self._seen :]))) is None:
            if not self._read(deadline):
                raise AssertionError(f"{pattern!r} was not shown, but: {self.shown[self._seen :]!r}")
        rest = plain(self.shown[self._seen :])
        self._seen = self._end_of(rest[: found.end()])
        return rest[: found.end()]

    def finish(self) -> int:
        """Wait until the program has ended; give its exit status."""
        deadline = time.monotonic() + DEADLINE_S
        while self._read(deadline):
            pass
        return self.process.wait(DEADLINE_S)

    def _end_of(self, seen: str) -> int:
        """Find where what was seen ends in all that was shown."""
        end = self._seen
        while len(plain(self.shown[self._seen : end])) < len(seen):
            end += 1
        return end

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
        try:
            data = os.read(self._ours, 65_536) if ready else b""
        except OSError:  # the program has ended
            data = b""
        self.shown += data.decode(errors="replace")
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE_S)
        os.close(self._ours)


def plain(shown: str) -> str:
    """Leave out what moves and colours."""
    return _CONTROLS.sub("", shown)
