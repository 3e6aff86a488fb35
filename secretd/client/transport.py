"""The socket calls that both clients make: connect, receive a part.

Source: unix(7); docs/protocol.md, "Which message a descriptor belongs to".
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from secretd import limits
from secretd.client.exchange import Exchange
from secretd.errors import ConfigError, UnreachableError

_RECEIVE_BYTES = 65_536
_DESCRIPTORS = limits.DESCRIPTORS_PER_MESSAGE + 1  # room for one too many, so that too many can be told

_REASONS: dict[type[OSError], str] = {
    FileNotFoundError: "there is no such socket",
    ConnectionRefusedError: "nobody listens there any more",
    PermissionError: "it, or a directory above it, is closed to you",
    BlockingIOError: "too many connections are waiting there already",
}


def new_socket(path: Path) -> socket.socket:
    """Make a socket that can be connected to this path.

    Raises:
        ConfigError: the path is longer than a socket's may be.
    """
    if len(os.fsencode(path)) > limits.SOCKET_PATH_BYTES:
        raise ConfigError(f"a socket's path may have at most {limits.SOCKET_PATH_BYTES} bytes: {path}")
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)


def unreachable(path: Path, error: OSError) -> UnreachableError:
    """Say why no daemon could be reached."""
    reason = _REASONS.get(type(error), os.strerror(error.errno or 0))
    if isinstance(error, ConnectionRefusedError) and not path.is_socket():
        reason = "that is no socket"
    return UnreachableError(f"no daemon answers on {path}: {reason}")


def broken(error: OSError) -> UnreachableError:
    """Say that a connection that stood is gone."""
    return UnreachableError(f"the connection to the daemon broke: {os.strerror(error.errno or 0)}")


def went_away() -> UnreachableError:
    """Say that the daemon ended the connection while something was still wanted of it."""
    return UnreachableError("the daemon went away; whether it did what it did not answer is unknown")


def closed() -> UnreachableError:
    """Say that the connection has ended before."""
    return UnreachableError("this connection to the daemon is closed")


def receive_some(connection: socket.socket, exchange: Exchange) -> bool:
    """Hand what the socket has to the exchange.

    Returns:
        False at the end of the stream.

    Raises:
        OSError: as recvmsg(2) says.
    """
    data, descriptors, _, _ = socket.recv_fds(connection, _RECEIVE_BYTES, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    if data:
        exchange.receive(data, descriptors)
    return bool(data)
