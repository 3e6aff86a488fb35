"""Who listens: a client speaks to nobody but root and its own user.

A socket is a name in a directory, and whoever may write there may listen under that name.

Source: unix(7), SO_PEERCRED.
"""

from __future__ import annotations

import os
import socket
import struct

from secretd.errors import UntrustedDaemonError

_UCRED = struct.Struct("iII")  # struct ucred: pid, uid, gid
_ROOT = 0


def check_peer(connection: socket.socket) -> None:
    """Refuse a daemon that is neither root nor the user himself; to be called before anything is sent.

    Raises:
        UntrustedDaemonError: it is somebody else.
    """
    uid = peer_uid(connection)
    if uid not in (_ROOT, os.geteuid()):
        raise UntrustedDaemonError(
            f"the daemon on this socket runs as uid {uid}, which is neither root nor you: nothing was sent"
        )


def peer_uid(connection: socket.socket) -> int:
    """Give the uid of the process that listens, as the kernel recorded it."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    uid: int = _UCRED.unpack(credentials)[1]
    return uid
