"""Clients that try to starve the daemon, each a process of its own: ``python -c TEXT NAME SOCKET COUNT``.

It stands alone, on the standard library, so that its text can be handed to whatever interpreter another user may run.
Each attack says ``done`` on standard output when it has done its worst, and then holds what it has until its standard
input ends.
"""

from __future__ import annotations

import os
import resource
import select
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count as count_from

_DEADLINE_S = 600
_FLOODED_CONNECTIONS = 100
_FLOOD_S = 3
_CHANGES = 300
_SECRET = "11111111-2222-4333-8444-777777777777"
_NUL = b"\0"


def _connect() -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    # First, as a connect with a timeout does not wait where the listener's queue is full.
    connection.connect(sys.argv[2])
    connection.settimeout(_DEADLINE_S)
    return connection


def _never_read(count: int) -> list[socket.socket]:
    """Ask for far more than is read, on some connections."""
    request = b"<request serial='1'><get-value secret='11111111-2222-4333-8444-555555555555'/></request>\0" * 1_000
    connections = [_connect() for _ in range(count)]
    for connection in connections:
        connection.setblocking(False)
        with suppress(BlockingIOError):
            while select.select([], [connection], [], 0.3)[1]:
                connection.send(request)
    return connections


def _be_deaf(count: int) -> list[socket.socket]:
    """Subscribe on some connections that never read, and make changes whose events are long."""
    connections = [_connect() for _ in range(count)]
    for connection in connections:
        _ask(connection, b"<request serial='1'><subscribe/></request>")
    with _connect() as changing:
        for number in range(_CHANGES):
            usage = f"<volume>/{number}/{'&amp;' * 4_000}</volume>"
            document = f"<secret ephemeral='yes'><uuid>{_SECRET}</uuid>{usage}</secret>"
            _ask(changing, f"<request serial='1'><set-xml secret='{_SECRET}'>{document}</set-xml></request>".encode())
    return connections


def _drip(count: int) -> list[socket.socket]:
    """Send most of a long message at once, and go on byte by byte."""
    connection = _connect()
    connection.sendall(b"<!--" + b"x" * 200_000)
    for _ in range(count):
        time.sleep(1)
        connection.sendall(b"x")
    return [connection]


def _stay_idle(count: int) -> list[socket.socket]:
    return [_connect() for _ in range(count)]


def _begin_long(count: int) -> list[socket.socket]:
    """Begin the longest messages there may be, on as many connections as are let in."""
    connections = [_connect() for _ in range(count)]
    for connection in connections:
        with suppress(OSError):
            connection.sendall(b"x" * 262_000)
    return connections


def _invent_names(count: int) -> list[socket.socket]:
    """Send documents full of names that nobody has seen, ``count`` million bytes in sum."""
    number = count_from()
    with _connect() as connection:
        sent = 0
        while sent < count * 1_000_000:
            names = "".join(f"<n{next(number):x}e/>" for _ in range(2_000))
            sent += _ask(connection, f"<request serial='1'>{names}</request>".encode())
    return []


def _talk_nonsense(count: int) -> list[socket.socket]:
    nonsense = [
        b"<request",
        b"\xff\xfe",
        b"<!DOCTYPE x []><x/>",
        b"<request serial='1'><whoami></request>",
        b"x" * 5_000,
    ]
    with _connect() as connection:
        for number in range(count):
            _ask(connection, nonsense[number % len(nonsense)])
    return []


def _flood(count: int) -> list[socket.socket]:
    """Send NULs alone, each of them a message, on many connections; ``count`` times as long as the shortest."""
    connections = [_connect() for _ in range(_FLOODED_CONNECTIONS)]
    for connection in connections:
        connection.setblocking(False)
    ends = time.monotonic() + _FLOOD_S * count
    while time.monotonic() < ends:
        for connection in connections:
            with suppress(OSError):
                connection.send(_NUL * 100_000)
        time.sleep(0.001)
    return connections


def _ask(connection: socket.socket, body: bytes) -> int:
    connection.sendall(body + _NUL)
    while not connection.recv(65_536).endswith(_NUL):
        pass
    return len(body) + 1


ATTACKS: dict[str, Callable[[int], list[socket.socket]]] = {
    "never-read": _never_read,
    "deaf": _be_deaf,
    "drip": _drip,
    "idle": _stay_idle,
    "begin-long": _begin_long,
    "names": _invent_names,
    "nonsense": _talk_nonsense,
    "nuls": _flood,
}


def main() -> None:
    """Run one attack."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kept = ATTACKS[sys.argv[1]](int(sys.argv[3]))
    sys.stdout.write("done\n")
    sys.stdout.flush()
    os.read(0, 1)
    del kept


if __name__ == "__main__":
    main()
