"""The secrets that wait for their deletion: when each is due, and what happens to it then.

When they are due is in memory, for what is in the store could not be looked through each minute.  It is no more than a
hint: at the deadline the secret is read again, from the store, and what that says counts.

Source: docs/keys.md, "Deletion that waits".
"""

from __future__ import annotations

import logging
from uuid import UUID

from secretd import limits
from secretd.core.changing import Changing
from secretd.core.events import Events
from secretd.core.homes import Homes
from secretd.core.kinds import OUT_OF_USE
from secretd.core.lifecycle import require_unneeded
from secretd.core.lifecyclerecords import moment_in
from secretd.core.records import Records, id_in
from secretd.core.sealing import Seal
from secretd.core.state import SecretState
from secretd.core.walking import records_of
from secretd.errors import QuotaError, SecretdError, StoreCorruptError, StoreError
from secretd.store.base import Store

_log = logging.getLogger(__name__)


class Pending:
    """The secrets of both homes that wait for their deletion."""

    def __init__(self, store: Store, seal: Seal, homes: Homes, events: Events, changing: Changing) -> None:
        self._store = store
        self._seal = seal
        self._homes = homes
        self._records = Records(store, seal)
        self._events = events
        self._changing = changing
        self._due: dict[UUID, int] = {}
        # Of how many stores there were, one after the other, which was looked through.
        self._stores = 1
        self._loaded = 0

    @property
    def waiting(self) -> bool:
        """Whether any is known to wait."""
        return bool(self._due)

    def forget(self) -> None:
        """Look again which wait: the store may be another one. Who does not, is found out at the deadline."""
        self._stores += 1

    def require_room(self) -> None:
        """Refuse one more if as many wait as may.

        Raises:
            QuotaError: they do.
        """
        if len(self._due) >= limits.PENDING_SECRETS:
            raise QuotaError(f"{len(self._due):,} secrets wait for their deletion, which are all that may")

    def note(self, state: SecretState) -> None:
        """Note what befell a secret, as soon as it did."""
        self._note(state.id, state.lifecycle.due)

    async def destroy_due(self, now: int) -> None:
        """Delete what is due, unless something is against it: then it stays, and is tried again in the next round.

        Args:
            now: in seconds since 1970.
        """
        if self._loaded != self._stores:
            await self._load()
        not_deleted: list[tuple[UUID, SecretdError]] = []
        for secret in [secret for secret, due in self._due.items() if due <= now]:
            try:
                async with self._changing.change():
                    await self._destroy(secret, now)
            except SecretdError as error:
                not_deleted.append((secret, error))
        if not_deleted:
            secret, why = not_deleted[0]
            _log.warning(
                "secrets whose deletion is due are not deleted, and will be looked at again",
                extra={"secrets": len(not_deleted), "secret": str(secret), "reason": why.message},
            )

    async def _destroy(self, secret: UUID, now: int) -> None:
        async def attempt() -> None:
            state = await self._homes.ephemeral.find(secret) or await self._records.find(secret)
            due = state.lifecycle.due if state is not None else None
            self._note(secret, due)
            if state is None or due is None or due > now:
                return
            require_unneeded(state.lifecycle, shown=True)
            with self._events.watching():
                await self._homes.remove(secret, buried=now)
            self._note(secret, None)
            self._events.changed(state, None, None)
            _log.info("a secret was deleted at the end of its window", extra={"secret": str(secret)})

        await self._homes.settled(secret, attempt)

    def _note(self, secret: UUID, due: int | None) -> None:
        if due is None:
            self._due.pop(secret, None)
        else:
            self._due[secret] = due

    async def _load(self) -> None:
        store, damaged = self._stores, 0
        try:
            async for record in records_of(self._store, OUT_OF_USE, limits.CHECK_PAGE):
                try:
                    secret, due = id_in(record.key), moment_in(self._seal.keyrings, record)
                except StoreCorruptError:
                    damaged += 1
                    continue
                if due:
                    # What was noted meanwhile is newer.
                    self._due.setdefault(secret, due)
        except StoreError as error:
            _log.warning("not all secrets that wait for their deletion are known", extra={"reason": error.message})
            return
        if damaged:
            _log.error("of some secrets it cannot be read when they are to be deleted", extra={"secrets": damaged})
        self._loaded = store
