"""Closing what a peer sent.

A close may wait for as long as whoever serves the file likes: closing a file of a FUSE file system asks its
server, which may be the peer.  Only the kernel's own memory files are known to close at once; anything else is
closed by a thread that nobody waits for, not even the end of the process.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterable
from functools import cache
from queue import SimpleQueue

from secretd.doors.session import LOST_DESCRIPTOR


def close_foreign(descriptors: Iterable[int]) -> None:
    """Close descriptors that a peer sent, without ever waiting for the peer."""
    for descriptor in descriptors:
        if descriptor == LOST_DESCRIPTOR:
            continue
        if _is_memory(descriptor):
            os.close(descriptor)
        else:
            _closer().put(descriptor)


def _is_memory(descriptor: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:
        return False
    return True


@cache
def _closer() -> SimpleQueue[int]:
    """Start the thread; gives the queue it serves."""
    queue: SimpleQueue[int] = SimpleQueue()
    threading.Thread(target=_close_for_ever, args=(queue,), name="closer", daemon=True).start()
    return queue


def _close_for_ever(queue: SimpleQueue[int]) -> None:
    while True:
        os.close(queue.get())
