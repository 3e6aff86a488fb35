"""Socket activation: takes the listening sockets that systemd hands over, each by its name.

The rules it keeps:

- What is handed over is what its name says, or the daemon does not start: a socket served for another would give its
  callers other rights.
- Such a socket's file is systemd's: it is never made, given another mode or removed here.
- Where any socket is handed over the daemon makes none by itself, and one that is missing is not served.
- Nothing of it is left for children: neither the variables nor the descriptors.

Source: sd_listen_fds_with_names(3), systemd.socket(5).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, MutableMapping
from types import TracebackType
from typing import Self

from secretd.addresses import SocketKind
from secretd.errors import ConfigError

_FIRST = 3
"""Source: sd_listen_fds(3), SD_LISTEN_FDS_START."""

_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


class PassedSockets:
    """The sockets that were handed over; a context manager that closes those which nobody took."""

    def __init__(self, sockets: Mapping[SocketKind, socket.socket]) -> None:
        self._sockets = dict(sockets)

    def listen(self, kind: SocketKind) -> socket.socket | None:
        """Give a listening socket, not blocking, to be owned by who asked; None if it was not handed over."""
        return self._sockets.pop(kind, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for listener in self._sockets.values():
            listener.close()
        self._sockets.clear()


def take_sockets(kinds: Iterable[SocketKind], environment: MutableMapping[str, str]) -> PassedSockets | None:
    """Take what systemd handed over, and the variables that say so out of the environment.

    Args:
        kinds: all that the daemon is configured to serve.
        environment: of this process.

    Returns:
        The sockets; None if none was handed over to this process.

    Raises:
        ConfigError: what was handed over cannot be served; says what in a unit is to be mended.
    """
    said = {name: environment.pop(name, "") for name in _VARIABLES}
    # Another process's, which we inherited from: sd_listen_fds(3) passes it over too.
    if said["LISTEN_PID"] != str(os.getpid()):
        return None
    names = _names(said)
    if not names:
        return None
    known = {kind.name: kind for kind in kinds}
    sockets: dict[SocketKind, socket.socket] = {}
    for descriptor, name in enumerate(names, _FIRST):
        if name not in known:
            raise ConfigError(
                f"systemd handed over '{name}', which is not served: FileDescriptorName= is one of {', '.join(known)}"
            )
        if known[name] in sockets:
            raise ConfigError(f"systemd handed over '{name}' twice: give its socket unit one ListenStream=")
        sockets[known[name]] = _open(descriptor, name)
    return PassedSockets(sockets)


def _names(said: Mapping[str, str]) -> list[str]:
    """Give the name of each descriptor that was handed over."""
    try:
        count = int(said["LISTEN_FDS"])
    except ValueError:
        raise ConfigError("LISTEN_FDS is not a number") from None
    names = said["LISTEN_FDNAMES"].split(":") if said["LISTEN_FDNAMES"] else []
    if len(names) != count:
        raise ConfigError(f"LISTEN_FDS says {count} sockets, and LISTEN_FDNAMES names {len(names)}")
    return names


def _open(descriptor: int, name: str) -> socket.socket:
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigError(f"systemd handed over '{name}', and it is no socket: {error.strerror}") from None
    if (listener.family, listener.type) != (socket.AF_UNIX, socket.SOCK_STREAM):
        raise ConfigError(f"systemd handed over '{name}', and it is no Unix stream socket: give ListenStream= a path")
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ConfigError(f"systemd handed over '{name}', and it does not listen: give its socket unit Accept=no")
    listener.set_inheritable(False)
    listener.setblocking(False)
    return listener
