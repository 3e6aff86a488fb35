"""The client that blocks: one connection, one call at a time, from one thread at a time.

A call that ends in anything but an answer leaves the stream in an unknown place, so it ends the connection too.

Source: docs/protocol.md.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from secretd.client.exchange import Answer, Exchange, OutgoingRequest
from secretd.client.peer import check_peer
from secretd.client.transport import broken, closed, new_socket, receive_some, unreachable, went_away
from secretd.errors import SecretdError, UnreachableError
from secretd.operations import ReplyT, Request

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
        self._socket = _connect(path, timeout_s)

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
        with ExitStack() as on_failure, self._translated():
            on_failure.callback(self.close)
            deadline = time.monotonic() + self._timeout_s
            self._send(outgoing, deadline)
            outcome = self._receive(deadline).outcome
            on_failure.pop_all()
        if isinstance(outcome, SecretdError):
            raise outcome
        return cast(ReplyT, outcome)

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

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise UnreachableError(
                f"the daemon did not answer within {self._timeout_s:g} seconds; whether it did as asked is unknown"
            ) from None
        except OSError as error:
            raise broken(error) from None

    def _send(self, outgoing: OutgoingRequest, deadline: float) -> None:
        try:
            # A daemon that hung up may have said why: that is still to be read.
            with suppress(BrokenPipeError, ConnectionResetError):
                while outgoing.rest:
                    self._wait_until(deadline)
                    outgoing.send_some(self._socket)
        finally:
            outgoing.close()

    def _receive(self, deadline: float) -> Answer:
        while (answer := self._exchange.next_answer()) is None:
            self._wait_until(deadline)
            if not receive_some(self._socket, self._exchange):
                raise went_away()
        return answer

    def _wait_until(self, deadline: float) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._socket.settimeout(left_s)


def _connect(path: Path, timeout_s: float) -> socket.socket:
    connection = new_socket(path)
    try:
        connection.settimeout(None)
        # Python's own timeout does not wait where the listener's queue is full; the kernel's does (unix(7)).
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(*_split(timeout_s)))
        connection.connect(str(path))
        check_peer(connection)
    except OSError as error:
        connection.close()
        raise unreachable(path, error) from None
    except SecretdError:
        connection.close()
        raise
    return connection


def _split(duration_s: float) -> tuple[int, int]:
    return divmod(max(1, int(duration_s * 1_000_000)), 1_000_000)  # all zeros would mean to wait for ever
