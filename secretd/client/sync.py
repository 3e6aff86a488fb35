"""The client that blocks: one connection, one call at a time, from one thread at a time.

A call that ends in anything but an answer leaves the stream in an unknown place, so it ends the connection too. A
wait for events that ends without one does not. The client never connects anew by itself: what happened meanwhile
would be missed without a word.

Source: docs/protocol.md.
"""

from __future__ import annotations

import math
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from secretd.client.exchange import Answer, Exchange, OutgoingRequest
from secretd.client.news import News
from secretd.client.peer import check_peer
from secretd.client.transport import broken, closed, new_socket, receive_some, unreachable, went_away
from secretd.errors import SecretdError, UnreachableError
from secretd.operations import Event, ReplyT, Request

_TIMEVAL = struct.Struct("ll")  # struct timeval: seconds, microseconds


class Client:
    """A connection to the daemon.

    Args:
        path: its socket; see secretd.client.address.
        timeout_s: how long to wait for a connection, and for each answer.
        descriptors: send values by sealed memfd and ask for them so, instead of as text.

    Raises:
        ConfigError: the path is no socket's.
        UnreachableError: no daemon listens there, or it takes no connection in time.
        UntrustedDaemonError: who listens is neither root nor this user.
    """

    def __init__(self, path: Path, *, timeout_s: float = 30.0, descriptors: bool = False) -> None:
        self._timeout_s = timeout_s
        self._exchange = Exchange(descriptors=descriptors)
        self._news = News()
        self._socket = _connect(path, timeout_s)
        self._waits_less = False

    def call(self, request: Request[ReplyT]) -> ReplyT:
        """Have an operation done, and give its reply.

        Raises:
            SecretdError: what the daemon answered, as the class that its code names.
            UnreachableError: the connection is closed, or the daemon went away or did not answer in time. The
                request may or may not have been carried out, and the connection is closed now.
            RemoteProtocolError: the daemon's answer cannot be understood.
            OSError: the value needs a descriptor, and none is to be had; nothing was sent.
        """
        if self._socket.fileno() < 0:
            raise closed()
        outgoing = self._exchange.request(request)
        try:
            if self._timeout_s <= 0:
                raise TimeoutError
            deadline = time.monotonic() + self._timeout_s
            self._send(outgoing, deadline)
            outcome = self._receive(deadline).outcome
            self._wait_anew()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise self._translated(error) from None
            raise
        if isinstance(outcome, SecretdError):
            raise outcome
        return cast(ReplyT, outcome)

    def events(self, timeout_s: float | None = None) -> Iterator[Event]:
        """Give the events of what was subscribed to, as they come; calls may be made in between.

        Args:
            timeout_s: for how long in all; then it ends, and may be begun anew. None: for ever.

        Raises:
            UnreachableError: the connection is closed, or the daemon went away, which this never ends without.
            RemoteProtocolError: what the daemon sent cannot be understood; the connection is closed now.
        """
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while (event := self._next_event(deadline)) is not None:
            yield event

    def _next_event(self, deadline: float) -> Event | None:
        """Wait for an event; None if none came in time."""
        if (event := self._news.take()) is not None:
            return event
        if self._socket.fileno() < 0:
            raise closed()
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            try:
                # Every call was answered, or ended the connection: what comes is an event.
                event = cast(Event, self._next_received(deadline))
            except (BlockingIOError, TimeoutError):
                event = None
            except OSError as error:
                raise broken(error) from None
            on_failure.pop_all()
        self._wait_anew()
        return event

    def close(self) -> None:
        """Close the connection; once is enough, twice does no harm."""
        self._exchange.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _translated(self, error: OSError) -> UnreachableError:
        # What the kernel raises when SO_SNDTIMEO or SO_RCVTIMEO is over, and what we raise ourselves.
        if not isinstance(error, BlockingIOError | TimeoutError):
            return broken(error)
        return UnreachableError(
            f"the daemon did not answer within {self._timeout_s:g} seconds; whether it did as asked is unknown"
        )

    def _send(self, outgoing: OutgoingRequest, deadline: float) -> None:
        try:
            # A daemon that hung up may have said why: that is still to be read.
            with suppress(BrokenPipeError, ConnectionResetError):
                outgoing.send_some(self._socket)
                while outgoing.rest:
                    self._wait_until(deadline)
                    outgoing.send_some(self._socket)
        finally:
            outgoing.close()

    def _receive(self, deadline: float) -> Answer:
        # What was sent at once, and is answered at once, has the whole time: then no system call says how much is left.
        received = self._next_received(deadline, at_once=True)
        while not isinstance(received, Answer):
            self._news.add(received)
            received = self._next_received(deadline)
        return received

    def _next_received(self, deadline: float, *, at_once: bool = False) -> Answer | Event:
        while (received := self._exchange.next_received()) is None:
            if not at_once:
                self._wait_until(deadline)
            at_once = False
            if not receive_some(self._socket, self._exchange):
                raise went_away()
        return received

    def _wait_until(self, deadline: float) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._waits_less = True
        set_timeouts(self._socket, left_s)

    def _wait_anew(self) -> None:
        if self._waits_less:
            set_timeouts(self._socket, self._timeout_s)
            self._waits_less = False


def _connect(path: Path, timeout_s: float) -> socket.socket:
    connection = new_socket(path)
    try:
        connection.settimeout(None)
        # Python's own timeout does not wait where the listener's queue is full; the kernel's does (unix(7)). And it
        # costs a poll for each call.
        set_timeouts(connection, timeout_s)
        connection.connect(str(path))
        check_peer(connection)
    except OSError as error:
        connection.close()
        raise unreachable(path, error) from None
    except SecretdError:
        connection.close()
        raise
    return connection


def set_timeouts(connection: socket.socket, timeout_s: float) -> None:
    """Let the kernel end a wait for the daemon."""
    packed = _TIMEVAL.pack(*_split(timeout_s))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, packed)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, packed)


def _split(duration_s: float) -> tuple[int, int]:
    if duration_s == math.inf:
        return 0, 0
    return divmod(max(1, int(duration_s * 1_000_000)), 1_000_000)  # all zeros mean to wait for ever
