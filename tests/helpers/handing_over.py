"""Hands sockets over to a process as systemd does: from descriptor 3 on, with their names, to its own pid."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.daemon import RunningDaemon


def listen_at(path: Path) -> socket.socket:
    """Make a listening socket, as a socket unit would, with a mode that no daemon of ours gives one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o640)
    listener.listen()
    return listener


def with_descriptors(descriptors: Sequence[int]) -> tuple[str, ...]:
    """Give the beginning of a command that finds these from descriptor 3 on, and LISTEN_PID as its own pid."""
    # First out of the way, so that none is overwritten before it was moved; a shell takes but one digit, so by Python.
    code = (
        "import fcntl, os, sys\n"
        f"kept = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 100) for descriptor in {list(descriptors)}]\n"
        "for number, descriptor in enumerate(kept, 3): os.dup2(descriptor, number); os.close(descriptor)\n"
        "os.environ['LISTEN_PID'] = str(os.getpid())\n"
        "os.execvp(sys.argv[1], sys.argv[1:])\n"
    )
    return (sys.executable, "-P", "-c", code)


def variables(names: Sequence[str], count: int | None = None) -> dict[str, str]:
    """Give the variables that say what is handed over, but for the pid."""
    return {"LISTEN_FDS": str(len(names) if count is None else count), "LISTEN_FDNAMES": ":".join(names)}


class HandedOver(RunningDaemon):
    """A daemon that was handed sockets, which stay open here as they do in systemd."""

    def __init__(self, root: Path, sockets: dict[str, socket.socket], *arguments: str) -> None:
        """Start a daemon with these sockets, by their names."""
        descriptors = [listener.fileno() for listener in sockets.values()]
        super().__init__(
            root,
            ("--session", *arguments),
            variables(list(sockets)),
            (*with_descriptors(descriptors), sys.executable),
            descriptors,
        )
