"""The client for asyncio: one connection, any number of calls at once, answers in the order they are ready.

It watches the socket itself, as asyncio's streams can't carry descriptors.  It sets no time limits of its own: that is
asyncio.timeout's business, and a call may be cancelled at any moment.  Its request may then still be carried out, its
answer is dropped, and the connection serves on: a request that has begun to go out goes out whole.  It never connects
anew by itself: what happened meanwhile would be missed without a word.

Source: docs/protocol.md.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from secretd.client.exchange import Answer, Exchange, OutgoingRequest
from secretd.client.news import News
from secretd.client.peer import check_peer
from secretd.client.transport import broken, closed, new_socket, receive_some, unreachable, went_away
from secretd.errors import SecretdError
from secretd.operations import Event, Reply, ReplyT, Request

_QUEUE_FULL_S = 0.02  # how long to wait for room in the listener's queue: the kernel tells nobody when there is


class AsyncClient:
    """A connection to the daemon, of the event loop it was made on; made by AsyncClient.connect."""

    def __init__(self, connection: socket.socket, *, descriptors: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = connection
        self._exchange = Exchange(descriptors=descriptors)
        self._waiting: dict[int, asyncio.Future[Reply | SecretdError]] = {}
        self._outgoing: deque[OutgoingRequest] = deque()
        self._writing = False
        self._news = News()
        self._news_came = asyncio.Event()
        self._ended: SecretdError | None = None
        self._loop.add_reader(connection, self._readable)

    @classmethod
    async def connect(cls, path: Path, *, descriptors: bool = False) -> Self:
        """Connect to a daemon, waiting as long as its queue is full.

        Args:
            path: its socket; see secretd.client.address.
            descriptors: send values by sealed memfd and ask for them so, instead of as text.

        Raises:
            ConfigError: the path is no socket's.
            UnreachableError: no daemon listens there.
            UntrustedDaemonError: who listens is neither root nor this user.
        """
        return cls(await _connect(path), descriptors=descriptors)

    async def call(self, request: Request[ReplyT]) -> ReplyT:
        """Have an operation done, and give its reply.

        Raises:
            SecretdError: what the daemon answered, as the class that its code names.
            UnreachableError: the connection is closed, or the daemon went away; the request may or may not have been
                carried out.
            RemoteProtocolError: the daemon's answer cannot be understood.
            OSError: the value needs a descriptor, and none is to be had; nothing was sent.
        """
        if self._ended is not None:
            raise _again(self._ended)
        outgoing = self._exchange.request(request)
        answer: asyncio.Future[Reply | SecretdError] = self._loop.create_future()
        self._waiting[outgoing.serial] = answer
        self._outgoing.append(outgoing)
        self._flush()
        try:
            outcome = await answer
        finally:
            self._waiting.pop(outgoing.serial, None)
        if isinstance(outcome, SecretdError):
            raise outcome
        return cast(ReplyT, outcome)

    async def events(self) -> AsyncIterator[Event]:
        """Give the events of what was subscribed to, as they come, each to one taker; the end after the last of them.

        Raises:
            UnreachableError: the connection is closed, or the daemon went away, which this never ends without.
            RemoteProtocolError: what the daemon sent cannot be understood.
        """
        while True:
            while (event := self._news.take()) is not None:
                yield event
            if self._ended is not None:
                raise _again(self._ended)
            self._news_came.clear()
            await self._news_came.wait()

    async def close(self) -> None:
        """Close the connection; calls that still wait fail. Once is enough, twice does no harm."""
        self._end(closed())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _readable(self) -> None:
        try:
            goes_on = receive_some(self._socket, self._exchange)
            while (received := self._exchange.next_received()) is not None:
                self._take_in(received)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(broken(error))
        except SecretdError as error:
            self._end(error)
        else:
            if not goes_on:
                self._end(went_away())

    def _take_in(self, received: Answer | Event) -> None:
        if isinstance(received, Answer):
            self._settle(received.serial, received.outcome)
        else:
            self._news.add(received)
            self._news_came.set()

    def _settle(self, serial: int, outcome: Reply | SecretdError) -> None:
        waiter = self._waiting.pop(serial, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(outcome)

    def _flush(self) -> None:
        try:
            while self._outgoing:
                self._outgoing[0].send_some(self._socket)
                if not self._outgoing[0].rest:
                    self._outgoing.popleft()
        except BlockingIOError:
            self._watch_writable(True)
        except (BrokenPipeError, ConnectionResetError):
            # A daemon that hung up may have said why: the reader finds that, or the end.
            self._drop_outgoing()
        except OSError as error:
            self._end(broken(error))
        else:
            self._watch_writable(False)

    def _watch_writable(self, watch: bool) -> None:
        if watch and not self._writing:
            self._loop.add_writer(self._socket, self._flush)
        elif self._writing and not watch:
            self._loop.remove_writer(self._socket)
        self._writing = watch

    def _drop_outgoing(self) -> None:
        self._watch_writable(False)
        while self._outgoing:
            self._outgoing.popleft().close()

    def _end(self, reason: SecretdError) -> None:
        if self._ended is not None:
            return
        self._ended = reason
        self._news_came.set()
        self._loop.remove_reader(self._socket)
        self._drop_outgoing()
        self._exchange.close()
        self._socket.close()
        for serial in list(self._waiting):
            self._settle(serial, _again(reason))


def _again(reason: SecretdError) -> SecretdError:
    # One object raised in several tasks would gather all their tracebacks.
    return type(reason)(reason.message)


async def _connect(path: Path) -> socket.socket:
    connection = new_socket(path)
    try:
        connection.setblocking(False)
        await _reach(connection, path)
        check_peer(connection)
    except OSError as error:
        connection.close()
        raise unreachable(path, error) from None
    except (SecretdError, asyncio.CancelledError):
        connection.close()
        raise
    return connection


async def _reach(connection: socket.socket, path: Path) -> None:
    # asyncio's sock_connect takes a full queue for a connection that is under way, which on a Unix socket it never is.
    while True:
        try:
            connection.connect(str(path))
        except BlockingIOError:
            await asyncio.sleep(_QUEUE_FULL_S)
        else:
            return
