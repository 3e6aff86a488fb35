"""Closing what a peer sent.

A close may wait for as long as whoever serves the file likes: closing a file of a FUSE file system asks its
server, which may be the peer.  Only a memfd is known to close at once; anything else is closed where nobody waits.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterable


def close_foreign(descriptors: Iterable[int]) -> None:
    """Close descriptors that a peer sent, without ever waiting for the peer."""
    for descriptor in descriptors:
        if _is_memfd(descriptor):
            os.close(descriptor)
        else:
            threading.Thread(target=os.close, args=(descriptor,), daemon=True).start()


def _is_memfd(descriptor: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:
        return False
    return True
