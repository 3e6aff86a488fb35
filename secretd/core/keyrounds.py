"""What is to be done of keys when its time has come: those at the end of their window are destroyed, others rotated.

What fails is logged, and looked at again in the next round; the others go on.

Source: docs/keys.md, "Deletion that waits" and "Uses, and rotation by itself".
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from secretd.core import keystates
from secretd.core.changing import Changing
from secretd.core.keyhome import Kept, references_of
from secretd.core.keystates import Action
from secretd.core.keystore import KeyStore
from secretd.core.lifecycle import refuse_referenced
from secretd.errors import SecretdError
from secretd.keys import KeyId

_log = logging.getLogger(__name__)


class KeyRounds:
    """What is due of the keys of one store."""

    def __init__(self, keys: KeyStore, changing: Changing) -> None:
        self._keys = keys
        self._changing = changing

    @property
    def waiting(self) -> bool:
        """Whether any key waits for its deletion."""
        return any(kept.key.lifecycle.due is not None for kept in self._keys.since(None))

    def forget(self) -> None:
        """Look again which wait: they are asked for in each round."""

    async def destroy_due(self, now: int) -> None:
        """Destroy the keys whose window is over, rotate those whose period is, and remove what is left of others.

        Args:
            now: in seconds since 1970.
        """
        for key in self._keys.unfinished:
            await _tried(key, self._finish(key))
        for kept in tuple(self._keys.since(None)):
            if _is_over(kept, now):
                await _tried(kept.key.id, self._destroy(kept, now))
            elif kept.state in keystates.ALLOWED[Action.ROTATE] and self._keys.is_due(kept):
                await _tried(kept.key.id, self._keys.renew(kept))

    async def _destroy(self, kept: Kept, now: int) -> None:
        async with self._changing.change(), self._keys.hold():
            if self._keys.find(kept.key.id) is not kept or not _is_over(kept, now):
                return  # it was changed since
            refuse_referenced(references_of(self._keys, kept), shown=True)
            await self._keys.destroy(kept)
            _log.info("a key was destroyed at the end of its window", extra={"key": kept.key.id})

    async def _finish(self, key: KeyId) -> None:
        async with self._changing.change(), self._keys.hold():
            if key in self._keys.unfinished:
                await self._keys.finish(key)


def _is_over(kept: Kept, now: int) -> bool:
    due = kept.key.lifecycle.due
    return due is not None and due <= now and kept.state in keystates.ALLOWED[Action.END_OF_WINDOW]


async def _tried(key: KeyId, change: Awaitable[None]) -> None:
    try:
        await change
    except SecretdError as error:
        _log.warning(
            "what is due of a key is not done, and will be looked at again",
            extra={"key": key, "reason": error.message},
        )
