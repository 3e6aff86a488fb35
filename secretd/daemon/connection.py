"""One connection: its socket, what waits to be read, and what waits to be sent.

Nothing here looks into a message.  A peer that asks faster than it reads answers is not read from until it has
read; one that sends many requests at once gets a turn after a turn of everybody else.
"""

from __future__ import annotations

import asyncio
import socket
from array import array
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from secretd import limits
from secretd.daemon.descriptors import close_foreign
from secretd.doors.session import Answer, Nothing, Session, Taken
from secretd.doors.stepping import Done, Waiting

_DESCRIPTOR_BYTES = array("i").itemsize
_ANCILLARY = socket.CMSG_SPACE((limits.DESCRIPTORS_PER_MESSAGE + 1) * _DESCRIPTOR_BYTES)
"""Room for one descriptor too many, so that a surplus is seen; the kernel closes what does not fit."""


class _State(Enum):
    OPEN = auto()
    ENDING = auto()  # no more is read; what was taken is answered
    CLOSED = auto()


class Connection:
    """One connection, from its first byte to its last."""

    def __init__(self, connection: socket.socket, session: Session, closed: Callable[[Connection], None]) -> None:
        """Begin to serve an accepted connection.

        Args:
            connection: the socket, not blocking; owned from here on.
            session: what answers its messages.
            closed: is called once, when the connection has ended.
        """
        self._socket = connection
        self._session = session
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._state = _State.OPEN
        self._draining = False
        self._reading = False
        self._turn_waits = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._outgoing: deque[Answer] = deque()
        self._outgoing_cost = 0
        self._writing = False
        self._watch_reads()

    def drain(self) -> None:
        """Read no more; answer what was taken, and then end."""
        self._draining = True
        self._watch_reads()
        if self._state is _State.OPEN and not self._turn_waits:
            self._take_turn()

    def abort(self) -> None:
        """End now; what is under way goes on, unanswered."""
        if self._state is _State.CLOSED:
            return
        self._state = _State.CLOSED
        self._watch_reads()
        self._watch_writes(wanted=False)
        close_foreign(self._session.give_up())
        for answer in self._outgoing:
            answer.close()
        self._outgoing.clear()
        self._socket.close()
        self._closed(self)

    @property
    def _congested(self) -> bool:
        most = limits.REPLY_BYTES_WAITING if self._session.admitted else limits.DENIED_REPLY_BYTES_WAITING
        return len(self._tasks) >= limits.REQUESTS_IN_FLIGHT or self._outgoing_cost >= most

    def _watch_reads(self) -> None:
        held_up = self._draining or self._congested or self._turn_waits
        wanted = self._state is _State.OPEN and not held_up
        if wanted and not self._reading:
            self._loop.add_reader(self._socket, self._readable)
        elif self._reading and not wanted:
            self._loop.remove_reader(self._socket)
        self._reading = wanted

    def _readable(self) -> None:
        try:
            # What there is no room for the kernel drops itself, without ever asking who serves the file.
            room = _ANCILLARY if self._session.admitted else 0
            data, ancillary, _, _ = self._socket.recvmsg(limits.READ_BYTES, room, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            self.abort()
            return
        if data:
            close_foreign(self._session.receive(data, _descriptors(ancillary)))
        else:
            self._session.receive_eof()
        self._take_turn()

    def _take_turn(self) -> None:
        """Answer a few messages, and leave the rest for the next turn."""
        self._turn_waits = False
        ends = self._loop.time() + limits.TURN_MILLISECONDS / 1_000
        for _ in range(limits.MESSAGES_PER_TURN):
            if self._congested or self._state is not _State.OPEN or not self._answer_next():
                break
            if self._loop.time() > ends:
                self._wait_for_next_turn()
                break
        else:
            self._wait_for_next_turn()
        if self._state is not _State.CLOSED:
            self._watch_reads()
            self._flush()

    def _wait_for_next_turn(self) -> None:
        self._turn_waits = True
        self._loop.call_soon(self._take_turn)

    def _answer_next(self) -> bool:
        """Answer one message; say whether there may be another."""
        taken = self._session.take_message()
        if isinstance(taken, Taken):
            self._answer(taken)
            return True
        if taken is Nothing.MORE or self._draining:
            self._state = _State.ENDING
        return False

    def _answer(self, taken: Taken) -> None:
        close_foreign(taken.spent)
        if isinstance(taken.outcome, Done):
            self._send(taken.outcome.result)
        else:
            task = self._loop.create_task(self._answer_later(taken.outcome))
            self._tasks.add(task)
            task.add_done_callback(self._answered)

    async def _answer_later(self, waiting: Waiting[Answer]) -> None:
        self._send(await waiting)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._state is not _State.CLOSED:
            self._flush()
        if self._state is _State.OPEN and not self._turn_waits:
            self._take_turn()

    def _send(self, answer: Answer) -> None:
        if self._state is _State.CLOSED:
            answer.close()
            return
        self._outgoing.append(answer)
        self._outgoing_cost += answer.cost

    def _flush(self) -> None:
        try:
            while self._outgoing:
                self._outgoing[0].send_some(self._socket)
                if not self._outgoing[0].rest:
                    self._outgoing_cost -= self._outgoing.popleft().cost
        except BlockingIOError:
            pass
        except OSError:
            self.abort()
            return
        self._watch_writes(wanted=bool(self._outgoing))
        self._end_if_answered()

    def _writable(self) -> None:
        self._flush()
        if self._state is _State.OPEN and not self._turn_waits:
            self._take_turn()

    def _watch_writes(self, *, wanted: bool) -> None:
        if wanted and not self._writing:
            self._loop.add_writer(self._socket, self._writable)
        elif self._writing and not wanted:
            self._loop.remove_writer(self._socket)
        self._writing = wanted

    def _end_if_answered(self) -> None:
        if self._state is _State.ENDING and not self._tasks and not self._outgoing:
            self.abort()


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    received = array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            received.frombytes(data[: len(data) - len(data) % _DESCRIPTOR_BYTES])
    return list(received)
