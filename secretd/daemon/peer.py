"""Who is at the other end of a socket, as the kernel had it when he connected."""

from __future__ import annotations

import errno
import socket
import struct
from array import array

from secretd.model import Caller

_UCRED = struct.Struct("iII")
_SO_PEERGROUPS = 59
"""Source: Linux, include/uapi/asm-generic/socket.h; Python has no name for it."""


def caller_of(connection: socket.socket, *, read_only: bool) -> Caller:
    """Say who connected, from SO_PEERCRED and SO_PEERGROUPS (unix(7)).

    Raises:
        OSError: the kernel does not say.
    """
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(credentials)
    return Caller(uid, gid, pid, _groups_of(connection), read_only)


def _groups_of(connection: socket.socket) -> tuple[int, ...]:
    size = 256
    while True:
        try:
            groups = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, size)
        except OSError as error:
            if error.errno != errno.ERANGE:
                raise
            # There are more groups than fit; NGROUPS_MAX (65,536) ends the doubling.
            size *= 2
            continue
        return tuple(array("I", groups))
