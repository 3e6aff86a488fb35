"""What every framing says of the stream that it takes in, whatever its messages are."""

from __future__ import annotations

from enum import Enum, auto


class Pause(Enum):
    """Why there is no message now."""

    NEED_DATA = auto()
    END = auto()


class State(Enum):
    """What was received last."""

    __hash__ = object.__hash__  # members are single, and Enum's own is a call of Python

    BETWEEN = "nothing, or a whole message"
    INSIDE = "a part of a message"
    ENDED = "the end of the stream, after whole messages"
    BROKEN = "what cannot be framed"
