"""The process at the other end of a socket: what /proc says of it, if that is certain to be about it.

A process may end at any time, and its number be another's at once.  So the kernel is asked for a handle that stays
this process's: it tells the number below /proc, and, after something was read there, whether the process has it still.
A process keeps its number as long as it lives, so what was read before that was about no other.

The connection keeps the process for us, so the handle is taken only to read, and closed: no connection costs a
descriptor more, and one whose process no grant asks for costs nothing.

Source: unix(7); pidfd_open(2); proc(5); Linux 6.5, net/core/sock.c (SO_PEERPIDFD), and kernel/fork.c (the fdinfo of a
handle, which counts as the /proc does that it is read from).
"""

from __future__ import annotations

import errno
import os
import re
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import TypeVar

from secretd.daemon.executable import Running, running
from secretd.daemon.hardening import effective_capabilities
from secretd.daemon.units import unit_of
from secretd.model import Executable, PeerStatus, Process, Unit

_SO_PEERPIDFD = 77  # asm-generic/socket.h
_CAP_SYS_PTRACE = 19  # linux/capability.h
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_NUMBER = re.compile(r"^Pid:\t([1-9][0-9]*)$", re.MULTILINE)

_T = TypeVar("_T")


class _UnreadableNowError(OSError):
    """The daemon has no descriptor or memory left to read with."""


class PeerProcess(Process):
    """The process that made a connection."""

    def __init__(self, connection: socket.socket) -> None:
        """Look at nothing yet; the connection stays the caller's to close, and then nothing more is found out."""
        self._connection = connection

    def unit(self) -> Unit | None:
        """Say which system service it belongs to."""
        try:
            return self._unit
        except _UnreadableNowError:
            return None

    def executable(self) -> Executable | None:
        """Say which file it runs; None where the daemon may not see that (PeerStatus.executables)."""
        running_file = self._file()
        return running_file.executable if running_file else None

    def sha256(self) -> str | None:
        """Give the hash of the file it runs, if that is trusted and not too large; everybody waits for it."""
        running_file = self._file()
        return running_file.sha256() if running_file else None

    @property
    def is_seen(self) -> bool:
        """Whether it is there, and below /proc.

        Raises:
            OSError: the daemon has no descriptor or memory left to see it.
        """
        return self._read(Path.exists) or False

    def _file(self) -> Running | None:
        try:
            return self._running
        except _UnreadableNowError:
            return None

    @cached_property
    def _unit(self) -> Unit | None:
        return self._read(unit_of)

    @cached_property
    def _running(self) -> Running | None:
        return self._read(running)

    def _read(self, read: Callable[[Path], _T]) -> _T | None:
        """Have something read in the process's directory below /proc; None if it is not certain to be its own.

        Raises:
            _UnreadableNowError: nothing is known, and who asks later may be told: that is not to be kept.
        """
        try:
            with _handle_of(self._connection) as handle:
                found = read(_directory_of(handle))
                return None if _has_ended(handle) else found
        except OSError as error:
            if error.errno in _PASSING:
                raise _UnreadableNowError from error
            return None


@cache
def gives_handles() -> bool:
    """Whether the kernel gives handles of processes (Linux 6.5), and /proc shows whose they are."""
    ours, other = socket.socketpair()
    with ours, other:
        return PeerProcess(ours).is_seen


def peer_status() -> PeerStatus:
    """Say what can be known of callers."""
    handles = gives_handles()
    # Source: proc_pid_exe(5): who looks at it is judged as one who would trace the process.
    return PeerStatus(handles, executables=handles and bool(effective_capabilities() >> _CAP_SYS_PTRACE & 1))


@contextmanager
def _handle_of(connection: socket.socket) -> Iterator[int]:
    handle = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    try:
        yield handle
    finally:
        os.close(handle)


def _directory_of(handle: int) -> Path:
    found = _NUMBER.search(Path(f"/proc/self/fdinfo/{handle}").read_text())
    if found is None:
        raise ProcessLookupError
    return Path("/proc", found[1])


def _has_ended(handle: int) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(0))
