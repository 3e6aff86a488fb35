"""The server: accepts connections, keeps trying to unseal, and ends in order.

On SIGTERM or SIGINT nothing new is accepted or read, what was taken is answered, and what does not end within
limits.DRAIN_SECONDS is cut off.
"""

from __future__ import annotations

import asyncio
import logging
import socket

from secretd import limits
from secretd.core.sealing import Seal
from secretd.daemon.connection import Connection
from secretd.daemon.peer import caller_of
from secretd.daemon.sockets import SocketKind
from secretd.doors.session import OpenSession
from secretd.model import SealState

_log = logging.getLogger(__name__)

_ACCEPTS_PER_TURN = 64


class Server:
    """All connections of one daemon."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._listeners: list[socket.socket] = []
        self._connections: set[Connection] = set()
        self._one_closed = asyncio.Event()

    def listen(self, listener: socket.socket, kind: SocketKind, door: OpenSession) -> None:
        """Serve the connections of a listening socket, which is owned from here on, by a door."""
        self._listeners.append(listener)
        asyncio.get_running_loop().add_reader(listener, self._accept, listener, kind, door)

    async def unseal(self) -> None:
        """Try once to unseal; says in the log what came of it, unless it is what it said before."""
        before = self._seal.status
        status = await self._seal.open()
        if status.state is SealState.OPEN:
            _log.info("unsealed", extra={"slots": status.slots, "keyring_version": status.keyring_version})
        elif status.reason != before.reason:
            _log.error("sealed", extra={"reason": status.reason})

    async def keep_unsealing(self) -> None:
        """Try again until the daemon is unsealed."""
        while self._seal.status.state is SealState.SEALED:
            await asyncio.sleep(limits.ROOT_KEY_RETRY_SECONDS)
            await self.unseal()

    async def drain(self) -> None:
        """Accept and read no more; answer what was taken; close everything."""
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener)
            listener.close()
        for connection in tuple(self._connections):
            connection.drain()
        try:
            async with asyncio.timeout(limits.DRAIN_SECONDS):
                while self._connections:
                    self._one_closed.clear()
                    await self._one_closed.wait()
        except TimeoutError:
            _log.warning("connections cut off", extra={"connections": len(self._connections)})
            for connection in tuple(self._connections):
                connection.abort()

    def _accept(self, listener: socket.socket, kind: SocketKind, door: OpenSession) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                # No descriptor or memory is left; the connection stays in the queue for a better moment.
                _log.error("cannot accept", extra={"reason": error.strerror})
                return
            self._serve(connection, kind, door)

    def _serve(self, connection: socket.socket, kind: SocketKind, door: OpenSession) -> None:
        connection.setblocking(False)
        try:
            caller = caller_of(connection, read_only=kind.read_only)
        except OSError:
            # Who cannot be named is not served.
            connection.close()
            return
        self._connections.add(Connection(connection, door(caller), self._forget))

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._one_closed.set()
