"""Who is at the other end of a socket, as the kernel had it when he connected."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from array import array

from secretd import limits
from secretd.daemon.process import PeerProcess, gives_handles
from secretd.errors import InvalidDocumentError
from secretd.model import Caller, check_text

_UCRED = struct.Struct("iII")
_libc = ctypes.CDLL(None, use_errno=True)
_FIRST_TRY_BYTES = 256
_SO_PEERGROUPS = 59
"""Source: Linux, include/uapi/asm-generic/socket.h; Python has no name for it."""


def caller_of(connection: socket.socket, *, read_only: bool) -> Caller:
    """Say who connected, from SO_PEERCRED, SO_PEERGROUPS and SO_PEERSEC (unix(7)).

    What is to be known of his process is not looked at here: most callers are judged without it.

    Raises:
        OSError: the kernel does not say.
    """
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(credentials)
    groups = tuple(array("I", _told(connection, _SO_PEERGROUPS)))
    process = PeerProcess(connection) if pid and gives_handles() else None
    return Caller(uid, gid, pid, groups, read_only, label=_label_of(connection), process=process)


def _label_of(connection: socket.socket) -> str | None:
    """Give the security label; None without a security module, and of a label that no document can hold."""
    try:
        label = _told(connection, socket.SO_PEERSEC).removesuffix(b"\0").decode()
        check_text(label, "a security label", limits.LABEL_BYTES)
    except (OSError, UnicodeDecodeError, InvalidDocumentError):
        return None
    return label or None


def _told(connection: socket.socket, option: int) -> bytes:
    # Not socket.getsockopt: it refuses a buffer of more than 1,024 bytes, and a user may have 65,536 groups.
    size = ctypes.c_uint(_FIRST_TRY_BYTES)
    while True:
        told = ctypes.create_string_buffer(size.value)
        failed = _libc.getsockopt(connection.fileno(), socket.SOL_SOCKET, option, told, ctypes.byref(size))
        if not failed:
            return told.raw[: size.value]
        # With ERANGE the kernel has said how many bytes it needs.
        number = ctypes.get_errno()
        if number != errno.ERANGE:
            raise OSError(number, os.strerror(number))
