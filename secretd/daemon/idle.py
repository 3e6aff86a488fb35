"""Ending a daemon that has nothing to do, without ever losing a connection.

Idle is who has no connection, no ephemeral secret and nothing under way.  Then nothing more is accepted, and only after
that the sockets are looked at once more: a connection that waits there is served after all.  One that comes later
stays in the kernel's queue, for systemd holds the socket open too, and is what the next daemon is started for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from secretd.daemon.server import Server

_log = logging.getLogger(__name__)


async def until_idle(server: Server, busy: Callable[[], bool], seconds: int) -> None:
    """Wait until the daemon was idle for so long; from its return on nothing is accepted.

    Args:
        server: whose connections count.
        busy: whether something would be lost or cut short.
        seconds: how long; at least 1.
    """
    loop = asyncio.get_running_loop()
    since = loop.time()
    while True:
        await asyncio.sleep(since + seconds - loop.time())
        # From here to the return nothing is awaited, so nothing can come in between.
        since = loop.time() if busy() else server.active_at
        if loop.time() - since < seconds:
            continue
        if server.rest():
            _log.info("idle", extra={"seconds": seconds})
            return
        since = loop.time()
