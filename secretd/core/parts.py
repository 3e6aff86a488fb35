"""What travels in parts over several requests: each is known by an id, and given up when nobody goes on with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar
from uuid import UUID, uuid4

from secretd import limits
from secretd.errors import BusyError, InvalidRequestError

T = TypeVar("T")


class Unfinished(Generic[T]):
    """What waits for its next part."""

    def __init__(self, noun: str, give_up: Callable[[T], None]) -> None:
        """Begin with nothing; ``give_up`` is called with what nobody went on with."""
        self._noun = noun
        self._give_up = give_up
        self._waiting: dict[UUID, tuple[T, asyncio.TimerHandle]] = {}

    def begin(self) -> UUID:
        """Name a new one.

        Raises:
            BusyError: limits.BACKUPS others wait.
        """
        if len(self._waiting) >= limits.BACKUPS:
            raise BusyError(f"{len(self._waiting)} others are under way; try again in a minute")
        return uuid4()

    def take(self, name: UUID) -> T:
        """Go on with one: nobody else can until it is kept again.

        Raises:
            InvalidRequestError: there is none of this name, or no longer.
        """
        waiting = self._waiting.pop(name, None)
        if waiting is None:
            raise InvalidRequestError(f"there is no such {self._noun}, or it waited for too long; begin anew")
        item, timer = waiting
        timer.cancel()
        return item

    def keep(self, name: UUID, item: T) -> None:
        """Let it wait for its next part."""
        timer = asyncio.get_running_loop().call_later(limits.BACKUP_IDLE_SECONDS, self._expire, name)
        self._waiting[name] = item, timer

    def give_up_all(self) -> None:
        """Give up all that waits."""
        for name in tuple(self._waiting):
            self._give_up(self.take(name))

    def _expire(self, name: UUID) -> None:
        self._give_up(self.take(name))
