"""Who is at the other end of a socket, as the kernel had it when he connected."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from array import array

from secretd.model import Caller

_UCRED = struct.Struct("iII")
_libc = ctypes.CDLL(None, use_errno=True)
_FIRST_TRY_BYTES = 256
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
    # Not socket.getsockopt: it refuses a buffer of more than 1,024 bytes, and a user may have 65,536 groups.
    size = ctypes.c_uint(_FIRST_TRY_BYTES)
    while True:
        groups = ctypes.create_string_buffer(size.value)
        failed = _libc.getsockopt(connection.fileno(), socket.SOL_SOCKET, _SO_PEERGROUPS, groups, ctypes.byref(size))
        if not failed:
            return tuple(array("I", groups.raw[: size.value]))
        # With ERANGE the kernel has said how many bytes it needs.
        number = ctypes.get_errno()
        if number != errno.ERANGE:
            raise OSError(number, os.strerror(number))
