"""One connection: its socket, what waits to be read, and what waits to be sent.

Nothing here looks into a message.  A peer that asks faster than it reads answers is not read from until it has
read; one that sends many requests at once gets a turn after a turn of everybody else.  One that begins a message and
does not end it in time, or may do nothing and only keeps a place, is cut off.
"""

from __future__ import annotations

import asyncio
import select
import socket
from array import array
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from secretd import limits
from secretd.daemon.accounts import Account
from secretd.daemon.descriptors import close_foreign
from secretd.doors.session import LOST_DESCRIPTOR, Answer, Nothing, Outlet, Session, Taken
from secretd.doors.stepping import Done, Waiting

_DESCRIPTOR_BYTES = array("i").itemsize
_ANCILLARY = socket.CMSG_SPACE((limits.DESCRIPTORS_PER_MESSAGE + 1) * _DESCRIPTOR_BYTES)
"""Room for one descriptor too many, so that a surplus is seen; the kernel closes what does not fit."""

_CUT = int(socket.MSG_CTRUNC)

_TURN_S = limits.TURN_MILLISECONDS / 1_000

_received = memoryview(bytearray(limits.READ_BYTES))
"""Where all connections receive, one after the other, and what is overwritten at once: a new buffer of this size for
each message costs more than all the rest of receiving it."""

_zeros = memoryview(bytes(limits.READ_BYTES))


class _State(Enum):
    OPEN = auto()
    ENDING = auto()  # no more is read; what was taken is answered
    CLOSED = auto()


class Connection(Outlet):
    """One connection, from its first byte to its last."""

    def __init__(
        self, connection: socket.socket, session: Session, account: Account, closed: Callable[[Connection], None]
    ) -> None:
        """Begin to serve an accepted connection.

        Args:
            connection: the socket, not blocking; owned from here on.
            session: what answers its messages.
            account: of the caller's uid; what waits here counts there too.
            closed: is called once, when the connection has ended.
        """
        self._socket = connection
        self._session = session
        self._admitted = session.admitted
        self.account = account
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
        self._taken_at = self._begun_at = self._sent_at = self._loop.time()
        session.attach(self)
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
        self._owe(-self._outgoing_cost)
        for answer in self._outgoing:
            answer.close()
        self._outgoing.clear()
        self._socket.close()
        self._closed(self)

    def end_if_overdue(self, now: float) -> None:
        """End the connection, if it has not ended, if its peer lets the daemon wait for longer than he may.

        Args:
            now: the time of the event loop.
        """
        if self._state is _State.CLOSED:
            return
        self._admitted = self._session.admitted
        if self._tasks and not self._reading and self._has_hung_up():
            # Nothing is read that would say so, and what goes on for him may take long.
            self.abort()
            return
        if self._draining:
            overdue = self._writing and now - self._sent_at > limits.DRAIN_STALL_SECONDS
        elif not self._admitted:
            overdue = now - self._taken_at > limits.DENIED_IDLE_SECONDS
        elif not self._reading:
            # The rest of his message may be there: it is we who do not read it.
            self._begun_at = now
            return
        else:
            overdue = self._session.begun and now - max(self._begun_at, self._taken_at) > limits.MESSAGE_SECONDS
        if overdue:
            self.abort()

    def _has_hung_up(self) -> bool:
        """Whether the peer has closed the connection; not if he only sends no more, and waits for his answers."""
        poll = select.poll()
        poll.register(self._socket, 0)  # poll(2): that is told unasked
        return bool(poll.poll(0))

    @property
    def _congested(self) -> bool:
        if not self._tasks and not self._outgoing:
            return False
        if len(self._tasks) >= limits.REQUESTS_IN_FLIGHT or self.full:
            return True
        # It has something under way, whose end wakes it: so the others of its uid do not starve it.
        return self.account.exhausted

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
            self._admitted = self._session.admitted
            # What there is no room for the kernel drops itself, without ever asking who serves the file.
            room = _ANCILLARY if self._admitted else 0
            size, ancillary, flags, _ = self._socket.recvmsg_into([_received], room, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            self.abort()
            return
        if size:
            if not self._session.begun:
                self._begun_at = self._loop.time()
            cut = bool(room and flags & _CUT)
            descriptors = _descriptors(ancillary, cut=cut) if ancillary or cut else ()
            data = _received[:size].tobytes()
            _received[:size] = _zeros[:size]
            close_foreign(self._session.receive(data, descriptors))
        else:
            self._session.receive_eof()
        self._take_turn()

    def _take_turn(self) -> None:
        """Answer a few messages, and leave the rest for the next turn."""
        self._turn_waits = False
        ends = self._loop.time() + _TURN_S
        most = limits.MESSAGES_PER_TURN if self._admitted else limits.DENIED_MESSAGES_PER_TURN
        for _ in range(most):
            if self._congested or self._state is not _State.OPEN or not self._answer_next():
                break
            if self._taken_at > ends:
                self._wait_for_next_turn()
                break
        else:
            self._wait_for_next_turn()
        # Nearly always all is answered and sent, and the next is waited for already.
        if not (self._reading and self._at_rest) and self._state is not _State.CLOSED:
            self._end_turn()

    @property
    def _at_rest(self) -> bool:
        """Whether nothing is under way, waits, or is about to end."""
        busy = self._tasks or self._outgoing or self._writing or self._turn_waits
        return not busy and self._state is _State.OPEN and not self._draining

    def _end_turn(self) -> None:
        held_up = self._congested
        self._flush()
        if held_up and not self._congested and self._state is _State.OPEN and not self._turn_waits:
            # Nothing waits any more that could wake it.
            self._wait_for_next_turn()
        self._watch_reads()

    def _wait_for_next_turn(self) -> None:
        self._turn_waits = True
        self._loop.call_soon(self._take_turn)

    def _answer_next(self) -> bool:
        """Answer one message; say whether there may be another."""
        taken = self._session.take_message()
        if isinstance(taken, Taken):
            self._answer(taken)
            self._taken_at = self._loop.time()
            return True
        if taken is Nothing.PASSED:
            # It counts as one that was answered: who sends nothing else gets no longer turns by it.
            self._taken_at = self._loop.time()
            return True
        if taken is Nothing.MORE or self._draining:
            self._state = _State.ENDING
        return False

    def _answer(self, taken: Taken) -> None:
        close_foreign(taken.spent)
        if isinstance(taken.outcome, Done):
            self._send_now(taken.outcome.result)
        else:
            task = self._loop.create_task(self._answer_later(taken.outcome))
            self._tasks.add(task)
            self.account.requests += 1
            task.add_done_callback(self._answered)

    async def _answer_later(self, waiting: Waiting[Answer]) -> None:
        self._send(await waiting)
        if self._state is not _State.CLOSED:
            # At once: what follows a task's end comes a turn of the loop later.
            self._flush()

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.account.requests -= 1
        if self._state is not _State.CLOSED:
            self._end_if_answered()
        if self._state is _State.OPEN and not self._turn_waits:
            self._take_turn()

    def _send_now(self, answer: Answer) -> None:
        """Send an answer at once if none waits before it; what of it the peer does not take waits."""
        if not self._outgoing and self._state is not _State.CLOSED:
            try:
                answer.send_some(self._socket)
            except BlockingIOError:
                pass
            except OSError:
                answer.close()
                self.abort()
                return
            if not answer.rest:
                return
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        if self._state is _State.CLOSED:
            answer.close()
            return
        self._outgoing.append(answer)
        self._owe(answer.cost)

    @property
    def room(self) -> int:
        """How many bytes more may wait for the peers of this uid."""
        return limits.REPLY_BYTES_WAITING_PER_UID - self.account.reply_bytes

    @property
    def full(self) -> bool:
        """Whether so much waits for the peer that no more is read from him."""
        return self._outgoing_cost >= self._most_waiting

    @property
    def _most_waiting(self) -> int:
        return limits.REPLY_BYTES_WAITING if self._admitted else limits.DENIED_REPLY_BYTES_WAITING

    def send(self, answer: Answer) -> None:
        """Send what answers nothing, unless the end is near: it would never come while there is news."""
        if self._state is _State.OPEN and not self._draining:
            self._send(answer)
            if not self._writing:
                self._flush()
            self._watch_reads()

    def end(self) -> None:
        """Read no more; answer what was taken, send what waits, and then end."""
        if self._state is _State.OPEN:
            self._state = _State.ENDING
            self._watch_reads()
            self._end_if_answered()

    def _owe(self, cost: int) -> None:
        self._outgoing_cost += cost
        self.account.reply_bytes += cost

    def _flush(self) -> None:
        try:
            while self._outgoing:
                self._outgoing[0].send_some(self._socket)
                if self._writing:
                    self._sent_at = self._loop.time()
                if not self._outgoing[0].rest:
                    self._owe(-self._outgoing.popleft().cost)
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
            self._sent_at = self._loop.time()
            self._loop.add_writer(self._socket, self._writable)
        elif self._writing and not wanted:
            self._loop.remove_writer(self._socket)
        self._writing = wanted

    def _end_if_answered(self) -> None:
        if self._state is _State.ENDING and not self._tasks and not self._outgoing:
            self.abort()


def _descriptors(ancillary: list[tuple[int, int, bytes]], *, cut: bool) -> list[int]:
    """Read the descriptors; if some were cut off though there was room, the process could have no more."""
    received = array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            received.frombytes(data[: len(data) - len(data) % _DESCRIPTOR_BYTES])
    lost = [LOST_DESCRIPTOR] if cut and len(received) <= limits.DESCRIPTORS_PER_MESSAGE else []
    return [*received, *lost]
