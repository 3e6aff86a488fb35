"""Processes that connect to a socket, for tests of what is known of them: what they run, and where they run it.

Each connects as Python, and then becomes ``cat``, or a copy of it, which keeps the connection and its number.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.daemon import DEADLINE_S

CAT = Path(shutil.which("cat") or "/bin/cat").resolve()

_CONNECT = """\
import os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.set_inheritable(True)
os.execv(sys.argv[2], ["nginx: worker process"])
"""

_CLONE3 = 435  # asm-generic/unistd.h


class Peers:
    """A listening socket, and the processes that connected to it."""

    def __init__(self, place: Path) -> None:
        self._path = place / "peers"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.settimeout(DEADLINE_S)
        self._listener.bind(str(self._path))
        self._path.chmod(0o666)
        self._listener.listen()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._connections: list[socket.socket] = []

    def connect(
        self, executable: Path = CAT, prefix: Sequence[str] = (), python: Sequence[str] = (sys.executable,)
    ) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        """Have a process connect and then run an executable; gives our end of the connection, and the process.

        Args:
            executable: cat, or a copy of it.
            prefix: a command that runs another, which is the process's.
            python: the interpreter that connects.
        """
        command = [*prefix, *python, "-c", _CONNECT, str(self._path), str(executable)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
        self._processes.append(process)
        connection, _ = self._listener.accept()
        self._connections.append(connection)
        assert process.stdin is not None
        assert process.stdout is not None
        # What echoes is cat, and Python no more.
        process.stdin.write(b"ready\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        return connection, process

    def close(self) -> None:
        """End them all."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.kill()
            process.communicate()
        self._listener.close()


@contextmanager
def peers_of() -> Iterator[Peers]:
    """Have processes connect for the length of a with block."""
    with tempfile.TemporaryDirectory(prefix="secretd-test-") as name:
        Path(name).chmod(0o755)
        peers = Peers(Path(name))
        try:
            yield peers
        finally:
            peers.close()


@contextmanager
def heir_of(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a process, and have another run under its number for the length of a with block."""
    process.kill()
    process.wait()
    held, ours = os.pipe()
    _start_as(process.pid, held)
    try:
        yield
    finally:
        os.close(held)
        os.close(ours)
        os.kill(process.pid, signal.SIGKILL)
        os.waitpid(process.pid, 0)


def _start_as(number: int, standard_input: int) -> None:
    """Start cat under a number. Source: clone(2), "set_tid"."""
    numbers = (ctypes.c_int * 1)(number)
    arguments = (ctypes.c_uint64 * 10)(0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(numbers), 1)
    libc = ctypes.CDLL(None, use_errno=True)
    child = libc.syscall(_CLONE3, arguments, ctypes.sizeof(arguments))
    if child == 0:
        try:
            os.dup2(standard_input, 0)
            os.execv(CAT, ["heir"])  # noqa: S606  # no shell is wanted
        finally:
            os._exit(127)
    if child < 0:
        pytest.skip(f"no process can be given a number: {os.strerror(ctypes.get_errno())}")


@contextmanager
def directory_of_root() -> Iterator[Path]:
    """Make a directory that nobody but root can change, nor any above it, which pytest's tmp_path is not."""
    with tempfile.TemporaryDirectory(prefix="secretd-test-", dir="/var/lib") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def copy_of_cat(place: Path) -> Path:
    """Copy cat, under a name that a grant could have."""
    copy = place / "nginx"
    shutil.copyfile(CAT, copy)
    copy.chmod(0o755)
    return copy
