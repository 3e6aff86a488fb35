"""What the sessions of all doors share: a caller, what admits him, and the framing of what he sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from secretd.core.events import Listener
from secretd.core.service import Service
from secretd.doors.session import Session
from secretd.errors import SecretdError
from secretd.model import Caller
from secretd.wire.stream import State


class Framing(Protocol):
    """What a session needs of a wire's framing."""

    @property
    def state(self) -> State:
        """Where in the stream it is."""

    def receive(self, data: bytes, descriptors: Sequence[int] = ()) -> tuple[int, ...]:
        """Take in bytes and descriptors; gives those it does not keep."""

    def receive_eof(self) -> None:
        """Take in the end of the stream."""

    def take_descriptors(self) -> tuple[int, ...]:
        """Drop what was received and not taken; gives the descriptors that came with it."""


FramingT = TypeVar("FramingT", bound=Framing)


class FramedSession(Session, Listener, Generic[FramingT]):
    """A session over a framing."""

    def __init__(self, service: Service, caller: Caller, framing: FramingT) -> None:
        self._service = service
        self._caller = caller
        self._framing = framing

    @property
    def admitted(self) -> bool:
        """Whether the caller may do anything here."""
        try:
            self._service.admit(self._caller)
        except SecretdError:
            # Whatever he is told instead: who is served here must not hang on what there is to be told.
            return False
        return True

    @property
    def begun(self) -> bool:
        """Whether a part of a message was received, and the rest was not."""
        return self._framing.state is State.INSIDE

    def receive(self, data: bytes, descriptors: Sequence[int]) -> tuple[int, ...]:
        """Take in bytes and descriptors."""
        return self._framing.receive(data, descriptors)

    def receive_eof(self) -> None:
        """Take in the end of the stream."""
        self._framing.receive_eof()

    def give_up(self) -> tuple[int, ...]:
        """Drop what was received and not taken, and listen no more."""
        self.gone = True
        self._service.forget(self)
        return self._framing.take_descriptors()
