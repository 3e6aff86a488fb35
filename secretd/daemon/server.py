"""The server: accepts connections, keeps trying to unseal, and rests or ends in order.

On SIGTERM or SIGINT nothing new is accepted or read, what was taken is answered, and what does not end within
limits.DRAIN_SECONDS is cut off.  A connection that there is no room for is answered once, and ended.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import resource
import select
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from secretd import limits
from secretd.addresses import SocketKind
from secretd.core.sealing import Seal
from secretd.daemon.accounts import Accounts
from secretd.daemon.connection import Connection
from secretd.daemon.peer import caller_of
from secretd.doors.session import OpenSession, Session
from secretd.errors import BusyError
from secretd.model import SealState
from secretd.operations import Bound

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Listening:
    listener: socket.socket
    kind: SocketKind
    door: OpenSession


class Server:
    """All connections of one daemon."""

    def __init__(self, seal: Seal, unsealed: Callable[[], Awaitable[None]]) -> None:
        """Prepare; ``unsealed`` is awaited once the keyrings are open."""
        self._seal = seal
        self._unsealed = unsealed
        self._listening: list[_Listening] = []
        self._pause: asyncio.TimerHandle | None = None
        self._accounts = Accounts(os.geteuid(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._connections: set[Connection] = set()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._refused = 0
        self._refusals_logged = -math.inf
        self._one_closed = asyncio.Event()
        self._left_at = asyncio.get_running_loop().time()

    def listen(self, listener: socket.socket, kind: SocketKind, door: OpenSession) -> None:
        """Serve the connections of a listening socket, which is owned from here on, by a door."""
        listening = _Listening(listener, kind, door)
        self._listening.append(listening)
        self._watch(listening)

    def bounds(self) -> tuple[Bound, ...]:
        """Say how many connections there are, and may be."""
        return self._accounts.bounds

    async def unseal(self) -> None:
        """Try once to unseal; says in the log what came of it, unless it is what it said before."""
        before = self._seal.status
        status = await self._seal.open()
        if status.state is SealState.OPEN:
            _log.info(
                "unsealed",
                extra={"slots": [kind.value for kind in status.slots], "keyring_version": status.keyring_version},
            )
            await self._unsealed()
        elif status.reason != before.reason:
            _log.error("sealed", extra={"reason": status.reason, "looked_for": self._seal.places})

    async def keep_unsealing(self) -> None:
        """Try again until the daemon is unsealed."""
        while self._seal.status.state is SealState.SEALED:
            await asyncio.sleep(limits.ROOT_KEY_RETRY_SECONDS)
            await self.unseal()

    @property
    def active_at(self) -> float:
        """When somebody was connected last, by the event loop's clock: now, or when the last one left."""
        return asyncio.get_running_loop().time() if self._connections else self._left_at

    def rest(self) -> bool:
        """Accept no more, unless somebody is connected or waits to be; say whether that is so."""
        self._stop_watching()
        # Only now: who comes after this look is not accepted by us, and waits for whoever serves the socket next.
        if self._connections or self._anybody_waits():
            self._go_on_accepting()
            return False
        return True

    async def drain(self) -> None:
        """Accept and read no more; answer what was taken; close everything."""
        self._stop_watching()
        for listening in self._listening:
            listening.listener.close()
        self._listening.clear()
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

    def _watch(self, listening: _Listening) -> None:
        asyncio.get_running_loop().add_reader(listening.listener, self._accept, listening)

    def _stop_watching(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        for listening in self._listening:
            asyncio.get_running_loop().remove_reader(listening.listener)

    def _anybody_waits(self) -> bool:
        poll = select.poll()
        for listening in self._listening:
            poll.register(listening.listener, select.POLLIN)
        return bool(poll.poll(0))

    def _accept(self, listening: _Listening) -> None:
        for _ in range(limits.ACCEPTS_PER_TURN):
            try:
                connection, _ = listening.listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._pause_accepting(error)
                return
            self._serve(connection, listening)

    def _pause_accepting(self, error: OSError) -> None:
        """Let connections wait in the kernel's queue until descriptors or memory are free again."""
        _log.error("cannot accept", extra={"reason": error.strerror})
        self._stop_watching()
        self._pause = asyncio.get_running_loop().call_later(limits.ACCEPT_PAUSE_SECONDS, self._go_on_accepting)

    def _go_on_accepting(self) -> None:
        for listening in self._listening:
            self._watch(listening)

    def _serve(self, connection: socket.socket, listening: _Listening) -> None:
        """Serve an accepted connection; one that is not served, whatever the reason, is closed and keeps no place."""
        connection.setblocking(False)
        with ExitStack() as unless_served:
            unless_served.enter_context(connection)
            try:
                caller = caller_of(connection, read_only=listening.kind.read_only)
            except OSError as error:
                _log.error("cannot name the caller, who is not served", extra={"reason": error.strerror})
                return
            session = listening.door(caller)
            try:
                account = self._accounts.open(caller.uid)
            except BusyError as error:
                self._refuse(connection, session, error)
                self._log_refusal(caller.uid)
                return
            unless_served.callback(self._accounts.close, account)
            self._connections.add(Connection(connection, session, account, self._forget))
            unless_served.pop_all()
        self._keep_sweeping()

    @staticmethod
    def _refuse(connection: socket.socket, session: Session, error: BusyError) -> None:
        with suppress(OSError):
            session.refuse(error).send_some(connection)

    def _log_refusal(self, uid: int) -> None:
        """Count, and log now and then: who connects in a loop shall not fill the log."""
        self._refused += 1
        now = asyncio.get_running_loop().time()
        if now - self._refusals_logged >= limits.REFUSALS_LOGGED_SECONDS:
            _log.warning("connections refused", extra={"connections": self._refused, "uid": uid})
            self._refused, self._refusals_logged = 0, now

    def _keep_sweeping(self) -> None:
        if self._sweep_timer is None and self._connections:
            loop = asyncio.get_running_loop()
            self._sweep_timer = loop.call_later(limits.SWEEP_MILLISECONDS / 1_000, self._sweep)

    def _sweep(self) -> None:
        """End the connections whose peers let the daemon wait for too long."""
        self._sweep_timer = None
        loop = asyncio.get_running_loop()
        for connection in self._connections:
            # Each by itself: a fault with one must not free the others of their deadlines.
            loop.call_soon(connection.end_if_overdue, loop.time())
        self._keep_sweeping()

    def _forget(self, connection: Connection) -> None:
        self._accounts.close(connection.account)
        self._connections.discard(connection)
        self._left_at = asyncio.get_running_loop().time()
        self._one_closed.set()
