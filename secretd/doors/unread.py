"""The events of one connection that its peer has not read yet: so many bytes of them, and no more.

What there is no room for is dropped, and with it all that follows until the peer has read: then it has read of the
loss, too, and looks for itself how things are.  So a peer is told of one loss at a time, and between two of them
at least one event.

Source: docs/protocol.md, "Events".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from secretd import limits
from secretd.doors.session import Answer, Outlet

Frame = Callable[[bytes], bytes]


class UnreadEvents:
    """What was sent to one peer unasked."""

    def __init__(self, frame: Frame, outlet: Outlet) -> None:
        """Begin with nothing.

        Args:
            frame: makes a message of a document, as the door frames them.
            outlet: takes what goes to the peer.
        """
        self._frame = frame
        self._outlet = outlet
        self._unread: deque[Answer] = deque()
        self._loss: Answer | None = None

    def add(self, documents: Iterable[bytes], lost: bytes) -> bool:
        """Send events, or as many as there is room for, and then that others were lost.

        Args:
            documents: the events, in their order.
            lost: what tells of a loss.

        Returns:
            Whether the loss was told, perhaps to a peer who has read of it by now.
        """
        if self.lost:
            return False
        room = self._room()
        fitting: list[bytes] = []
        for document in documents:
            room -= len(document)
            if room < 0 and (fitting or self._unread):
                self._put(fitting)
                self._loss = self._put([lost])
                return True
            fitting.append(document)
        self._put(fitting)
        return False

    def lose(self, lost: bytes) -> bool:
        """Send that events were lost, unless that is what the peer has yet to read; says whether it was sent."""
        if self.lost:
            return False
        self._loss = self._put([lost])
        return True

    @property
    def lost(self) -> bool:
        """Whether the peer has yet to read that he lost some."""
        return self._loss is not None and bool(self._loss.rest)

    def _room(self) -> int:
        while self._unread and not self._unread[0].rest:
            self._unread.popleft()
        room = limits.EVENT_BYTES_WAITING - sum(answer.cost for answer in self._unread)
        return min(room, self._outlet.room) - limits.ANSWER_BYTES

    def _put(self, documents: Sequence[bytes]) -> Answer | None:
        if not documents:
            return None
        # One answer for all of them: it costs the daemon one system call.
        answer = Answer(memoryview(b"".join(map(self._frame, documents))))
        self._unread.append(answer)
        self._outlet.send(answer)
        return answer
