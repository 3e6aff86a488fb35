"""One helper that feeds the native framing each case whole, byte by byte, and with more behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from secretd.errors import RemoteProtocolError
from secretd.wire.native import Message, NativeFraming
from secretd.wire.stream import Pause


@dataclass(frozen=True)
class Fault:
    """How a stream ended that could not be framed."""

    message: str


Event = Message | Pause | Fault

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Framing(Protocol[T_co]):
    """What gives messages of any kind."""

    def next_event(self) -> T_co | Pause: ...


TRAILER = b"<request serial='1'/>\0"


def drain(framing: Framing[T]) -> list[T | Pause | Fault]:
    """Take all that is there, up to and including the pause or the fault."""
    events: list[T | Pause | Fault] = []
    while True:
        try:
            event = framing.next_event()
        except RemoteProtocolError as error:
            return [*events, Fault(error.message)]
        events.append(event)
        if isinstance(event, Pause):
            return events


def feed(pieces: list[bytes], *, eof: bool = True) -> list[Event]:
    """Give the events of a stream cut into these pieces, taking them all only at the end."""
    framing = NativeFraming()
    for piece in pieces:
        framing.receive(piece)
    if eof:
        framing.receive_eof()
    return drain(framing)


def feed_eagerly(pieces: list[bytes]) -> list[Event]:
    """Give the events of a stream cut into these pieces, taking each as soon as it is there."""
    framing = NativeFraming()
    events: list[Event] = []
    for piece in pieces:
        framing.receive(piece)
        events += [event for event in drain(framing) if isinstance(event, Message)]
    framing.receive_eof()
    return events + drain(framing)


def bytewise(stream: bytes) -> list[bytes]:
    """Cut a stream into single bytes."""
    return [stream[place : place + 1] for place in range(len(stream))]


def check_stream(stream: bytes, expected: list[Event]) -> None:
    """Hold that a stream gives these events, however it is cut, and that what follows it is untouched."""
    ways = {
        "whole": (feed([stream]), expected),
        "byte by byte": (feed(bytewise(stream)), expected),
        "byte by byte, each event at once": (feed_eagerly(bytewise(stream)), expected),
    }
    if expected[-1] is Pause.END:
        longer = [*expected[:-1], Message(len(expected), TRAILER[:-1]), Pause.END]
        ways["with more behind it"] = (feed([stream + TRAILER]), longer)
        ways["with more following"] = (feed([stream, TRAILER]), longer)
    for way, (events, right) in ways.items():
        if events != right:
            raise AssertionError(f"{way}: {events} instead of {right}")
