"""What every door offers the daemon: a session, which is one connection without its socket.

The daemon moves bytes and descriptors; a session turns them into answers.  So one kind of connection serves
all doors, and a door can be tested without a socket.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from secretd import limits
from secretd.doors.stepping import Done, Waiting
from secretd.errors import SecretdError
from secretd.model import Caller
from secretd.wire.outgoing import Outgoing

LOST_DESCRIPTOR = -1
"""Stands for a descriptor that came and could not be received, as the process may have no more."""


@dataclass(slots=True)
class Answer(Outgoing):
    """A framed message for the peer, and what keeping it costs until he has read it."""

    cost: int = field(init=False)

    def __post_init__(self) -> None:
        # Beside its bytes: the objects around it, and the memory behind a descriptor.
        behind = limits.VALUE_BYTES if self.descriptor is not None else 0
        self.cost = len(self.rest) + limits.ANSWER_BYTES + behind


@dataclass(frozen=True, slots=True)
class Taken:
    """One message that was taken.

    Attributes:
        outcome: its answer, or what to await for it.
        spent: the descriptors that came with it; the taker closes them now.
    """

    outcome: Done[Answer] | Waiting[Answer]
    spent: tuple[int, ...] = ()


class Outlet(ABC):
    """Where a session sends what answers nothing."""

    @property
    @abstractmethod
    def room(self) -> int:
        """How many bytes more may wait for the peer, and for all others of his uid."""

    @property
    @abstractmethod
    def full(self) -> bool:
        """Whether so much waits for the peer that no more is read from him."""

    @abstractmethod
    def send(self, answer: Answer) -> None:
        """Take a message for the peer; it is dropped if the connection is about to end."""

    @abstractmethod
    def end(self) -> None:
        """Read no more, and end once what was sent is on its way."""


class Nothing(Enum):
    """Why no message was taken."""

    YET = auto()  # more bytes may bring one
    MORE = auto()  # the peer ended the stream, or broke it: there will never be another
    PASSED = auto()  # one came that is not answered; another may wait


class Session(ABC):
    """One connection of a door."""

    @property
    @abstractmethod
    def admitted(self) -> bool:
        """Whether the caller may do anything here: else no descriptor of his is taken, and little is kept for him."""

    @property
    @abstractmethod
    def begun(self) -> bool:
        """Whether a part of a message was received, and the rest was not."""

    @abstractmethod
    def refuse(self, error: SecretdError) -> Answer:
        """Answer the message that is received next, whatever it will be, with an error."""

    @abstractmethod
    def receive(self, data: bytes, descriptors: Sequence[int]) -> tuple[int, ...]:
        """Take in bytes, and the descriptors that came with them; gives those it does not keep, to be closed."""

    @abstractmethod
    def receive_eof(self) -> None:
        """Take in the end of the stream."""

    @abstractmethod
    def take_message(self) -> Taken | Nothing:
        """Take the next message that is whole, and begin to answer it."""

    @abstractmethod
    def attach(self, outlet: Outlet) -> None:
        """Take in, once and before any message, where to send what answers nothing."""

    @abstractmethod
    def give_up(self) -> tuple[int, ...]:
        """End: drop what was received and not taken, send no more; gives the descriptors it kept, to be closed."""


OpenSession = Callable[[Caller], Session]
"""A door, as the daemon sees it: makes the session of a new connection."""
