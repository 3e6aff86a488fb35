"""The rounds in which the daemon looks for what is to be deleted by now, of secrets and of keys.

There is one at the start, in the background, and then one every limits.DELETION_ROUND_SECONDS.  Nothing is deleted
while the store lacks something, the daemon is sealed, or nobody can say what time it is.

Source: docs/keys.md, "Deletion that waits".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Protocol

from secretd import limits
from secretd.core.changing import Changing
from secretd.core.clock import Clock
from secretd.core.wholeness import Wholeness
from secretd.errors import SecretdError
from secretd.store.base import RevisionConflict

_log = logging.getLogger(__name__)

_KEPT_APART_S = 3_600
"""How far apart the moments are that rounds keep in the store: each is a commit."""


class Due(Protocol):
    """Objects of one kind that wait for their deletion."""

    @property
    def waiting(self) -> bool:
        """Whether any is known to wait."""

    def forget(self) -> None:
        """Look again which wait: the store may be another one."""

    async def destroy_due(self, now: int) -> None:
        """Destroy those that are due; what fails is logged, and tried again in the next round."""


class Deletions:
    """The rounds of one daemon."""

    def __init__(self, clock: Clock, wholeness: Wholeness, changing: Changing) -> None:
        self._clock = clock
        self._wholeness = wholeness
        self._changing = changing
        self._kinds: list[Due] = []
        self._task: asyncio.Task[None] | None = None
        self._again = asyncio.Event()

    def add(self, kind: Due) -> None:
        """Have objects of one more kind looked after."""
        self._kinds.append(kind)

    def begin(self) -> None:
        """Begin with a round, whatever the store was before."""
        self._clock.forget()
        for kind in self._kinds:
            kind.forget()
        self._again.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._go_on())

    async def stop(self) -> None:
        """End them; what is not deleted by then is deleted after the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def round(self) -> None:
        """Look once for what is to be deleted, and delete it."""
        if not self._wholeness.is_whole:
            return
        try:
            now = await self._clock.now()
            for kind in self._kinds:
                await kind.destroy_due(now)
            if any(kind.waiting for kind in self._kinds):
                with contextlib.suppress(RevisionConflict):
                    async with self._changing.change():
                        await self._clock.keep(_KEPT_APART_S)
        except SecretdError as error:
            _log.warning("nothing is deleted that is to be deleted by now", extra={"reason": error.message})

    async def _go_on(self) -> None:
        while True:
            self._again.clear()
            await self.round()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._again.wait(), limits.DELETION_ROUND_SECONDS)
