"""Which commits of the SQLite store are made on the event loop: one that waits alone, on a disk that is quick.

The worker thread costs two switches, an event loop's wake-up and a task, which is much beside a commit of a third of
a millisecond.  But while the loop commits it serves nobody, and commits made there share no fsync.  So a commit
goes to the thread where recent ones took long, and where another came while the loop committed: there are
several clients then, and their commits are better made together.

Source: DESIGN, The store; docs/adr/0019.
"""

from __future__ import annotations

import asyncio

from secretd import limits

_WEIGHT = 1 / 8
"""Of the newest commit in the average: about eight quick ones make up for one that was slow."""


_STALL_S = limits.LONE_COMMIT_MICROSECONDS / 10_000
"""A commit that takes a hundred times as long as a quick one was held up, and another may be."""


class Pace:
    """How long commits take, and whether several clients make them; all calls come from the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._quick_s = limits.LONE_COMMIT_MICROSECONDS / 1_000_000
        # The disk is unknown: it has to show that it is quick.
        self._average_s = self._quick_s
        self._just_ran = False
        self._not_before = 0.0

    @property
    def allows(self) -> bool:
        """Whether a commit may be made on the event loop, if no other waits."""
        if self._just_ran or self._average_s >= self._quick_s:
            return False
        return self._loop.time() >= self._not_before

    def took(self, seconds: float) -> None:
        """Take in how long a commit took, wherever it was made."""
        self._average_s += (seconds - self._average_s) * _WEIGHT
        if seconds > _STALL_S:
            self._not_before = self._loop.time() + limits.LONE_COMMIT_PAUSE_SECONDS

    def ran_here(self) -> None:
        """Take in that a commit was made on the event loop.

        What has arrived meanwhile is read in the next turn of the loop, which therefore has to be over before
        another commit may be made here.
        """
        self._just_ran = True
        self._loop.call_soon(self._loop.call_soon, self._turn_is_over)

    def _turn_is_over(self) -> None:
        self._just_ran = False
