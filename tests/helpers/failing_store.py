"""A store's commit that fails: once, after it was made or before, so that nobody knows which."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import pytest

from secretd.errors import StoreOutcomeUnknownError
from secretd.store.base import Operation, RevisionIs


@dataclass
class Failing:
    """Takes the place of a commit.

    Attributes:
        commit: the one whose place it takes.
        made: whether the change is made all the same.
        error: what it fails with.
        after: how many commits before it are made and answered.
    """

    commit: Callable[[Sequence[Operation], Sequence[RevisionIs]], Awaitable[int]]
    made: bool
    error: BaseException
    after: int = 0

    async def __call__(self, changes: Sequence[Operation], conditions: Sequence[RevisionIs] = ()) -> int:
        """Make a change, and fail or not."""
        self.after -= 1
        if self.after >= 0:
            return await self.commit(changes, conditions)
        if self.made:
            await self.commit(changes, conditions)
        raise self.error


FAILURES = [
    pytest.param(StoreOutcomeUnknownError("perhaps"), id="unknown"),
    pytest.param(asyncio.CancelledError(), id="given-up"),
    pytest.param(RuntimeError("a fault of ours"), id="fault"),
]
