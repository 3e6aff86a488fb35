"""Who is at the other end of a socket, as the kernel had it when he connected.

In a user namespace the kernel gives one number for all users whom that does not map.  Whoever has it is not known.

Source: unix(7); user_namespaces(7), "Unmapped user and group IDs".
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from array import array
from functools import cache
from pathlib import Path

from secretd import limits
from secretd.daemon.process import PeerProcess, gives_handles
from secretd.errors import InvalidDocumentError
from secretd.model import Caller, check_text

_UCRED = struct.Struct("iII")
_libc = ctypes.CDLL(None, use_errno=True)
_FIRST_TRY_BYTES = 256
_USERS = 2**32 - 1
"""How many there are: the number above the last is none."""
_OVERFLOW_UID = 65_534
"""Source: Linux, include/linux/highuid.h."""
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
    known = uid != _stands_for_many()
    return Caller(uid, gid, pid, groups, read_only, label=_label_of(connection), known=known, process=process)


@cache
def _stands_for_many() -> int | None:
    """Give the number of all users who are not mapped; None if all are.

    Where the map cannot be read that number is taken to be in use: then it is nobody's who could be granted something.
    """
    try:
        lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    if sum(int(line.split()[2]) for line in lines) >= _USERS:
        return None
    try:
        return int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
    except OSError:  # a unit may not be shown it: systemd.exec(5), ProcSubset=
        return _OVERFLOW_UID


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
