"""The events that have arrived and that nobody has taken yet: so many, and no more.

A program may make calls for as long as it likes without a look at events.  Where too many wait, a loss stands for
all of them, as it does on the daemon's side.
"""

from __future__ import annotations

from collections import deque

from secretd import limits
from secretd.operations import Event, EventsLost


class News:
    """Events, first come first taken."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()

    def add(self, event: Event) -> None:
        """Keep an event."""
        if len(self._events) >= limits.CLIENT_EVENTS:
            self._events.clear()
            event = EventsLost()
        self._events.append(event)

    def take(self) -> Event | None:
        """Give the next event, if there is one."""
        return self._events.popleft() if self._events else None
