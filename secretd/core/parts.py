"""What travels in parts over several requests: each is known by an id, and given up when nobody goes on with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar
from uuid import UUID, uuid4

from secretd import limits
from secretd.errors import BusyError, InvalidRequestError

T = TypeVar("T")


class Unfinished(Generic[T]):
    """What waits for its next part, and what is at one just now: limits.BACKUPS together."""

    def __init__(self, noun: str, give_up: Callable[[T], None]) -> None:
        """Begin with nothing; ``give_up`` is called with what nobody went on with, or what failed."""
        self._noun = noun
        self._give_up = give_up
        self._ends: dict[UUID, float] = {}
        self._waiting: dict[UUID, tuple[T, asyncio.TimerHandle]] = {}
        self._stopped = False

    def begin(self) -> UUID:
        """Name a new one.

        Raises:
            BusyError: there are enough.
        """
        if len(self._ends) >= limits.BACKUPS:
            raise BusyError(f"{len(self._ends)} others are under way; try again in a minute")
        name = uuid4()
        self._ends[name] = asyncio.get_running_loop().time() + limits.BACKUP_SECONDS
        return name

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

    @contextmanager
    def ending(self, name: UUID, item: T) -> Iterator[None]:
        """Work on one that was begun or taken: unless it is kept in here, it ends, and is given up if this fails."""
        try:
            yield
        except BaseException:
            self._give_up(item)
            raise
        finally:
            if name not in self._waiting:
                self._ends.pop(name, None)

    def keep(self, name: UUID, item: T) -> None:
        """Let it wait for its next part."""
        loop = asyncio.get_running_loop()
        until = min(loop.time() + limits.BACKUP_IDLE_SECONDS, self._ends[name])
        self._waiting[name] = item, loop.call_at(until, self._expire, name)
        if self._stopped:
            self._expire(name)

    def stop(self) -> None:
        """Give up all that waits, and what would wait from now on."""
        self._stopped = True
        for name in tuple(self._waiting):
            self._expire(name)

    def _expire(self, name: UUID) -> None:
        item = self.take(name)
        self._ends.pop(name, None)
        self._give_up(item)
