"""Events of the native protocol, to and from their bytes. Framing (the NUL) is wire/native.py's.

The rule it keeps: if reading succeeds, writing gives the same event again.

Source: docs/protocol.md, "Events".
"""

from __future__ import annotations

from functools import lru_cache
from typing import cast

from secretd import limits
from secretd.documents.codecs import Codec
from secretd.documents.shapes import EVENT
from secretd.documents.validation import Grammar, read_strictly
from secretd.operations import EVENTS, Event

_START = b"<event>"
_EVENT = Grammar("event.rng", "event", EVENT)
_CODECS = {name: Codec(event, name) for name, event in EVENTS.items()}
_NAMES = {event: name for name, event in EVENTS.items()}


# A round of events goes to each subscriber in turn, and is not written anew for each.
@lru_cache(maxsize=limits.EVENTS_PER_ROUND)
def write_event(event: Event) -> bytes:
    """Write an event, without the NUL that ends the message."""
    return f"<event>{_CODECS[_NAMES[type(event)]].write(event)}</event>".encode()


def is_event(body: bytes) -> bool:
    """Say whether a message of the daemon's is an event, by its first bytes: the daemon has one spelling.

    Source: docs/protocol.md, "Messages": the daemon's spelling.
    """
    return body.startswith(_START)


def read_event(body: bytes) -> Event:
    """Read an event.

    Args:
        body: the message, without the NUL that ends it.

    Raises:
        InvalidXmlError: it is not well-formed, or holds what no document here may hold.
        InvalidDocumentError: the schema does not allow it, or a text in it is too long.
    """
    element = read_strictly(body, limits.MESSAGE_BYTES, _EVENT)[0]
    return cast(Event, _CODECS[str(element.tag)].read(element, None))
