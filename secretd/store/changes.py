"""The latest changes of a store whose only writer is this process, for those who watch.

It keeps the last limits.WATCH_BACKLOG changes, in memory: what came before this process started, or is further
back, is not known, and a watcher that needs it gets Compacted.  Nobody polls: a commit wakes the watchers.  It
belongs to one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from secretd import limits
from secretd.store.base import Change, Compacted


class ChangeLog:
    """The changes after revision ``oldest``, one entry a commit, without a gap."""

    def __init__(self, revision: int) -> None:
        """Start behind ``revision``, that of the store as it was opened."""
        self._oldest = self._newest = revision
        self._commits: deque[tuple[Change, ...]] = deque()
        self._weight = 0
        self._closed = False
        self._grown = asyncio.Event()

    @property
    def newest(self) -> int:
        """The revision of the last commit it was told of."""
        return self._newest

    def publish(self, revision: int, changes: tuple[Change, ...]) -> None:
        """Take in the changes of one commit, and wake the watchers."""
        if revision != self._newest + 1:
            # A commit whose outcome was unknown has been applied after all: nobody may miss that silently.
            self._forget(revision - 1)
        self._newest = revision
        self._commits.append(changes)
        self._weight += _weight(changes)
        while self._weight > limits.WATCH_BACKLOG:
            self._weight -= _weight(self._commits.popleft())
            self._oldest += 1
        self._wake()

    def lose(self, revision: int) -> None:
        """Take in a commit that changed so much that its changes are not told one by one; wake the watchers."""
        self._forget(revision)
        self._newest = revision
        self._wake()

    def close(self) -> None:
        """Let every watch end once it has seen all there is."""
        self._closed = True
        self._wake()

    async def watch(self, prefix: bytes, revision: int) -> AsyncGenerator[Change, None]:
        """Give the changes after ``revision`` of keys that begin with ``prefix``.

        Raises:
            Compacted: the revision is too far back, or not one that this log has reached.
        """
        while True:
            if not self._oldest <= revision <= self._newest:
                raise Compacted(self._oldest)
            if revision < self._newest:
                commit = self._commits[revision - self._oldest]
                revision += 1
                for change in commit:
                    if change.key.startswith(prefix):
                        yield change
            elif self._closed:
                return
            else:
                await self._grown.wait()

    def _forget(self, oldest: int) -> None:
        self._commits.clear()
        self._weight = 0
        self._oldest = oldest

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()


def _weight(changes: tuple[Change, ...]) -> int:
    # A commit that deleted what was not there has no changes, but takes its place.
    return max(1, len(changes))
